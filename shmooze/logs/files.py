"""The log files of one service: a file for each item, with rotation, written by a thread.

Each line is a time, `stdout` or `stderr`, and the text:

    2026-03-01T08:00:00.123Z stdout Hello

The event loop never waits for the disk. Lines that wait for it are limited: those that do not fit
are counted, and the file says how many are missing.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from logging.handlers import RotatingFileHandler
from typing import NamedTuple

import gevent
from gevent.event import Event

from shmooze.errors import SettingsError
from shmooze.processes.contract import OutputLine
from shmooze.runtime import clock
from shmooze.runtime.logs import NativeHandler
from shmooze.runtime.native_thread import NativeThread

log = logging.getLogger(__name__)

_UID = re.compile(r"[\w-]{1,100}")
_FILE = re.compile(r"([\w-]{1,100})\.log(\.\d+)?")


class _Line(NamedTuple):
    uid: str
    time: float
    text: str


class _ItemFile(NativeHandler, RotatingFileHandler):
    """The file of one item, closed while nothing is written to it."""

    def __init__(self, path: str, max_bytes: int, files: int) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=files - 1, delay=True)
        self.problem: BaseException | None = None

    def write(self, text: str) -> None:
        """Append lines. Raises OSError."""
        self.problem = None
        self.emit(logging.makeLogRecord({"msg": text}))
        if self.problem is not None:
            raise self.problem

    def handleError(self, record: logging.LogRecord) -> None:
        self.problem = sys.exc_info()[1]

    def close_stream(self) -> None:
        """Let go of the file until the next line."""
        stream, self.stream = self.stream, None
        if stream is not None:
            with suppress(OSError):
                stream.close()


class LogFiles:
    """The files in one folder, which is made if it is missing.

    Each item has at most `files` of them, of about `max_bytes` each. Raises SettingsError, made by
    `error` of a key and what is wrong with it.
    """

    #: Lines that may wait for the disk.
    max_waiting = 20_000
    #: Files that are open at the same time.
    max_open = 64
    #: Items whose handlers are kept for further lines.
    max_handlers = 1000
    #: Characters that are written at once.
    piece = 1 << 14

    def __init__(
        self, folder: str, max_bytes: int, files: int, error: Callable[[str, str], SettingsError]
    ) -> None:
        try:
            os.makedirs(folder, 0o750, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(13, os.strerror(13))
        except OSError as bad:
            raise error("log_path", f"cannot be used: {folder}: {bad.strerror}") from bad
        self._folder, self._max_bytes, self._files = folder, max_bytes, files
        self._thread = NativeThread()
        self._waiting: deque[_Line] = deque()
        self._lost: dict[str, int] = {}
        self._is_writing = False
        #: Lines that were taken in so far, and those of them that are written, or lost.
        self._taken = self._done = 0
        #: Set when more are done.
        self._progress = Event()
        self._handlers: OrderedDict[str, _ItemFile] = OrderedDict()
        #: Files that are open; the thread's own.
        self._open: OrderedDict[str, _ItemFile] = OrderedDict()
        self._has_problem = False

    def add(self, uid: str, line: OutputLine) -> None:
        """An item has printed a line. Does not wait."""
        self.note(uid, f"{'stderr' if line.is_error else 'stdout'} {line.text}")

    def note(self, uid: str, text: str) -> None:
        """Write a line of our own, likewise."""
        if not _UID.fullmatch(uid):
            return
        if len(self._waiting) >= self.max_waiting:
            self._lost[uid] = self._lost.get(uid, 0) + 1
            return
        self._waiting.append(_Line(uid, clock.time(), text))
        self._taken += 1
        self._write_later()

    def read(
        self, uid: str, limit: int, since: float | None = None, grep: str | None = None
    ) -> list[str] | None:
        """The newest lines of an item, without times; None if it has no file.

        Only those since this time, in seconds since 1970, with this text in them. Waits.
        """
        self.flush()
        start = None if since is None else clock.iso8601(since)
        found: list[str] | None
        found = self._thread.result(lambda: self._read(uid, limit, start, grep)).get()
        return found

    def remove(self, uids: Iterable[str]) -> None:
        """Remove the files of items. Waits."""
        gone = [uid for uid in uids if _UID.fullmatch(uid)]
        self.flush()
        self._thread.result(lambda: self._remove_all(gone)).get()
        for uid in gone:
            self._handlers.pop(uid, None)

    def uids(self) -> set[str]:
        """The items that have files. Waits."""
        found: set[str] = self._thread.result(self._list).get()
        return found

    def release(self, uid: str) -> None:
        """An item prints no more for the present."""
        if (handler := self._handlers.pop(uid, None)) is not None:
            self._thread.call(lambda: self._close(uid, handler), lambda result, error: None)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all lines are written that were added so far."""
        taken = self._taken
        with gevent.Timeout(timeout, False):
            while self._done < taken:
                self._progress.wait()

    def close(self) -> None:
        """Write what waits, for a moment at most, and close all files."""
        self.flush(timeout=2.0)
        self._thread.call(self._close_all, lambda result, error: None)
        self._thread.end()

    # In the event loop.

    def _write_later(self) -> None:
        if self._is_writing:
            return
        lines, self._waiting = self._waiting, deque()
        count = len(lines)
        for uid, lost in self._lost.items():
            words = f"stderr ({lost} lines are missing here: the disk was too slow)"
            lines.append(_Line(uid, clock.time(), words))
        self._lost.clear()
        handlers = {line.uid: self._handler(line.uid) for line in lines}
        self._is_writing = True
        self._thread.call(
            lambda: self._write(lines, handlers), lambda _, error: self._written(count, error)
        )

    def _handler(self, uid: str) -> _ItemFile:
        """Made here, since handlers share a lock that threads of the system must not wait for."""
        if (handler := self._handlers.pop(uid, None)) is None:
            handler = _ItemFile(self._path(uid), self._max_bytes, self._files)
        self._handlers[uid] = handler
        while len(self._handlers) > self.max_handlers:
            self._handlers.popitem(last=False)
        return handler

    def _written(self, count: int, error: BaseException | None) -> None:
        self._is_writing = False
        if error is not None and not self._has_problem:
            log.error("log files in %s: %s; lines are lost", self._folder, _reason(error))
        elif error is None and self._has_problem:
            log.warning("log files in %s: written again", self._folder)
        self._has_problem = error is not None
        self._done += count
        self._progress.set()
        self._progress = Event()
        if self._waiting:
            self._write_later()

    # In the thread.

    def _write(self, lines: Collection[_Line], handlers: dict[str, _ItemFile]) -> None:
        problem: BaseException | None = None
        # Sorting is stable: the lines of each item stay in order.
        for uid, own in groupby(sorted(lines, key=lambda line: line.uid), lambda line: line.uid):
            handler, before = handlers[uid], self._open.pop(uid, None)
            if before is not None and before is not handler:
                before.close_stream()
            self._open[uid] = handler
            try:
                for text in _joined(own, min(self.piece, self._max_bytes)):
                    handler.write(text)
            except (OSError, ValueError) as bad:
                problem = bad
            while len(self._open) > self.max_open:
                self._open.popitem(last=False)[1].close_stream()
        if problem is not None:
            raise problem

    def _read(self, uid: str, limit: int, since: str | None, grep: str | None) -> list[str] | None:
        if not _UID.fullmatch(uid):
            return None
        names = [f"{self._path(uid)}.{number}" for number in range(self._files - 1, 0, -1)]
        found: deque[str] = deque(maxlen=limit)
        has_file = False
        for name in [*names, self._path(uid)]:
            with (
                suppress(FileNotFoundError),
                open(name, encoding="utf-8", errors="replace") as file,
            ):
                has_file = True
                for line in file:
                    time, _, rest = line.rstrip("\n").partition(" ")
                    text = rest.partition(" ")[2]
                    if (since is None or time >= since) and (grep is None or grep in text):
                        found.append(text)
        return list(found) if has_file else None

    def _list(self) -> set[str]:
        matches = map(_FILE.fullmatch, os.listdir(self._folder))
        return {match[1] for match in matches if match}

    def _remove_all(self, uids: Iterable[str]) -> None:
        for uid in uids:
            self._remove(uid)

    def _remove(self, uid: str) -> None:
        if (handler := self._open.pop(uid, None)) is not None:
            handler.close_stream()
        path = self._path(uid)
        # More than there may be now, since the settings may have changed.
        for name in [path, *(f"{path}.{number}" for number in range(1, self._files + 20))]:
            with suppress(OSError):
                os.remove(name)

    def _close(self, uid: str, handler: _ItemFile) -> None:
        if self._open.get(uid) is handler:
            del self._open[uid]
        handler.close_stream()

    def _close_all(self) -> None:
        while self._open:
            self._open.popitem()[1].close_stream()

    def _path(self, uid: str) -> str:
        return os.path.join(self._folder, f"{uid}.log")


def _joined(lines: Iterable[_Line], most: int) -> Iterator[str]:
    """Lines as texts of not much more than `most` characters."""
    texts: list[str] = []
    size = 0
    for line in lines:
        text = f"{clock.iso8601(line.time)} {line.text}"
        if texts and size + len(text) > most:
            yield "\n".join(texts)
            texts, size = [], 0
        texts.append(text)
        size += len(text) + 1
    if texts:
        yield "\n".join(texts)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
