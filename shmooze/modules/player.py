"""Player: a Python module that plays by running another program, such as a media player.

Standard library only, compatible with Python 3.8. This alone loads `subprocess`.
"""

from __future__ import annotations

import atexit
import collections
import os
import re
import signal
import subprocess
import threading

from shmooze.errors import CommandError
from shmooze.modules.worker import END, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

#: Characters of a line of output; the rest is passed on, but not shown to `line`.
_LINE = 1000
#: Bytes of output that are read at a time.
_CHUNK = 1 << 16


class Player(Worker):
    """A module that runs the program `argv`, which a subclass sets in `cmd_init`.

    The program is started by the first `play`, stopped and continued by signals, and ended by `rm`.
    When it ends with status 0, the module leaves; otherwise the module fails, and its reason is the
    status with the last lines of output. All output is passed on, and becomes the module's.

        class Music(Player):
            def cmd_init(self, file: str):
                self.argv = ["mpv", "--no-video", os.path.join(FOLDER, file)]
    """

    #: The program with its arguments.
    argv: Sequence[str] = ()
    #: More arguments for subprocess.Popen, such as {"cwd": …, "env": …}.
    options: Mapping[str, Any] = {}
    #: Lines of output that explain a failure.
    last_lines = 3
    #: The program, as soon as it is started.
    process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the program has been started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the program."""
        if not self.argv or isinstance(self.argv, str):
            words = "needs `argv`, the program to run and its arguments in a list"
            raise CommandError(f"{type(self).__name__} {words}")
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        options: Any = {**pipes, **self.options, "start_new_session": True}
        self._tail: collections.deque[str] = collections.deque(maxlen=self.last_lines)
        try:
            self.process = subprocess.Popen(list(self.argv), **options)
        except OSError as bad:
            raise CommandError(f"cannot start `{self.argv[0]}`: {bad.strerror}") from bad
        except ValueError as bad:
            words = "an argument contains a null character"
            raise CommandError(f"cannot start `{self.argv[0]}`: {words}") from bad
        atexit.register(self.send_signal, signal.SIGKILL)  # it never outlives the module

    def pause(self) -> None:
        """Pause the program. Override this if it has a better way than a signal."""
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the program go on."""
        self.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ask the program to end. If it does not within `patience`, it is killed."""
        self.send_signal(signal.SIGTERM)
        self.send_signal(signal.SIGCONT)  # a stopped process handles SIGTERM only after this

    def line(self, text: str) -> None:
        """Called with each line of output as it arrives, in a thread."""

    def ended(self, status: int) -> None:
        """Called when the program has ended by itself; a negative status is minus a signal.

        The module leaves when this returns. To let it stay, call `self.stay()`.
        """
        if status != 0:
            self.fail(self._explain(status))

    def send_signal(self, number: int) -> None:
        """Send a signal to the program and its children. Nothing happens if it does not run."""
        if self.is_running:
            self._send_to_group(number)

    def cmd_play(self) -> None:
        """Start the program, or let it go on."""
        if self.process is None:
            self.start()
            super().cmd_play()
        elif self.is_running:
            self.resume()

    def cmd_suspend(self) -> None:
        """Pause the program."""
        if self.is_running:
            self.pause()

    def cmd_rm(self) -> None:
        """End the program."""
        self._tell(END)  # first, so that nobody takes its end for its own
        self.stop()
        self._join()
        if self._thread is not None and self._thread.is_alive():
            self._send_to_group(signal.SIGKILL)
            self._join()

    def work(self) -> None:
        """Follow the program until it ends."""
        assert self.process is not None
        readers = [
            threading.Thread(target=self._pass_on, args=stream, daemon=True)
            for stream in ((self.process.stdout, 1), (self.process.stderr, 2))
        ]
        for reader in readers:
            reader.start()
        status = self.process.wait()
        self._send_to_group(signal.SIGTERM)  # what it has left behind
        self._send_to_group(signal.SIGCONT)
        for reader in readers:
            reader.join(self.patience)  # a daemon of the program may keep its output open
        if self._order != END:
            self.ended(status)

    def _send_to_group(self, number: int) -> None:
        assert self.process is not None
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS: only zombies are left
            pass

    def _pass_on(self, pipe: Any, output: int) -> None:
        """Copy one stream of the program to ours, and show its lines."""
        if pipe is None:  # `options` has redirected it
            return
        rest, last = b"", b""
        while True:
            chunk = os.read(pipe.fileno(), _CHUNK)  # whatever file object `options` make of it
            if not chunk:
                break
            try:
                os.write(output, chunk)
            except OSError:
                pass  # nobody listens to ours any more
            # The line before it was shown already if a CR LF comes in two chunks.
            text = chunk[1:] if last == b"\r" and chunk[:1] == b"\n" else chunk
            last = chunk[-1:]
            *lines, rest = re.split(rb"\r?\n|\r", rest + text)
            rest = rest[:_LINE]
            for line in lines:
                self._show(line)
        if rest:
            self._show(rest)
        pipe.close()

    def _show(self, line: bytes) -> None:
        text = line[:_LINE].decode(errors="replace").rstrip()
        if text:
            self._tail.append(text)
        self.line(text)

    def _explain(self, status: int) -> str:
        if status < 0:
            try:
                how = f"was killed by {signal.Signals(-status).name}"
            except ValueError:
                how = f"was killed by signal {-status}"
        else:
            how = f"exited with status {status}"
        words = f"; last output: {' | '.join(self._tail)}" if self._tail else ""
        return f"{os.path.basename(self.argv[0])} {how}{words}"
