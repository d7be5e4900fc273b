"""What a launcher gives a process: standard input and output, variables, a directory, pauses.

What holds for all launchers is tested with that of clusters too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
from cluster import Here
from gevent.event import Event
from greenlets import run_until
from support import PATIENCE

from shmooze.cluster.declared import Cluster
from shmooze.cluster.launcher import ClusterLauncher
from shmooze.errors import ModuleError
from shmooze.processes.contract import Launcher, LaunchSpec, NoEndpoint, Process
from shmooze.processes.local import LocalLauncher
from shmooze.runtime import clock
from shmooze.runtime.patience import Patience

ECHO = "import sys\nfor line in sys.stdin: sys.stdout.write(line)"
TELL = "import json, os; print(json.dumps([os.environ.get('SONG'), os.getcwd()]))"
#: A process that starts another one, and prints both pids.
FAMILY = """
import os, subprocess, time
child = subprocess.Popen(["sleep", "100"])
print(f"{os.getpid()} {child.pid}")  # in one piece
time.sleep(100)
"""

Launch = Callable[..., Process]


def launching_with(launcher: Launcher) -> Iterator[Launch]:
    started: list[Process] = []

    def launch(code: str, **keys: object) -> Process:
        spec = LaunchSpec([sys.executable, "-S", "-c", code], "test", **keys)
        started.append(launcher.launch(spec, NoEndpoint()))
        return started[-1]

    yield launch
    for process in started:
        process.end(None)
        process.close(0)


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts a process on this machine."""
    launcher = LocalLauncher()
    launcher.prepare()
    yield from launching_with(launcher)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Launcher]:
    launcher = ClusterLauncher("here", Here(), Cluster())
    launcher.prepare()
    yield launcher
    launcher.close()


@pytest.fixture(params=["local", pytest.param("cluster", marks=pytest.mark.slow)])
def launch_by_each(request: pytest.FixtureRequest) -> Iterator[Launch]:
    """Starts a process with each launcher."""
    if request.param == "local":
        yield request.getfixturevalue("launch")
    else:
        yield from launching_with(request.getfixturevalue("cluster"))


def test_standard_input_and_output_can_be_a_connection(launch_by_each: Launch) -> None:
    process, received, is_over = launch_by_each(ECHO, has_stdio=True), bytearray(), Event()

    def receive(data: bytes) -> None:
        received.extend(data)
        if not data:
            is_over.set()

    process.stdio.read_with(receive)
    large = b"a long line " * 50_000 + b"\n"  # more than a pipe holds
    process.stdio.write_all(large)
    process.stdio.end_writing()
    assert is_over.wait(20)
    assert received == large
    assert process.wait(20) == 0


def test_writing_ends_when_the_connection_is_closed(launch_by_each: Launch) -> None:
    process = launch_by_each("import time; time.sleep(100)", has_stdio=True)
    writing = gevent.spawn(process.stdio.write_all, b"x" * (1 << 20))
    gevent.idle()
    process.stdio.close()
    writing.join(20)
    assert isinstance(writing.exception, BrokenPipeError)


def test_a_type_has_variables_and_a_directory_of_its_own(
    launch_by_each: Launch, tmp_path: Path
) -> None:
    process = launch_by_each(TELL, environ={"SONG": "Für Elise"}, cwd=str(tmp_path))
    process.wait(20)
    run_until(lambda: process.output)
    assert json.loads(process.output[0]) == ["Für Elise", str(tmp_path)]


def test_a_directory_that_is_not_there_is_named(launch_by_each: Launch) -> None:
    with pytest.raises(ModuleError, match="the directory /no/such does not exist"):
        launch_by_each(TELL, cwd="/no/such")


def test_a_process_is_suspended_and_resumed_with_all_that_it_started(
    launch_by_each: Launch,
) -> None:
    process = launch_by_each(FAMILY)
    run_until(lambda: process.output)
    pids = [int(pid) for pid in process.output[0].split()]

    process.suspend()
    run_until(lambda: [state_of(pid) for pid in pids] == ["T", "T"])
    process.resume()
    run_until(lambda: "T" not in map(state_of, pids))
    process.suspend()
    assert process.end(20) == "SIGTERM"  # which a stopped process would not notice
    assert process.exit_status == -signal.SIGTERM


def test_a_process_that_is_to_end_gets_sigterm_without_a_wait(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = launch("import time; time.sleep(100)")
    before, waits = clock.wait, list[float]()

    def wait(event: clock.Waitable, timeout: float) -> bool:
        waits.append(timeout)
        return before(event, timeout)

    monkeypatch.setattr(clock, "wait", wait)
    assert process.end(20) == "SIGTERM"
    assert waits[0] == Patience.step, "it waits for nothing but the end"


def state_of(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_nothing_is_left_open_when_a_program_cannot_be_started(launch: Launch) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(ModuleError, match="cannot be started"):
        launch_stdio(["/no/such/program"])
    assert set(os.listdir("/proc/self/fd")) <= before


def launch_stdio(argv: list[str]) -> Process:
    launcher = LocalLauncher()
    launcher.prepare()
    return launcher.launch(LaunchSpec(argv, "test", has_stdio=True), NoEndpoint())


def test_it_is_known_whether_a_child_has_read_its_input(launch_by_each: Launch) -> None:
    process = launch_by_each(ECHO, has_stdio=True)
    echoed = Event()
    process.stdio.read_with(lambda data: echoed.set())
    assert not process.has_unread(None)
    process.suspend()
    process.stdio.write(b"a line\n")
    assert process.has_unread(None)
    process.resume()
    process.stdio.end_writing()
    assert echoed.wait(PATIENCE)
    assert not process.has_unread(None)


#: A process that starts another one, which starts another one, each in a session of its own.
CHAIN = """
import os, time
for _ in range(1000):
    time.sleep(0.002)
    if os.fork():
        time.sleep(1000)
    os.setsid()
"""


def test_what_is_started_while_a_process_is_suspended_is_suspended_too(launch: Launch) -> None:
    process = launch(CHAIN)
    run_until(lambda: len(process.tree()) > 1)
    process.suspend()
    before = {pid: state_of(pid) for pid in process.tree()}
    assert set(before.values()) == {"T"}
    gevent.sleep(0.02)  # many links of a chain that runs
    assert {pid: state_of(pid) for pid in process.tree()} == before


class SlowToStop:
    """A process that starts another one between SIGSTOP and the moment when that takes effect."""

    def __init__(self, family: list[SlowToStop], starts: int) -> None:
        self._family, self._starts = family, starts
        self._looks = 0
        self.pid = -len(family)
        self.signals: list[signal.Signals] = []
        family.append(self)

    def send(self, number: signal.Signals) -> None:
        self.signals.append(number)

    def is_stopped(self) -> bool:
        self._looks += 1
        if self._looks == 3 and self._starts:
            SlowToStop(self._family, self._starts - 1)
        return self._looks > 3


def test_what_a_process_starts_before_it_stops_is_stopped_too(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, family = launch("import time; time.sleep(100)"), list[SlowToStop]()
    SlowToStop(family, starts=2)
    monkeypatch.setattr(process, "_members", lambda: [*family])
    process.suspend()
    assert [signal.SIGSTOP in each.signals for each in family] == [True] * 3
