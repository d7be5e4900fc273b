"""A session: one guard as its service knows it, from its ticket to its end."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from gevent.event import AsyncResult

from shmooze.cluster.lease import Fence, Timing
from shmooze.cluster.link import Connection, Link
from shmooze.cluster.protocol import (
    VERSION,
    Beat,
    BeatAnswer,
    Content,
    Frame,
    Hello,
    Numbered,
    ProtocolError,
    Received,
    Welcome,
    encode,
)

log = logging.getLogger(__name__)


class Session:
    """The service's end. `receive` is called with each message of the guard and must not wait,
    `on_lost` once, when the guard has not been heard for so long that nothing of it runs any more.
    """

    #: Beats of the guard without which it counts as silent.
    usual_beats = 1.5

    def __init__(
        self,
        label: str,
        timing: Timing,
        receive: Callable[[Content], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.label = label
        self.number, self.secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        #: The name of the node, once there is a guard.
        self.joined: AsyncResult[str] = AsyncResult()
        self._guard: str | None = None
        self._link = Link(receive)
        self._timing, self._on_lost = timing, on_lost
        self._fence: Fence | None = None
        self._is_over = False
        self._answers_beats = True

    def __repr__(self) -> str:
        return f"<Session {self.number} of {self.label}>"

    @property
    def has_guard(self) -> bool:
        """Whether a guard was let in, so that the program may run."""
        return self._guard is not None

    @property
    def is_connected(self) -> bool:
        """Whether the guard can be reached, as far as is known."""
        return self._link.is_connected

    @property
    def is_silent(self) -> bool:
        """Whether a guard that was let in has not been heard for longer than usual."""
        fence = self._fence
        return fence is not None and (
            not self.is_connected or fence.quiet > self._timing.beat * self.usual_beats
        )

    def refusal(self, hello: Hello) -> str | None:
        """Why a guard with the right secret is not let in; None: it is."""
        if not self._answers_beats:
            return "this guard did not do what it was told"
        if hello.version != VERSION:
            return f"the node has version {hello.version} of the protocol, its service {VERSION}"
        if self._guard is not None and self._guard != hello.guard:
            return "another guard has this ticket already"
        if self._is_over:
            return "this ticket is not valid any more"
        return None

    def serve(self, connection: Connection, hello: Hello, frames: Callable[[], Frame]) -> None:
        """Serve a guard that is let in, until its connection ends. Raises ProtocolError."""
        is_first = self._guard is None
        self._guard = hello.guard
        if self._fence is None:
            self._fence = Fence(self._timing)
        connection.write(encode(Welcome(self._link.received)))
        self._fence.answered()
        self._link.attach(connection, hello.received)
        if is_first:
            self.joined.set(hello.host)
        while True:
            self._take(frames())

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Numbered):
            self._link.take(frame)
        elif isinstance(frame, Beat):
            self._link.acknowledge(frame.received)
            if self._fence is not None and self._answers_beats and not self._is_over:
                self._fence.answered()
                self._link.write(encode(BeatAnswer(frame.number, self._link.received)))
        elif isinstance(frame, Received):
            self._link.acknowledge(frame.received)
        else:
            raise ProtocolError(f"unexpected {type(frame).__name__}")

    def send(self, message: Content) -> None:
        """Send a message to the guard, now or when it is connected. Does not wait."""
        if not self._is_over:
            self._link.send(message)

    def check(self) -> None:
        """Look whether the guard is lost, or its connection silent."""
        if self._fence is None or self._is_over:
            return
        if self._fence.left <= 0:
            log.warning("%r: not heard of its guard for %.0f s", self, self._fence.quiet)
            self.end()
            self._on_lost()
        elif self._fence.quiet > self._timing.silence:
            self._link.detach()

    def stop_answering(self) -> None:
        """Let the lease of the guard run out: it does not do what it is told."""
        self._answers_beats = False

    def end(self) -> None:
        """The guard is not needed any more, or lost. Nobody is let in from now on."""
        self._is_over = True
        self._link.detach()

    def flush(self, timeout: float) -> None:
        """Wait until everything is sent, for at most `timeout` seconds."""
        self._link.flush(timeout)
