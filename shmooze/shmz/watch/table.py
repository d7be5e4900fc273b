"""The view for a terminal: a table on its alternate screen."""

from __future__ import annotations

import os
import signal
import sys
import termios
import time
from contextlib import suppress
from typing import Any

from shmooze.shmz.watch.events import Event
from shmooze.shmz.watch.live import Live
from shmooze.shmz.watch.screen import render
from shmooze.shmz.watch.views import View


class Table(View):
    """Shows the current state as a table on the terminal's alternate screen."""

    #: Minimum number of seconds between two updates of the screen.
    interval = 0.1
    enter = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # alternate screen; no cursor; no line wrapping
    leave = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
    bold, red, green, dim, normal = "\x1b[1m", "\x1b[1;31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.drawn: tuple[Live, os.terminal_size] | None = None
        #: The terminal's original attributes, if they were changed.
        self.attributes: list[Any] | None = None
        self.next_update = 0.0
        self.encoding = sys.stdout.encoding or "ascii"
        self.styled = not os.environ.get("NO_COLOR")
        if signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
            signal.signal(signal.SIGTSTP, self.pause)

    def take(self, event: Event, live: Live) -> bool:
        self.live = live
        return True

    @property
    def is_due(self) -> bool:
        drawn = self.drawn
        is_current = drawn and drawn[0] is self.live and drawn[1] == self.size()
        return bool(self.live.has_begun or self.live.lost) and not is_current

    @property
    def refresh_delay(self) -> float:
        return max(0.0, self.next_update - time.monotonic()) if self.is_due else 1.0

    def refresh(self) -> bool:
        """Draw the current state, unless it is too early or nothing has changed."""
        if not self.is_due or time.monotonic() < self.next_update:
            return True
        size = self.size()
        lines = self.style(render(self.live, *size))
        # Clear each line first: afterwards, that would erase a character at the right edge.
        screen = "\x1b[H" + "\r\n".join(f"\x1b[2K{line}" for line in lines) + "\x1b[J\x1b[H"
        first = not self.drawn
        self.drawn = self.live, size
        if first:
            self.disable_echo()
            screen = self.enter + screen
        written = self.write(screen)
        self.next_update = time.monotonic() + self.interval
        return written

    def style(self, lines: list[str]) -> list[str]:
        lines = [self.encodable(line) for line in lines]
        if not self.styled:
            return lines
        playing = self.encodable("▶")
        head, rest = (self.red, self.dim) if self.live.lost else (self.bold, "")
        styles = [head, *(rest or self.green * line.startswith(playing) for line in lines[1:])]
        return [f"{style}{line}{self.normal}" for style, line in zip(styles, lines)]

    def encodable(self, line: str) -> str:
        """Replace each character that the terminal's encoding lacks with another one."""
        try:
            line.encode(self.encoding)
            return line
        except UnicodeError:
            line = line.translate(str.maketrans("▶█░…", ">#-~"))
            return line.encode(self.encoding, "replace").decode(self.encoding)

    @staticmethod
    def size() -> os.terminal_size:
        with suppress(OSError):
            size = os.get_terminal_size(1)
            if size.columns and size.lines:
                return size
        return os.terminal_size((80, 24))

    def pause(self, *_: Any) -> None:
        """Handle Ctrl-Z: restore the terminal before stopping. The table is redrawn afterwards."""
        self.close()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self.pause)

    def disable_echo(self) -> None:
        """Hide keys that are pressed."""
        with suppress(termios.error):  # standard input is not a terminal, or is closed
            self.attributes = termios.tcgetattr(0)
            without_echo = [*self.attributes]
            without_echo[3] &= ~termios.ECHO
            termios.tcsetattr(0, termios.TCSANOW, without_echo)

    def close(self) -> None:
        if not self.drawn:
            return
        self.drawn = None
        self.write(self.leave)
        with suppress(termios.error):
            if self.attributes:
                termios.tcsetattr(0, termios.TCSANOW, self.attributes)

    def write(self, text: str) -> bool:
        """Write at once: text that print still buffers when a signal arrives would appear later."""
        rest = text.encode(self.encoding, "replace")
        try:
            while rest:
                rest = rest[os.write(1, rest) :]
        except OSError:  # the terminal is closed
            return False
        return True
