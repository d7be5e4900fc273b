"""A queue or pool of jobs in memory, which can crash and come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from fakes import FakeClock, FakeLauncher, FakeProcess, open_with, run_until_idle
from lives import Lives, begin
from memory_keeper import MemoryKeeper

from shmooze.broker.broker import Broker
from shmooze.errors import CommandError


class Service(Lives):
    """A queue or pool, what it keeps, and its processes."""

    def __init__(self, clock: FakeClock, make: Callable[[], Broker]) -> None:
        self.clock, self._make = clock, make
        self.keeper = MemoryKeeper()
        self.launcher = FakeLauncher()
        self.broker: Any = None
        self.start()

    def start(self) -> None:
        self.launcher.processes.clear()
        self.broker = self._make()
        self.broker.items.keeper = self.keeper
        open_with(self.broker, self.launcher)
        run_until_idle()

    def crash(self) -> None:
        """End, keep nothing of that, and come back."""
        super().crash()
        self.start()

    def call(self, cmd: str, /, **args: Any) -> gevent.Greenlet:
        """Begin a command. The greenlet returns its result, or the CommandError."""
        return begin(self.broker.commands[cmd], self.broker, **args)

    def ask(self, cmd: str, /, **args: Any) -> Any:
        """A command that need not wait. Raises CommandError."""
        answer = self.call(cmd, **args).get(timeout=5)
        if isinstance(answer, CommandError):
            raise answer
        return answer

    def add(self, type: str = "job", **terms: Any) -> str:
        return str(self.ask("add", type=type, **terms)["uid"])

    @property
    def process(self) -> FakeProcess:
        """The one that was started last."""
        return self.launcher.processes[-1]

    def finish(self, value: Any = None, process: FakeProcess | None = None) -> None:
        """Let a process give its result, and end when it is told `rm`."""
        process = process or self.process
        process.update("result", value=value)
        run_until_idle()
        process.exit(0)
        run_until_idle()

    @property
    def states(self) -> list[str]:
        return [each["state"] for each in self.ask(self.broker.name)]

    @property
    def ended(self) -> list[dict[str, Any]]:
        return list(self.broker.gone())
