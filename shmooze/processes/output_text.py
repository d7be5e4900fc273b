"""The output of a child as text, split into lines, wherever it comes from.

A line may contain anything: bytes that are not text are escaped, and lines that are too long are
split.

A line that is not yet complete, such as a prompt or a progress bar, is available as well. As in a
terminal, a carriage return starts it over. Readers of the current output see it immediately. The
log gets it once it has been quiet for a moment, or has kept growing for long, and later only
what was added. Whoever watches gets every text that such a line has shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent

from shmooze.runtime.printable import printable


class OutputText:
    """What comes from one output of a child. `take` it, and end it with an empty piece.

    `on_line` is called with each complete line, `on_text` with each piece of text for the log that
    it has not had yet. Both get printable text.
    """

    #: Bytes after which a line is split.
    max_line = 4096
    #: Seconds without output after which an incomplete line is logged.
    quiet_period = 0.5
    #: Seconds after which it is logged even if it keeps growing.
    max_delay = 2.0
    #: Seconds without output after which whoever watches gets an incomplete line.
    watch_delay = 0.1

    # Most pipes are not watched: these take memory only where that is so.
    _on_shown: Callable[[list[str]], None] | None = None
    _shower: gevent.Greenlet | None = None
    #: What was shown and is not passed on yet.
    _shown: list[str]
    #: The last text that the current line has shown.
    _last_shown: bytes | None = None

    def __init__(self, on_line: Callable[[str], None], on_text: Callable[[str], None]) -> None:
        self._on_line, self._on_text = on_line, on_text
        #: The incomplete line, and the part of it that has been logged.
        self._line = self._logged = b""
        self._last_read = 0.0
        self._logger: gevent.Greenlet | None = None

    def watch(self, on_shown: Callable[[list[str]], None]) -> None:
        """Call `on_shown` with the texts that are shown from now on, those of one read together.

        These are lines, and what a line has shown before a carriage return. An incomplete line is
        included once it has been quiet for a moment, and again only if more is added to it.
        """
        self._on_shown, self._shown = on_shown, []

    def end_part(self) -> None:
        """Let a new line begin. Nobody watches any more."""
        self.take(b"")
        self._on_shown = None

    def close(self, patience: float = 0.0) -> None:
        """End it, even if more could come. Waits for that for at most `patience` seconds."""
        for greenlet in filter(None, (self._logger, self._shower)):
            greenlet.kill(block=False)
        self.take(b"")

    def incomplete_line(self) -> str:
        """Return the line that is not complete yet, or an empty string."""
        return _decode(self._complete_part())

    def take(self, data: bytes) -> None:
        """Take what comes next; nothing is the end."""
        *lines, rest = (self._line + data).split(b"\n")
        for line in lines:
            self._end_line(self._shorten(line))
        self._line = self._shorten(rest)
        if not data:  # end of file
            if self._line:
                self._end_line(self._line)
            self._line = b""
        elif self._line:
            self._last_read = time.monotonic()
            if self._logger is None:
                self._logger = gevent.spawn(self._log_incomplete)
        if self._on_shown is not None:
            self._pass_on()
            if self._shower is None and self._has_more_to_show():
                self._shower = gevent.spawn(self._show_incomplete)

    def _shorten(self, line: bytes) -> bytes:
        """Drop what was overwritten in a line, and end lines of `max_line` bytes at its start.

        Returns the rest.
        """
        if b"\r" in line:
            shown = line.rstrip(b"\r")
            if self._on_shown is not None:
                self._show_overwritten(shown, is_current_over=len(shown) < len(line))
            overwritten = shown.rfind(b"\r") + 1
            if overwritten and shown[overwritten:] != self._logged:
                self._logged = b""
            end = b"\r" if len(shown) < len(line) else b""
            line = shown[overwritten:] + end
        while len(line) > self.max_line:
            length = _complete_length(line[: self.max_line])
            self._end_line(line[:length])
            line = line[length:]
        return line

    def _end_line(self, line: bytes) -> None:
        line, logged, self._logged = line.rstrip(b"\r"), self._logged, b""
        self._on_line(_decode(line))
        if self._on_shown is not None:
            self._show(line)
            self._last_shown = None
        if not logged:
            self._on_text(_decode(line))
        elif len(line) > len(logged):
            self._on_text(_decode(line[len(logged) :]))

    def _log_incomplete(self) -> None:
        """Log what is added to an incomplete line, until nothing more is."""
        began = time.monotonic()
        while self._unlogged():
            gevent.sleep(self.quiet_period)
            now = time.monotonic()
            if now - self._last_read >= self.quiet_period or now - began >= self.max_delay:
                if unlogged := self._unlogged():
                    self._on_text(_decode(unlogged))
                    self._logged += unlogged
                began = now
        self._logger = None

    def _show(self, text: bytes) -> None:
        """Note a text for whoever watches, unless the current line has just shown it."""
        if text != self._last_shown:
            self._shown.append(_decode(text[: self.max_line]))
            self._last_shown = text

    def _show_overwritten(self, line: bytes, is_current_over: bool) -> None:
        """Note what a line has shown before carriage returns."""
        *overwritten, current = line.split(b"\r")
        for text in filter(None, [*overwritten, current if is_current_over else b""]):
            self._show(text)

    def _show_incomplete(self) -> None:
        """Pass an incomplete line on once it is quiet."""
        while self._has_more_to_show():
            gevent.sleep(self.watch_delay)
            if time.monotonic() - self._last_read >= self.watch_delay and self._has_more_to_show():
                self._show(self._complete_part())
                self._pass_on()
        self._shower = None

    def _has_more_to_show(self) -> bool:
        return self._complete_part() not in (b"", self._last_shown)

    def _pass_on(self) -> None:
        shown, self._shown = self._shown, []
        if shown and self._on_shown is not None:
            self._on_shown(shown)

    def _complete_part(self) -> bytes:
        """The incomplete line without an incomplete character at its end."""
        line = self._line.rstrip(b"\r")
        return line[: _complete_length(line)]

    def _unlogged(self) -> bytes:
        return self._complete_part()[len(self._logged) :]


def _decode(line: bytes) -> str:
    """Decode a line; escape invalid bytes and everything that would control a terminal."""
    text = line.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "\t".join(map(printable, text.split("\t")))


def _complete_length(text: bytes) -> int:
    """Return the length of a UTF-8 text without an incomplete character at its end."""
    for length in range(1, min(4, len(text) + 1)):
        byte = text[-length]
        if byte >= 0xC0:  # the first byte: its leading ones are the number of bytes
            needed = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return len(text) - length if needed > length else len(text)
        if byte < 0x80:
            break
    return len(text)
