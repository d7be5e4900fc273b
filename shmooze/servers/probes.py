"""Probes: one request to a module's web server, to see whether it is ready or alive."""

from __future__ import annotations

import gevent

from shmooze.web.upstream import Upstream

#: Statuses of success.
_SUCCESS = range(200, 400)


def probe(host: str, port: int, path: str | None, timeout: float) -> str | None:
    """Ask for a path, or only connect if there is none. Returns what is wrong; None: nothing."""
    upstream = Upstream(host, port, timeout)
    try:
        with gevent.Timeout(timeout, TimeoutError()):
            exchange = upstream.open(can_repeat=False)
            try:
                if path is None:
                    return None
                headers = [("Host", f"{host}:{port}"), ("Connection", "close")]
                exchange.send_head("GET", path, headers)
                exchange.read_head()
                if exchange.status in _SUCCESS:
                    return None
                return f"{path} answers with status {exchange.status}"
            finally:
                exchange.connection.close()
    except TimeoutError:
        return f"{path or 'it'} does not answer within {timeout:g} s"
    except ConnectionRefusedError:
        return "it does not listen"
    except OSError as broken:
        return f"the connection to {path or 'it'} failed: {broken}"
