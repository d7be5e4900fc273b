"""A process on a node: what its launcher promises, and what is left after each fault."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from cluster import Here, Proxy, with_address
from greenlets import run_until
from support import PATIENCE, is_alive

from shmooze.cluster import ticket
from shmooze.cluster.declared import Cluster
from shmooze.cluster.launcher import ClusterLauncher
from shmooze.cluster.lease import Timing
from shmooze.errors import ModuleError
from shmooze.modules.channel.tcp import TcpEndpoint
from shmooze.processes.contract import ByteStream, Endpoint, LaunchSpec, NoEndpoint, Process

pytestmark = pytest.mark.slow

#: A process that starts another one, which leaves its session, and prints both pids.
FAMILY = """
import os, time
child = os.fork()
if not child:
    os.setsid()
    time.sleep(1000)
print(f"{os.getpid()} {child}")  # in one piece
while True: time.sleep(0.05); print("tick", flush=True)
"""
#: A process that connects a stream, and sends back what comes.
CONNECT = """
import socket, sys
stream = socket.create_connection((sys.argv[-2], int(sys.argv[-1])))
while data := stream.recv(1 << 16): stream.sendall(data)
"""


class Stage:
    """A launcher whose nodes are this machine. With a proxy between, the connection can be cut."""

    def __init__(self, **options: Any) -> None:
        self.engine = Here()
        options = Cluster(**options)
        timing = Timing(options.lease, ending=1.5)
        self.launcher = ClusterLauncher("here", self.engine, options, timing)
        self.launcher.prepare()
        self.launcher.open("test", lambda: None)
        self.processes: list[Process] = []
        self.proxies: list[Proxy] = []

    def launch(self, code: str, endpoint: Endpoint | None = None, **keys: Any) -> Process:
        spec = LaunchSpec([sys.executable, "-S", "-c", code], "test", **keys)
        process = self.launcher.launch(spec, endpoint or NoEndpoint())
        self.processes.append(process)
        return process

    def launch_family(self) -> tuple[Process, list[int]]:
        process = self.launch(FAMILY)
        run_until(lambda: process.output)
        return process, [int(pid) for pid in process.output[0].split()]

    def with_proxy(self) -> Proxy:
        """A proxy between the service and all guards to come."""

        def change(job: Any) -> Any:
            if not self.proxies:
                self.proxies.append(Proxy(ticket.read(job.ticket).addresses[0]))
            return with_address(job, self.proxies[0].address)

        self.engine.change = change
        return Later(self)

    def close(self) -> None:
        for process in self.processes:
            process.end(None)
            process.close(1)
        self.launcher.close()
        for proxy in self.proxies:
            proxy.close()


class Later:
    """The proxy of a stage, which exists once there is a job."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage.proxies[0], name)


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    stage = Stage(lease=20.0)
    yield stage
    stage.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(lease=1.5)
    yield stage
    stage.close()


def none_lives(pids: list[int]) -> bool:
    return not any(map(is_alive, pids))


def test_a_stream_that_nobody_reads_holds_up_no_other(shared: Stage) -> None:
    flood = "import os, sys; os.write(2, b'ready\\n'); os.write(1, b'x' * (1 << 22))"
    process = shared.launch(flood, has_stdio=True)
    run_until(lambda: process.errors == ["ready"])
    assert process.usage().processes == 1
    received = bytearray()
    process.stdio.read_with(received.extend)
    assert process.wait(PATIENCE) == 0
    run_until(lambda: len(received) == 1 << 22)


def test_a_stream_that_the_program_connects_is_handed_in(shared: Stage) -> None:
    taken: list[ByteStream] = []
    endpoint = TcpEndpoint("127.0.0.1", (1,), lambda number, stream: taken.append(stream))
    process = shared.launch(CONNECT, endpoint)
    (stream,) = run_until(lambda: taken)
    received = bytearray()
    stream.read_with(received.extend)
    stream.write_all(b"hello")
    run_until(lambda: received == b"hello")
    assert not process.has_unread(stream)
    process.suspend()
    stream.write_all(b"unread")
    run_until(lambda: process.has_unread(stream))
    process.resume()
    stream.end_writing()
    assert process.wait(PATIENCE) == 0


def test_a_program_that_cannot_be_started_is_explained(shared: Stage) -> None:
    with pytest.raises(ModuleError, match="cannot be started: /no/such/program: No such file"):
        shared.launcher.launch(LaunchSpec(["/no/such/program"], "test"), NoEndpoint())


def test_usage_and_the_rest_of_the_family_are_known(shared: Stage) -> None:
    process, pids = shared.launch_family()
    assert process.usage().processes == 2
    assert {each.text.split()[1] for each in process.remaining()} == {str(pid) for pid in pids}
    process.refresh()
    assert not process.is_alone()
    assert process.end(PATIENCE) == "SIGTERM"
    assert process.exit_status == -signal.SIGTERM
    assert none_lives(pids)


