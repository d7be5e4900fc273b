"""Worker: a Python module whose work is one method, which runs in a thread of its own.

The thread pauses and ends where the work calls `sleep` or `wait_while_paused`, and there only. So
`suspend` and `rm` wait until it gets there before they are answered: from then on it is quiet.

Standard library only, light, compatible with Python 3.8.
"""

from __future__ import annotations

import sys
import threading
import time

from shmooze.modules import threads
from shmooze.modules.pymodule import JSONParentPoller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

#: What the parent wants the work to do.
PAUSE, PLAY, END = "pause", "play", "end"


class Worker(JSONParentPoller):
    """A module that does its work in the method `work`, from the first `play` on.

    When `work` returns, the module leaves. If it raises, the module ends with that as the reason.
    A job reports its result with `self.result(value)` at the end of `work`.

    Functions of a subclass that are named `cmd_NAME` or `do_NAME` are commands; `play`, `suspend`
    and `rm` are ready.

        class Count(Worker):
            def cmd_init(self, start: int = 0): ...
            def work(self): ...

        if __name__ == "__main__":
            Count().run()
    """

    #: Seconds that `suspend` and `rm` wait for the work to pause or end, before they are answered
    #: anyway. The timeouts of the module type must be longer.
    patience = 1.0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = {
            name[4:] if name.startswith("cmd_") else name: function
            for name, function in vars(cls).items()
            if name.startswith(("cmd_", "do_")) and callable(function)
        }
        inherited = super(cls, cls).commands
        cls.commands = {**inherited, **own, **vars(cls).get("commands", {})}

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._order = PAUSE
        #: Whether the work is paused or has ended.
        self._is_quiet = True
        #: Whether the parent ends the module, since it knows how the work has ended.
        self._has_reported = False
        #: Whether the work has raised an exception: then the process serves no other item.
        self._has_raised = False
        self._thread: threading.Thread | None = None
        super().__init__()

    def run(self) -> NoReturn:
        """Answer commands until the program ends."""
        while True:
            self.handle_one_command()

    def work(self) -> None:
        """Do the work of the module. A subclass has this method."""
        raise NotImplementedError(f"{type(self).__name__} needs a method `work`")

    def sleep(self, seconds: float) -> None:
        """Wait in `work` for that many seconds of playing. Time that is paused does not count.

        Ends the thread if the module is removed, so clean up in `finally`.
        """
        with self._changed:
            self._pause()
            while seconds > 0:
                began = time.monotonic()
                self._changed.wait(min(seconds, threading.TIMEOUT_MAX))
                seconds -= time.monotonic() - began
                self._pause()

    def wait_while_paused(self) -> None:
        """Return from here in `work` only while the module plays; at once if it does.

        Ends the thread if the module is removed, so clean up in `finally`.
        """
        with self._changed:
            self._pause()

    def stay(self) -> NoReturn:
        """Stay in `work` with nothing left to do, until the module is removed."""
        with self._changed:
            self._rest()
            while self._order != END:
                self._changed.wait()
        raise SystemExit

    def fail(self, text: str) -> None:
        """Report why this module cannot continue. `work` should then return."""
        self._has_reported = True
        super().fail(text)

    def result(self, value: Any) -> None:
        """Report the result of the work: it is done. `work` should then return."""
        super().result(value)
        self._has_reported = True

    def cmd_init(self) -> None:
        """Accept the arguments of `add`: none, unless a subclass has its own function."""

    def cmd_play(self) -> None:
        """Start the work, or let it go on."""
        self._tell(PLAY)
        if self._thread is None:
            self._is_quiet = False
            self._thread = threading.Thread(target=self._work, name="work", daemon=True)
            self._thread.start()

    def cmd_suspend(self) -> None:
        """Pause the work."""
        self._tell(PAUSE)
        with self._changed:
            self._changed.wait_for(lambda: self._is_quiet, self.patience)

    def cmd_rm(self) -> None:
        """End the work."""
        self._tell(END)
        self._join()

    commands = {"init": cmd_init, "play": cmd_play, "suspend": cmd_suspend, "rm": cmd_rm}

    def _tell(self, order: str) -> None:
        with self._changed:
            self._order = order
            self._changed.notify_all()

    def _join(self) -> None:
        """Wait until the work has ended, but not for long."""
        if self._thread is not None:
            self._thread.join(self.patience)

    def _begin_anew(self) -> None:
        self._tell(END)
        self._join()
        goes_on = self._thread is not None and self._thread.is_alive()
        if goes_on:
            sys.stderr.write("`work` goes on after its result: this process is not reused\n")
        if goes_on or self._has_raised:
            self.close()
            threads.leave()
        self._order, self._is_quiet, self._has_reported = PAUSE, True, False
        self._thread = None

    def _pause(self) -> None:
        """Wait, with the lock, while the work is to pause. Leave the thread if it is to end."""
        if threading.current_thread() is not self._thread:
            raise RuntimeError("only `work` can pause, in its own thread")
        while self._order == PAUSE:
            self._rest()
            self._changed.wait()
        if self._order == END:
            raise SystemExit
        self._is_quiet = False

    def _rest(self) -> None:
        self._is_quiet = True
        self._changed.notify_all()

    def _work(self) -> None:
        try:
            self.work()
        except SystemExit as left:
            if self._order != END and left.code:
                is_status = isinstance(left.code, int)
                self.fail(f"exited with status {left.code}" if is_status else str(left.code))
        except BaseException:
            self._has_raised = True
            raise
        finally:
            with self._changed:
                self._rest()
        if self._order != END and not self._has_reported:
            self.rm()
            self.close()
