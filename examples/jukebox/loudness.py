"""The volume as tracks get it: from a file, and from a socket that reports changes.

The service `volume` writes the file, and listens at the socket. To whoever connects there it sends
a line of JSON at once and after each change: {"volume": 70, "muted": false}. So a track needs no
token and does not have to poll.

Standard library only and light, since each track imports it.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Loudness(NamedTuple):
    """How loud it is: `volume` from 0 to 100."""

    volume: int = 70
    muted: bool = False

    @property
    def line(self) -> bytes:
        """The same as a line of JSON."""
        return json.dumps(self._asdict()).encode() + b"\n"


def parse(line: bytes | str) -> Loudness:
    """What a line says. Raises ValueError if it is anything else."""
    found: Any = json.loads(line)
    volume = found.get("volume") if isinstance(found, dict) else None
    if type(volume) is not int or not 0 <= volume <= 100:
        raise ValueError("no volume from 0 to 100")
    return Loudness(volume, bool(found.get("muted")))


def read(file: Path) -> Loudness:
    """What the file says; without a file, or with a damaged one, the default."""
    try:
        return parse(file.read_bytes())
    except (OSError, ValueError):
        return Loudness()


class Follower:
    """Follows the volume in a thread, and calls `on_change` with each one, the first at once.

    If the service is away, it tries again until `close`.
    """

    #: Seconds between two attempts to reach the service.
    delay = 1.0

    def __init__(self, path: str, on_change: Callable[[Loudness], None]) -> None:
        self._path, self._on_change = path, on_change
        self._closed = threading.Event()
        self._stream: socket.socket | None = None

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._follow, name="volume", daemon=True).start()

    def close(self) -> None:
        """End the thread. May be called twice, and before `start`."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the service has hung up first

    def _follow(self) -> None:
        while not self._closed.is_set():
            try:
                self._listen()
            except (OSError, ValueError):
                pass  # it is away, or was ended while it wrote a line
            self._closed.wait(self.delay)

    def _listen(self) -> None:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(self._path)
            self._stream = stream
            with stream.makefile("rb") as lines:
                # `close` may have come before it could know the stream.
                for line in () if self._closed.is_set() else lines:
                    self._on_change(parse(line))