def test_no_secret_of_the_ticket_is_in_the_environment(shared: Stage) -> None:
    process = shared.launch("import os; print(*sorted(os.environ), sep='\\n')")
    process.wait(PATIENCE)
    run_until(lambda: process.output)
    assert not [name for name in process.output if "TICKET" in name]


def test_only_the_first_guard_of_a_ticket_may_start(shared: Stage) -> None:
    process, pids = shared.launch_family()
    second = shared.engine.jobs[-1].run()  # as an engine does that takes its worker for dead
    assert second.wait() == 0
    second.stdin.close()
    assert not none_lives(pids)
    assert process.exit_status is None


def test_a_launch_that_gets_no_node_says_what_was_asked() -> None:
    stage = Stage(start_timeout=0.05)
    stage.engine.is_full = True
    words = "no node with gpu 1 among big within 0.05 s"
    with pytest.raises(ModuleError, match=words):
        stage.launch("pass", needs={"gpu": 1}, hosts=["big"])
    assert stage.engine.jobs[0].is_cancelled
    late = stage.engine.jobs[0].run()  # the engine finds a node all the same
    late.stdin.close()
    assert late.wait() == 0
    stage.close()


def test_a_launch_that_waits_can_be_withdrawn() -> None:
    stage = Stage()
    stage.engine.is_full = True
    spec = LaunchSpec(["true"], "test")
    launching = gevent.spawn(stage.launcher.launch, spec, NoEndpoint())
    run_until(lambda: stage.engine.jobs)
    stage.launcher.withdraw(spec)
    launching.join(PATIENCE)
    assert str(launching.exception) == "was removed before it had a node"
    assert stage.engine.jobs[0].is_cancelled
    stage.close()


def test_nothing_is_lost_or_doubled_when_the_connection_breaks(stage: Stage) -> None:
    proxy = stage.with_proxy()
    count = "import time\nfor n in range(300): print(n, flush=True); time.sleep(0.002)"
    process, lines = stage.launch(count), []
    process.on_output(lambda line: lines.append(int(line.text)))
    for seen in (1, 100, 200):
        run_until(lambda seen=seen: len(lines) >= seen)
        proxy.reset()
    assert process.wait(PATIENCE) == 0
    run_until(lambda: len(lines) == 300)
    assert lines == [*range(300)]
    assert process.loss is None


def test_a_process_survives_a_short_silence_of_the_link(stage: Stage) -> None:
    proxy = stage.with_proxy()
    process, pids = stage.launch_family()
    proxy.stop()
    run_until(lambda: process.loss)
    assert process.loss.startswith("cannot be reached on ")
    proxy.go_on()
    run_until(lambda: process.loss is None)
    assert process.usage().processes == 2
    assert not none_lives(pids)


def test_a_process_that_is_cut_off_ends_before_it_counts_as_lost(stage: Stage) -> None:
    proxy = stage.with_proxy()
    process, pids = stage.launch_family()
    proxy.stop()
    was_over = []
    process.when_exited(lambda: was_over.append(none_lives(pids)))
    assert process.wait(PATIENCE) == -signal.SIGKILL
    run_until(lambda: was_over)
    assert was_over == [True]
    assert process.loss.startswith("was lost with ")
    assert process.end(1) is None


def test_a_process_ends_when_its_guard_is_killed(stage: Stage) -> None:
    process, pids = stage.launch_family()
    stage.engine.jobs[-1].kill()
    run_until(lambda: none_lives(pids))
    assert process.wait(PATIENCE) == -signal.SIGKILL
    assert "its job has ended" in process.loss


def test_a_process_ends_in_time_when_its_guard_is_stopped(stage: Stage) -> None:
    process, pids = stage.launch_family()
    (guard,) = children_of(stage.engine.jobs[-1].process.pid)
    os.kill(guard, signal.SIGSTOP)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    assert none_lives(pids)


def test_a_process_ends_with_what_has_started_its_guard(stage: Stage) -> None:
    process, pids = stage.launch_family()
    stage.engine.jobs[-1].cancel()
    assert process.wait(PATIENCE) == -signal.SIGKILL
    assert none_lives(pids)
    assert "what had started it is gone" in process.loss


def test_a_guard_that_gets_sigterm_ends_its_process_with_patience(stage: Stage) -> None:
    process, pids = stage.launch_family()
    stage.engine.jobs[-1].process.terminate()
    assert process.wait(PATIENCE) == -signal.SIGTERM
    run_until(lambda: none_lives(pids))
    assert "got SIGTERM" in process.loss


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(each) for each in file.read().split()]


def test_off_loopback_everything_is_encrypted() -> None:
    stage = Stage(door_host="0.0.0.0", door_addresses=["127.0.0.1"])
    process = stage.launch("print('hello')")
    own = ticket.read(stage.engine.jobs[0].job.ticket)
    assert own.tls is not None
    assert process.wait(PATIENCE) == 0
    run_until(lambda: process.output == ["hello"])
    stage.close()
