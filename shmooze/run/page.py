"""The page of an application: its address, and a browser that shows it."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Callable

from gevent import monkey

from shmooze.settings import Settings

#: Addresses at which a browser on this machine finds the gateway by the name localhost.
_LOCAL = ("127.0.0.1", "localhost", "0.0.0.0", "::", "::1")


def address_of(host: str, source: Settings) -> str:
    """The URL of the first page, for a browser on this machine."""
    name = "localhost" if host in _LOCAL else f"[{host}]" if ":" in host else host
    return f"http://{name}:{source.port('wsgi')}{source.get('wsgi_prefix')}"


def opener(url: str) -> Callable[[], None]:
    """A function that shows a page in the user's browser. Call it before there is a guardian.

    The browser outlives us: it is started by a process that is no descendant of ours. That process
    waits at a pipe until it is needed, and ends with us if it never is.
    """
    read_end, write_end = os.pipe()
    # Not gevent's, which would use the event loop.
    fork: Callable[[], int] = monkey.get_original("os", "fork")
    waitpid: Callable[[int, int], object] = monkey.get_original("os", "waitpid")
    pid = fork()
    if pid == 0:
        try:
            os.close(write_end)
            os.setsid()
            if fork() == 0:
                _open_when_told(read_end, url)
        finally:
            os._exit(0)
    os.close(read_end)
    waitpid(pid, 0)

    def open_page() -> None:
        os.write(write_end, b"\n")

    return open_page


def _open_when_told(read_end: int, url: str) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):  # so a browser for the terminal does not take ours
        os.dup2(null, number)
    if os.read(read_end, 1):
        webbrowser.open(url)
