"""Fakes for tests of the broker that start no process: a clock, a launcher, a child in memory."""

from __future__ import annotations

import heapq
import itertools
import json
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent.event import Event

from shmooze.broker.admission import Admission
from shmooze.broker.broker import Broker
from shmooze.broker.ordering import Fifo
from shmooze.errors import ModuleError
from shmooze.modules import Module
from shmooze.modules.channel.streams import StreamChannel
from shmooze.modules.terms import Terms
from shmooze.processes.contract import (
    Endpoint,
    LaunchSpec,
    NoEndpoint,
    OutputLine,
    PastOutput,
    Usage,
)
from shmooze.runtime import clock
from shmooze.runtime.patience import Patience

#: Seconds after which greenlets that take milliseconds will never come to rest.
REST = 5.0


def run_until_idle() -> None:
    """Let all greenlets run until each waits for something."""
    with gevent.Timeout(REST, AssertionError("something is done over and over")):
        for _ in range(2):  # the loop is idle when nothing is due that was begun before
            gevent.idle()


class FakeClock(clock.Clock):
    """Stands still until it is advanced."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0
        #: By how much the clock of the machine was set.
        self._was_set = 0.0
        self._until: list[Event] = []
        self._timers: list[tuple[float, int, Event]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.seconds

    def time(self) -> float:
        return self.seconds + self._was_set

    def wait(self, event: clock.Waitable, timeout: float | None) -> bool:
        if event.ready():
            return True
        if timeout is None:
            event.wait()
            return event.ready()
        over = Event()
        heapq.heappush(self._timers, (self.seconds + timeout, next(self._numbers), over))

        def end(_: object) -> None:
            over.set()

        event.rawlink(end)
        try:
            over.wait()
        finally:
            event.unlink(end)
        return event.ready()

    def sleep(self, seconds: float) -> None:
        self.wait(Event(), seconds)

    def wait_until(self, event: clock.Waitable, moment: float) -> None:
        woken = Event()
        self._until.append(woken)
        event.rawlink(end := lambda _: woken.set())
        try:
            if not event.ready() and moment > self.time():
                self.wait(woken, moment - self.time())
        finally:
            event.unlink(end)
            self._until.remove(woken)

    def set(self, moment: float) -> None:
        """Set the clock of the machine, while no time passes."""
        self._was_set = moment - self.seconds
        for each in self._until:
            each.set()
        run_until_idle()

    def advance(self, seconds: float) -> None:
        """Let time pass, timer by timer, and whatever follows from each happen in between."""
        end = self.seconds + seconds
        run_until_idle()
        while self._timers and self._timers[0][0] <= end:
            due, _, over = heapq.heappop(self._timers)
            self.seconds = max(self.seconds, due)
            if not over.is_set():
                over.set()
                run_until_idle()
        self.seconds = end
        run_until_idle()

    def skip(self, seconds: float) -> None:
        """Stop the service for a while: time passes, and nothing runs meanwhile."""
        self.seconds += seconds


class Link:
    """A connection in memory, as its module holds it."""

    piece = 1 << 14

    def __init__(self, on_data: Callable[[bytes], None]) -> None:
        self._on_data = on_data
        self._receive: Callable[[bytes], None] = lambda data: None
        #: What has arrived and is not read yet; None: everything is read at once.
        self.unread: list[bytes] | None = None
        self.is_closed = False

    def read_with(self, receive: Callable[[bytes], None]) -> None:
        self._receive = receive

    def deliver(self, data: bytes) -> None:
        """Bytes come from the child, or with none its end of file."""
        if self.unread is not None:
            self.unread.append(data)
        elif not self.is_closed:
            gevent.spawn(self._receive, data)

    def wait_end(self, timeout: float) -> None:
        for data in self.unread or ():
            self._receive(data)

    def write(self, data: bytes) -> int:
        if self.is_closed:
            raise BrokenPipeError
        self._on_data(data)
        return len(data)

    def write_all(self, data: bytes) -> None:
        self.write(data)

    def end_writing(self) -> None:
        self._on_data(b"")

    def stop_reading(self) -> None:
        self._receive = lambda data: None

    def close(self) -> None:
        self.stop_reading()
        self.is_closed = True


class MemoryChannel(StreamChannel):
    """A channel whose child is an object of this process."""

    def connect(self, timeout: float) -> None:
        self._owner.launch(NoEndpoint()).may_connect(self)
        self._wait_connected(Patience(timeout))

    def has_unread(self, process: FakeProcess) -> bool:
        return process.leaves_unread and bool(process.heard)


class FakeProcess:
    """A child. It notes the commands that it gets, and does what a test tells it to do."""

    def __init__(self, number: int, spec: LaunchSpec) -> None:
        self.number, self.label, self.spec = number, spec.label, spec
        self.exit_status: int | None = None
        self.output: list[str] = []
        self.errors: list[str] = []
        #: Commands that it has got, and those of them that it has not answered, in order.
        self.heard: list[str] = []
        self.unanswered: deque[str] = deque()
        #: The states that it was given to restore.
        self.restored: list[Any] = []
        #: Why its updates were refused.
        self.refusals: list[str] = []
        #: Commands that it has not refused.
        self.accepted: set[str] = set()
        #: Whether it connects and answers by itself.
        self.is_obedient = True
        #: Whether it reads nothing any more, and does not end at SIGTERM.
        self.leaves_unread = False
        self.has_hung_up = False
        #: Whether it has sent a result, and has not begun with another item.
        self.is_done = False
        #: Called when it is renewed.
        self.on_renewed: Callable[[FakeProcess], None] = lambda process: None
        #: Whether something runs that it has started.
        self.has_started_others = False
        #: The machine on which it runs, and why that is lost.
        self.host: str | None = None
        self.loss: str | None = None
        #: Whether it is stopped.
        self.is_suspended = False
        #: Ports that others listen on, as it knows them.
        self.foreign_ports: set[int] = set()
        self._commands = Link(self._take)
        self._updates = Link(self._take_acknowledgements)
        #: Its standard input and output, if that is how it is spoken to.
        self.stdio = self._commands
        if spec.has_stdio:
            self._updates = self.stdio
        #: Why its limits have ended it.
        self.has_exceeded: str | None = None
        self._when_over_limits: list[Callable[[str], None]] = []
        self._watchers: list[Callable[[list[str]], None]] = []
        self._listeners: list[Callable[[OutputLine], None]] = []
        self._channel: MemoryChannel | None = None
        self._exited = Event()

    # What a module knows of it.

    def describe(self) -> str:
        return f"fake {self.number}"

    def on_output(self, listener: Callable[[OutputLine], None]) -> None:
        self._listeners.append(listener)

    def add_output(self, text: str) -> None:
        self.output += text.splitlines()

    def watch_output(self, listener: Callable[[list[str]], None]) -> None:
        self._watchers.append(listener)

    def authenticate(self, connection: Any) -> bool:
        return True

    def has_unread(self, connection: Any) -> bool:
        return self.leaves_unread

    def listens(self, port: int) -> bool:
        return port not in self.foreign_ports

    def suspend(self) -> None:
        self.is_suspended = True

    def resume(self) -> None:
        self.is_suspended = False

    def usage(self) -> Usage:
        return Usage(0.0, 0, 1)

    def when_over_limits(self, call: Callable[[str], None]) -> None:
        self._when_over_limits.append(call)

    def exceeded(self) -> str | None:
        return self.has_exceeded

    def is_alone(self) -> bool:
        return self.exit_status is None and not self.has_started_others

    def refresh(self) -> None:
        pass

    def renew(self, label: str) -> PastOutput:
        past = PastOutput(self.output, self.errors)
        self.label, self.output, self.errors = label, [], []
        self._watchers.clear()
        self._listeners.clear()
        self.on_renewed(self)
        return past

    def when_exited(self, call: Callable[[], None]) -> None:
        self._exited.rawlink(lambda _: gevent.spawn(call))

    def wait(self, timeout: float | None = None) -> int | None:
        clock.wait(self._exited, timeout)
        return self.exit_status

    def end(self, patience: float | None) -> str | None:
        if self.exit_status is not None:
            return None
        if patience is not None:
            if not self.leaves_unread:
                self.exit(-signal.SIGTERM)
                return "SIGTERM"
            clock.wait(self._exited, patience)
        if self.exit_status is None:
            self.exit(-signal.SIGKILL)
        return "SIGKILL"

    def close(self, patience: float) -> None:
        pass

    def may_connect(self, channel: MemoryChannel) -> None:
        self._channel = channel
        if self.is_obedient:
            self.connect()

    # What a test has it do.

    def connect(self) -> None:
        """Connect both streams."""
        channel = self._channel
        if channel is not None and not channel.commands.is_taken and self.exit_status is None:
            channel.commands.attach(self._commands)
            channel.updates.attach(self._updates)

    def answer(self, success: bool = True, result: Any = None) -> None:
        """Answer the oldest command that has no answer yet."""
        cmd = self.unanswered.popleft()
        answer = {"success": True, "result": cmd if result is None else result}
        if success:
            self.accepted.add(cmd)
        else:
            answer = {"success": False, "error": f"no {cmd}"}
        self._commands.deliver(json.dumps(answer).encode() + b"\n")

    @property
    def is_playing(self) -> bool:
        """Whether it was told to play, and neither has paused nor reads any more commands."""
        # A process that is reused begins anew with each `init`.
        last = [cmd for cmd in self.heard if cmd in ("init", "play", "suspend", "rm")][-1:]
        is_told = last == ["play"] or (last == ["suspend"] and "suspend" in self.unanswered)
        is_at_work = not self.is_done and not self.has_hung_up and self.exit_status is None
        return is_told and is_at_work

    def answer_unasked(self) -> None:
        """Send an answer to which there is no command."""
        self._commands.deliver(b'{"success":true,"result":"unasked"}\n')

    def print(self, *lines: str, is_error: bool = False) -> None:
        """Print lines that are read together."""
        self.output += lines
        self.errors += lines if is_error else ()
        for watcher in self._watchers:
            watcher([*lines])
        for line in lines:
            for listener in self._listeners:
                listener(OutputLine(line, is_error))

    def send(self, line: str) -> None:
        """Send a line on the update stream, whatever it is."""
        self._updates.deliver(line.encode() + b"\n")

    def delay_reading(self) -> None:
        """Have what is sent from now on read late: the loop of the service is busy."""
        self._commands.unread, self._updates.unread = [], []

    def update(self, cmd: str, **args: Any) -> None:
        """Send an update."""
        self.is_done = self.is_done or cmd == "result"
        self._updates.deliver(json.dumps({"cmd": cmd, "args": args}).encode() + b"\n")

    def exceed(self, reason: str) -> None:
        """Use more than its limits."""
        for call in self._when_over_limits:
            call(reason)

    def exit(self, status: int) -> None:
        """End, by itself or by a signal."""
        if self.exit_status is None:
            self.exit_status = status
            self._commands.deliver(b"")
            self._updates.deliver(b"")
            self._exited.set()

    def _take(self, data: bytes) -> None:
        if not data:
            self.has_hung_up = True
        for line in data.splitlines():
            command = json.loads(line)
            cmd = command["cmd"]
            if cmd == "restore":
                self.restored.append(command["args"]["state"])
            self.heard.append(cmd)
            if cmd == "init":
                self.is_done = False
            self.unanswered.append(cmd)
            if self.is_obedient and len(self.unanswered) == 1:
                self.answer()

    def _take_acknowledgements(self, data: bytes) -> None:
        answers = [json.loads(line) for line in data.splitlines()]
        self.refusals += [answer["error"] for answer in answers if not answer["success"]]


class FakeLauncher:
    """Starts nothing. `on_launch` is given each new process before its module is."""

    def __init__(self, on_launch: Callable[[FakeProcess], None] = lambda process: None) -> None:
        self._on_launch = on_launch
        self.processes: list[FakeProcess] = []
        #: Why launching fails at present; empty: it does not.
        self.fault = ""
        #: Cleared while launching takes its time.
        self.may_go_on = Event()
        self.may_go_on.set()
        self._ports = itertools.count(20_000)

    def find_port(self, wanted: int | None) -> int:
        return wanted or next(self._ports)

    def launch(self, spec: LaunchSpec, endpoint: Endpoint) -> FakeProcess:
        self.may_go_on.wait()
        if self.fault:
            raise ModuleError(f"cannot be started: {self.fault}")
        process = FakeProcess(len(self.processes), spec)
        self.processes.append(process)
        self._on_launch(process)
        return process

    def withdraw(self, spec: LaunchSpec) -> None:
        pass

    @property
    def living(self) -> list[FakeProcess]:
        """The processes that have not ended."""
        return [process for process in self.processes if process.exit_status is None]


class AnyPriority(Fifo):
    """An order in which items may have priorities, which mean nothing to it."""

    def terms_of_new(self, terms: Terms) -> Terms:
        return terms


class FakeLaunchers:
    """One launcher for all types."""

    def __init__(self, launcher: FakeLauncher) -> None:
        self._launcher = launcher

    def of(self, kind: type[Module]) -> FakeLauncher:
        return self._launcher

    def limits_available(self, kinds: Iterable[type[Module]]) -> dict[str, Any]:
        return {kind.TYPE_STRING: {} for kind in kinds}


class Fake(Module):
    """A type of module whose children are in memory."""

    make_channel = MemoryChannel
    process = ("fake",)


@contextmanager
def fake_clock() -> Iterator[FakeClock]:
    """Replace the clock of this process for a while."""
    fake = FakeClock()
    before = clock.use(fake)
    try:
        yield fake
    finally:
        clock.use(before)


def open_with(broker: Broker, launcher: FakeLauncher, max_modules: int | None = None) -> None:
    """Let a broker make modules that are in memory. It serves nobody."""
    broker.restore(FakeLaunchers(launcher))
    broker.open(FakeLaunchers(launcher), Admission({}, max_modules, None))
