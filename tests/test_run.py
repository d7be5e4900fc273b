"""`shmooze run` in memory: what runs a service, restarts, the order of ends."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from fakes import FakeClock, run_until_idle

from shmooze.errors import SettingsError
from shmooze.processes.spawn_request import SpawnRequest
from shmooze.run.lines import Write, open_lines
from shmooze.run.process import Process
from shmooze.run.programs import Application, Program, find_programs
from shmooze.run.supervisor import Supervisor
from shmooze.runtime import declared
from shmooze.runtime.program import flush_log
from shmooze.settings import Settings

MODULES = {"modules": {"cow": {"process": ["cow"]}}}


@pytest.fixture
def find(tmp_path: Path) -> Callable[..., Application]:
    """A function that finds the programs of some settings."""

    def find(**settings: Any) -> Application:
        file = tmp_path / "settings.json"
        file.write_text(json.dumps(settings))
        return find_programs(declared.check(Settings.load({"SHMOOZE_SETTINGS": str(file)})))

    return find


def test_gateway_queue_and_pool_are_run_by_their_names_the_gateway_first(
    find: Callable[..., Application],
) -> None:
    ports = {"pool": 3, "queue": 2, "wsgi": 1}
    found = find(ports=ports, queue=MODULES, pool=MODULES)
    assert [(each.name, *each.argv[2:]) for each in found.programs] == [
        ("wsgi", "shmooze.wsgi"),
        ("pool", "shmooze.pool", "pool"),
        ("queue", "shmooze.queue", "queue"),
    ]
    assert {each.argv[0] for each in found.programs} == {sys.executable}
    assert found.left_out == []


def test_kind_says_what_a_service_of_another_name_is(find: Callable[..., Application]) -> None:
    found = find(ports={"wsgi": 1, "jobs": 2}, jobs={"kind": "pool", **MODULES})
    assert found.programs[1].argv[2:] == ["shmooze.pool", "jobs"]


def test_a_program_of_ones_own_runs_a_service(find: Callable[..., Application]) -> None:
    found = find(ports={"vol": 2}, vol={"program": ["python3", "volume.py"], "stop_timeout": 5})
    (program,) = found.programs
    assert program == Program("vol", ["python3", "volume.py"], is_ours=False, stop_timeout=5)


@pytest.mark.parametrize("section", [None, {}, {"max_modules": 3}, "text"])
def test_a_service_that_nothing_runs_is_left_out_with_one_line(
    find: Callable[..., Application], section: Any
) -> None:
    found = find(ports={"wsgi": 1, "vol": 2}, **({} if section is None else {"vol": section}))
    assert [each.name for each in found.programs] == ["wsgi"]
    words = "vol is not run: its section in the settings has neither `modules` nor a `program`"
    assert found.left_out == [words]


def test_a_service_on_another_machine_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    ports = {"here": "127.0.0.1:1", "there": "192.0.2.1:2"}
    own = {name: {"program": [name]} for name in ports}
    file.write_text(json.dumps({"ports": ports, **own}))
    found = find_programs(Settings.load({"SHMOOZE_SETTINGS": str(file)}))
    assert [each.name for each in found.programs] == ["here"]
    assert "there is not run: `ports` says that it is at 192.0.2.1" in found.left_out


def test_without_a_gateway_one_line_says_so(find: Callable[..., Application]) -> None:
    found = find(ports={"queue": 2}, queue=MODULES)
    assert found.left_out == ["no gateway, and so no page: `ports` does not name `wsgi`"]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (MODULES, '`jobs.kind` is missing; it must be "queue" or "pool"'),
        ({"kind": "pol", **MODULES}, '`jobs.kind` must be one of "queue", "pool", or null'),
        ({"program": []}, "`jobs.program` must be a list with a program and its arguments"),
        ({"program": "x"}, "`jobs.program` must be a list with a program and its arguments"),
        ({"program": ["x"], "stop_timeout": 0}, "`jobs.stop_timeout` must be a number of seconds"),
        ({"moduels": {}}, "`jobs.moduels` is unknown; did you mean `modules`?"),
        ({"progam": ["x"]}, "`jobs.progam` is unknown; did you mean `program`?"),
        (None, "`ports` names nothing that can be run; jobs is not run: its section"),
    ],
)
def test_a_mistake_in_what_runs_a_service_is_one_line(
    find: Callable[..., Application], section: Any, words: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        find(ports={"jobs": 2}, **({} if section is None else {"jobs": section}))
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


class Machine:
    """Starts programs in memory, each with a pid that no process can have."""

    def __init__(self) -> None:
        #: The signals that were sent, with the names of programs.
        self.sent: list[tuple[str, signal.Signals]] = []
        self.starts: list[str] = []
        #: Whether SIGTERM ends the program of a name.
        self.obeys: dict[str, bool] = {}
        self._running: dict[int, SpawnRequest] = {}

    def start(self, request: SpawnRequest) -> int:
        (name,) = request.argv
        if name == "missing":
            raise FileNotFoundError(2, "No such file or directory")
        self.starts.append(name)
        pid = (1 << 22) + len(self.starts)
        self._running[pid] = request._replace(stdout=os.dup(request.stdout))
        return pid

    def send(self, pid: int, number: signal.Signals) -> None:
        name = self._running[pid].argv[0]
        self.sent.append((name, number))
        if number == signal.SIGKILL or self.obeys.get(name, True):
            self.end(name, -number if number == signal.SIGKILL else 0)

    def end(self, name: str, status: int) -> None:
        """A program ends."""
        pid = next(each for each, request in self._running.items() if request.argv == [name])
        ended = self._running.pop(pid)
        os.close(ended.stdout)
        ended.on_exit(status)
        run_until_idle()

    def close(self) -> None:
        for each in self._running.values():
            os.close(each.stdout)

    def say(self, name: str, text: bytes) -> None:
        """A program prints something."""
        request = next(each for each in self._running.values() if each.argv == [name])
        os.write(request.stdout, text)
        run_until_idle()


@pytest.fixture
def machine(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine()
    monkeypatch.setattr("shmooze.run.process.send", machine.send)
    yield machine
    machine.close()


def supervisor(machine: Machine, *names: str, write: Write = lambda name, line: None) -> Supervisor:
    """A supervisor that has started programs of these names."""
    programs = [
        Program(name, [name], name != "own", 5.0 if name == "own" else None) for name in names
    ]
    made = Supervisor(programs, write, spawn=machine.start)
    made.start()
    run_until_idle()
    return made


def test_a_program_that_ends_young_is_restarted_after_growing_delays(
    machine: Machine, clock: FakeClock
) -> None:
    supervisor(machine, "queue")
    clock.advance(Process.healthy)
    machine.end("queue", -signal.SIGKILL)
    assert len(machine.starts) == 2, "it has run for long, so it is restarted at once"
    for expected, delay in enumerate((0.5, 1.0, 2.0), 2):
        machine.end("queue", 1)
        clock.advance(delay * 0.99)
        assert len(machine.starts) == expected
        clock.advance(delay * 0.02)
        assert len(machine.starts) == expected + 1


def test_a_program_that_has_run_for_long_is_restarted_at_once_again(
    machine: Machine, clock: FakeClock
) -> None:
    supervisor(machine, "queue")
    for _ in range(3):
        machine.end("queue", 0)
        clock.advance(Process.backoff.longest)
    clock.advance(Process.healthy)
    before = len(machine.starts)
    machine.end("queue", 0)
    assert len(machine.starts) == before + 1


@pytest.fixture
def stop_requests(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that the supervisor sends to itself."""
    sent: list[int] = []
    monkeypatch.setattr(Supervisor, "_end_itself", lambda self: sent.append(signal.SIGTERM))
    return sent


