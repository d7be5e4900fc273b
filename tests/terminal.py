"""Programs in a terminal, as a person has them: keys, a screen, a window."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
from pathlib import Path
from unicodedata import combining, east_asian_width

from support import PATIENCE, ROOT, Site, is_listening, wait_until

RUN = ROOT / "scripts" / "run_shmooze.sh"


class Window:
    """A terminal with a program in it; `text` is all that was printed, as it came."""

    def __init__(
        self,
        argv: list[str | Path],
        environ: dict[str, str],
        columns: int = 80,
        height: int = 24,
    ) -> None:
        self.text = ""
        self._window, inside = pty.openpty()
        self._size(columns, height)
        # Signals as a terminal has them, whatever the tests themselves were started with.
        argv = ["env", "--default-signal", "setsid", "--ctty", *argv]
        self._process = subprocess.Popen(
            argv, env=environ, stdin=inside, stdout=inside, stderr=inside
        )
        os.close(inside)
        self._over, self._end_screen = os.pipe()
        self._screen = threading.Thread(target=self._show)
        self._screen.start()

    def _show(self) -> None:
        # Not just read: a file that is being read is not closed by closing it.
        while select.select([self._window, self._over], [], [])[0] == [self._window]:
            try:
                self.hear(os.read(self._window, 1 << 16).decode(errors="replace"))
            except OSError:  # nobody has the other end any more
                return

    def hear(self, text: str) -> None:
        self.text += text

    def _size(self, columns: int, height: int) -> None:
        self.columns, self.height = columns, height
        fcntl.ioctl(self._window, termios.TIOCSWINSZ, struct.pack("HHHH", height, columns, 0, 0))

    @property
    def echoes(self) -> bool:
        """Whether keys that are pressed are shown."""
        return bool(termios.tcgetattr(self._window)[3] & termios.ECHO)

    def press(self, key: bytes) -> None:
        os.write(self._window, key)

    def press_ctrl_c(self) -> int:
        self.press(b"\x03")
        return self.wait()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def close_window(self) -> int:
        self._close_window()
        return self.wait()

    def _close_window(self) -> None:
        os.close(self._end_screen)
        self._screen.join()
        os.close(self._over)
        os.close(self._window)
        self._window = -1

    def wait(self) -> int:
        """Wait for the program to end; its exit status, or minus the number of a signal."""
        status = self._process.wait(PATIENCE)
        if self._window >= 0:
            self._screen.join(PATIENCE)  # all that was printed is there then
        return status

    def close(self) -> None:
        """End what is still running, and give everything back."""
        if self._process.poll() is None:
            self.press_ctrl_c()
        if self._window >= 0:
            self._close_window()


class Terminal(Window):
    """Runs the script with the settings of `site`, and with `conf` in place of supervisord.conf."""

    def __init__(self, site: Site, conf: Path | None = None) -> None:
        self.site = site
        super().__init__([RUN, site.settings_file, *([conf] if conf else [])], site.environ)

    def wait_running(self) -> None:
        for name, port in self.site.ports.items():
            wait_until(lambda p=port: is_listening(p), f"{name} listens")


class Picture(Window):
    """A terminal that draws: `rows` is what a person sees.

    It understands what a program may use, and fails for anything else that commands a terminal.
    """

    sequence = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|([\r\n])|([^\x00-\x1f\x7f-\x9f])")

    def __init__(self, *args: object, **keywords: object) -> None:
        #: Modes that are on: the cursor is to be seen, long lines wrap, it is the other screen.
        self.modes = {"25", "7"}
        self.strange = ""
        self._cells: dict[tuple[int, int], str] = {}
        self._behind: dict[tuple[int, int], str] = {}
        #: A picture that is complete: what comes after it is not seen before it is.
        self._seen: dict[tuple[int, int], str] = {}
        self._row = self._column = 0
        self._rest = ""
        self._lock = threading.Lock()
        super().__init__(*args, **keywords)  # type: ignore[arg-type]

    @property
    def rows(self) -> list[str]:
        cells = self._seen
        last = max((row for row, _ in cells), default=-1)
        return [
            "".join(cells.get((row, column), " ") for column in range(self.columns)).rstrip()
            for row in range(last + 1)
        ]

    @property
    def screen(self) -> str:
        return "\n".join(self.rows)

    def resize(self, columns: int, height: int) -> None:
        with self._lock:
            self._cells.clear()
            self._size(columns, height)

    def wait_for(self, words: str) -> str:
        """Wait until these words are on the screen; the line that has them."""

        def line() -> str | None:
            return next((row for row in self.rows if words in row), None)

        try:
            return str(wait_until(line, f"{words!r} is shown"))
        except AssertionError as error:
            raise AssertionError(f"{error}; what is shown:\n{self.screen}") from None

    def hear(self, text: str) -> None:
        super().hear(text)
        with self._lock:
            self._rest += text
            while self._rest:
                found = self.sequence.match(self._rest)
                if not found:
                    if not re.fullmatch(r"\x1b(\[\??[0-9;]*)?", self._rest):
                        self.strange += self._rest
                        self._rest = ""
                    return  # the rest of it is still to come
                self._rest = self._rest[found.end() :]
                self._obey(*found.groups())
                if found[3] in ("J", "h", "l") or (found[4] and "1049" not in self.modes):
                    self._seen = dict(self._cells)

    def _obey(self, private: str, numbers: str, order: str, end: str, letter: str) -> None:
        if letter:
            self._put(letter)
        elif end:
            self._column = 0 if end == "\r" else self._column
            self._row += end == "\n"
        elif private and order in "hl":
            (self.modes.add if order == "h" else self.modes.discard)(numbers)
            if numbers == "1049":
                self._cells, self._behind = ({} if order == "h" else self._behind), self._cells
        elif order == "H" and not numbers:
            self._row = self._column = 0
        elif order in "JK":
            whole, here = numbers == "2", (self._row, self._column)
            for place in list(self._cells):
                if (place >= here or whole) and (order == "J" or place[0] == self._row):
                    del self._cells[place]
        elif order != "m":
            self.strange += f"{private}{numbers}{order} "

    def _put(self, letter: str) -> None:
        wide = 2 if east_asian_width(letter) in "WF" else 0 if combining(letter) else 1
        if self._column + wide > self.columns or self._row >= self.height:
            self.strange += f"{letter!r} beyond the edge "
            return
        if not wide:
            place = (self._row, max(0, self._column - 1))
            self._cells[place] = self._cells.get(place, "") + letter
            return
        self._cells[self._row, self._column] = letter
        if wide == 2:
            self._cells[self._row, self._column + 1] = ""
        self._column += wide
