"""mpv, controlled over a socket: commands with answers, and events.

mpv gets one end of a pair of sockets as an open file, so there is no socket file that anybody else
could use. It speaks JSON, one object a line: https://mpv.io/manual/stable/#json-ipc

Standard library only.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

#: Options that make mpv a player without controls of its own, which reads nobody's configuration.
QUIET = (
    "--no-config",
    "--load-scripts=no",
    "--ytdl=no",
    "--input-default-bindings=no",
    "--input-terminal=no",
    "--no-osc",
    "--no-resume-playback",
    "--audio-display=no",  # pages show the covers
    "--term-status-msg=",
    "--msg-level=all=warn",
    "--network-timeout=20",
    "--demuxer-max-bytes=32MiB",  # of a stream that comes faster than it plays
    "--demuxer-max-back-bytes=16MiB",
    "--idle=yes",
)


class MpvError(Exception):
    """mpv refuses a command, has ended, or does not answer."""


class Connection:
    """The connection to one mpv.

    `on_event` is called with each event, in a thread of its own; see `listen`.
    """

    #: Seconds for which mpv may take to answer.
    patience = 3.0

    def __init__(self, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._on_event = on_event
        self._ours, self._theirs = socket.socketpair()
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self._lock = threading.Lock()
        self._last = 0
        self._is_over = False

    @property
    def inherited(self) -> int:
        """The open file that mpv inherits."""
        return self._theirs.fileno()

    @property
    def option(self) -> str:
        """The option that tells mpv of it."""
        return f"--input-ipc-client=fd://{self.inherited}"

    def listen(self) -> None:
        """Read what mpv says until it ends. Call this once mpv has been started."""
        self._theirs.close()
        threading.Thread(target=self._read, name="mpv", daemon=True).start()

    def ask(self, *command: Any) -> Any:
        """Send a command, and return the data of its answer. Raises MpvError.

        Not to be called in `on_event`, where the answer could not be read: see `tell`.
        """
        answer: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        number = self._send(command, answer)
        try:
            got = answer.get(timeout=self.patience)
        except queue.Empty:
            raise MpvError(f"mpv did not answer within {self.patience:g} s") from None
        finally:
            self._answers.pop(number, None)
        if got is None:
            raise MpvError("mpv has ended")
        if got.get("error") != "success":
            raise MpvError(str(got.get("error")))
        return got.get("data")

    def tell(self, *command: Any) -> None:
        """Send a command, and do not wait for its answer. Nothing happens if mpv has ended."""
        try:
            self._send(command, None)
        except MpvError:
            pass

    def close(self) -> None:
        """Hang up. May be called twice, and before mpv was started."""
        self._theirs.close()
        try:
            self._ours.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads
        except OSError:
            pass
        self._ours.close()

    def _send(
        self, command: tuple[Any, ...], answer: queue.SimpleQueue[dict[str, Any] | None] | None
    ) -> int:
        with self._lock:
            if self._is_over:
                raise MpvError("mpv has ended")
            self._last += 1
            number = self._last
            if answer is not None:
                self._answers[number] = answer
            line = json.dumps({"command": command, "request_id": number}) + "\n"
            try:
                self._ours.sendall(line.encode())
            except OSError:
                self._answers.pop(number, None)
                raise MpvError("mpv has ended") from None
        return number

    def _read(self) -> None:
        try:
            with self._ours.makefile("rb") as lines:
                for line in lines:
                    self._take(line)
        except (OSError, ValueError):
            pass  # it was killed, or we have hung up
        with self._lock:
            self._is_over = True
            # Whoever gets an answer takes it out at once.
            for answer in list(self._answers.values()):
                answer.put(None)

    def _take(self, line: bytes) -> None:
        try:
            # Tags of files may be in any encoding.
            said = json.loads(line.decode(errors="replace"))
        except ValueError:
            return
        if "event" in said:
            self._on_event(said)
        elif answer := self._answers.get(said.get("request_id", 0)):
            answer.put(said)