def test_a_program_that_refuses_its_first_start_ends_the_application(
    machine: Machine, clock: FakeClock, stop_requests: list[int]
) -> None:
    ours = supervisor(machine, "queue", "pool")
    machine.end("queue", 2)
    assert (ours.status, stop_requests) == (2, [signal.SIGTERM])
    clock.advance(60)
    assert machine.starts == ["queue", "pool"]
    ours.stop()
    assert machine.sent == [("pool", signal.SIGTERM)]


def test_a_program_that_does_not_exist_ends_the_application(
    machine: Machine, stop_requests: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    ours = supervisor(machine, "missing", "pool")
    assert (ours.status, stop_requests) == (2, [signal.SIGTERM])
    words = "missing cannot be run: it cannot be started: missing: No such file or directory"
    assert words in caplog.text
    ours.stop()


def test_a_program_that_refuses_a_later_start_is_tried_again(
    machine: Machine, clock: FakeClock, stop_requests: list[int]
) -> None:
    supervisor(machine, "queue")
    for _ in range(2):  # its port may still be in use
        clock.advance(60)
        machine.end("queue", -signal.SIGKILL)
        machine.end("queue", 2)
    assert not stop_requests


def test_the_gateway_ends_first_and_then_all_others_at_the_same_time(machine: Machine) -> None:
    ours = supervisor(machine, "wsgi", "queue", "pool")
    machine.obeys = {"wsgi": False, "queue": False, "pool": False}
    stopping = gevent.spawn(ours.stop)
    run_until_idle()
    assert machine.sent == [("wsgi", signal.SIGTERM)]
    machine.end("wsgi", 0)
    assert machine.sent[1:] == [("queue", signal.SIGTERM), ("pool", signal.SIGTERM)]
    machine.end("pool", 0)
    assert not stopping.ready()
    machine.end("queue", 0)
    assert stopping.ready()
    assert machine.starts == ["wsgi", "queue", "pool"], "nothing is started again"


def test_a_gateway_that_does_not_end_holds_nobody_up(machine: Machine, clock: FakeClock) -> None:
    ours = supervisor(machine, "wsgi", "queue")
    machine.obeys = {"wsgi": False}
    stopping = gevent.spawn(ours.stop)
    clock.advance(Supervisor.gateway_timeout)
    assert ("queue", signal.SIGTERM) in machine.sent
    machine.end("wsgi", 0)
    assert stopping.ready()


def test_a_program_of_ones_own_is_killed_when_its_time_is_over(
    machine: Machine, clock: FakeClock
) -> None:
    ours = supervisor(machine, "own", "queue")
    machine.obeys = {"own": False, "queue": False}
    stopping = gevent.spawn(ours.stop)
    clock.advance(4.9)
    assert [number for _, number in machine.sent] == [signal.SIGTERM] * 2
    clock.advance(0.2)
    assert machine.sent[2:] == [("own", signal.SIGKILL)]
    clock.advance(3600)
    assert not stopping.ready(), "a queue ends by itself, however long that takes"
    machine.end("queue", 0)
    assert stopping.ready()


def test_nothing_is_started_again_while_it_stops(machine: Machine, clock: FakeClock) -> None:
    ours = supervisor(machine, "queue")
    machine.end("queue", 1)
    ours.stop()
    clock.advance(60)
    assert machine.starts == ["queue"]


@pytest.fixture
def two_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file with the programs `one` and `two`."""
    file = tmp_path / "settings.json"
    sections = {name: {"program": [name]} for name in ("one", "two")}
    file.write_text(json.dumps({"ports": {"one": 1, "two": 2}, **sections}))
    monkeypatch.setenv("SHMOOZE_SETTINGS", str(file))
    return file


def test_sighup_is_passed_on_when_it_means_to_reload(
    machine: Machine, two_programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shmooze.run.supervisor._has_terminal", lambda: False)
    machine.obeys = {"one": False, "two": False}
    supervisor(machine, "one", "two").on_hangup()
    assert machine.sent == [("one", signal.SIGHUP), ("two", signal.SIGHUP)]


def test_broken_settings_are_not_passed_on(
    machine: Machine,
    two_programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("shmooze.run.supervisor._has_terminal", lambda: False)
    two_programs.write_text("{")
    supervisor(machine, "one", "two").on_hangup()
    assert machine.sent == []
    assert "broken JSON at line 1 column 2" in caplog.text
    assert "Nothing was changed" in caplog.text


def test_sighup_of_a_terminal_that_is_closed_always_stops(
    machine: Machine, stop_requests: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shmooze.run.supervisor._has_terminal", lambda: True)
    supervisor(machine, "one").on_hangup()
    assert (stop_requests, machine.sent) == ([signal.SIGTERM], [])


@pytest.fixture
def own_log() -> Iterator[None]:
    """Handlers and level of the log are as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_each_line_of_output_has_the_name_in_front(
    machine: Machine, own_log: None, capfd: pytest.CaptureFixture[str]
) -> None:
    write = open_lines(["wsgi", "jukebox"], as_json=False)
    supervisor(machine, "wsgi", "jukebox", write=write)
    machine.say("wsgi", b"one\ntwo \x1b[1m\n")
    machine.say("jukebox", b"three\n")
    flush_log()
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("run     | 2")
    assert lines[2:] == ["wsgi    | one", "wsgi    | two \\x1b[1m", "jukebox | three"]


def test_lines_that_are_json_stay_so(
    machine: Machine, own_log: None, capfd: pytest.CaptureFixture[str]
) -> None:
    supervisor(machine, "wsgi", write=open_lines(["wsgi"], as_json=True))
    machine.say("wsgi", b'{"level": "INFO"}\n')
    flush_log()
    assert '{"level": "INFO"}' in capfd.readouterr().err.splitlines()
