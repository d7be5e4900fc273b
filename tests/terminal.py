"""A terminal with scripts/run_shmooze.sh in it, as a person has it: keys, a screen, a window."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import threading
from pathlib import Path

from support import PATIENCE, ROOT, Site, is_listening, wait_until

RUN = ROOT / "scripts" / "run_shmooze.sh"


class Terminal:
    """Runs the script with the settings of `site`, and with `conf` in place of supervisord.conf."""

    def __init__(self, site: Site, conf: Path | None = None) -> None:
        self.site = site
        self.text = ""
        self._window, inside = pty.openpty()
        # Signals as a terminal has them, whatever the tests themselves were started with.
        argv = [
            "env",
            "--default-signal",
            "setsid",
            "--ctty",
            RUN,
            site.settings_file,
            *([conf] if conf else []),
        ]
        self._process = subprocess.Popen(
            argv, env=site.environ, stdin=inside, stdout=inside, stderr=inside
        )
        os.close(inside)
        self._over, self._end_screen = os.pipe()
        self._screen = threading.Thread(target=self._show)
        self._screen.start()

    def _show(self) -> None:
        # Not just read: a file that is being read is not closed by closing it.
        while select.select([self._window, self._over], [], [])[0] == [self._window]:
            try:
                self.text += os.read(self._window, 1 << 16).decode(errors="replace")
            except OSError:  # nobody has the other end any more
                return

    def wait_running(self) -> None:
        for name, port in self.site.ports.items():
            wait_until(lambda p=port: is_listening(p), f"{name} listens")

    def press_ctrl_c(self) -> int:
        os.write(self._window, b"\x03")
        return self.wait()

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
        """Wait for the script to end; its exit status, or minus the number of a signal."""
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
