"""A server to which requests are passed on, and the connections to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent import monkey

from shmooze.web.connect import NotReached, connect
from shmooze.web.exchange import Exchange
from shmooze.web.idle import IdleConnections

if TYPE_CHECKING:
    from ssl import SSLContext


class Upstream:
    """The server at `host` and `port`.

    `silence` is the seconds for which it may say nothing; None: any time. `is_ours`: whether it is
    one of ours, which closes an idle connection much later than we do. `tls` is how its certificate
    is checked; None: it does not speak TLS.
    """

    #: Seconds that it may take to accept a connection.
    connect_timeout = 5.0
    #: Seconds for which a connection is kept for the next request.
    longest_idle = 4.0

    def __init__(
        self,
        host: str,
        port: int,
        silence: float | None,
        is_ours: bool = False,
        tls: SSLContext | None = None,
    ) -> None:
        self.host, self.port, self.silence = host, port, silence
        self._is_ours, self._tls = is_ours, tls
        self._idle = IdleConnections(self.longest_idle)

    def open(self, can_repeat: bool) -> Exchange:
        """A connection for one request: one that was used before only if it hardly can be stale,
        or if the request can be sent again on another one. Raises OSError.
        """
        # Another WSGI server may have threads, which cannot share connections.
        keeps = monkey.is_module_patched("socket")
        connection = self._idle.take() if keeps and (can_repeat or self._is_ours) else None
        is_used = connection is not None
        if connection is None:
            connection = self._connect()
        connection.settimeout(self.silence)
        keep = self._idle.add if keeps else None
        return Exchange(connection, keep, is_used)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._idle.close()

    def _connect(self) -> Any:
        try:
            return connect(self.host, self.port, self.connect_timeout, self._tls)
        except TimeoutError as late:
            if not self._is_ours:
                raise
            raise NotReached(late) from late  # its machine is away
