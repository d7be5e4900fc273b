"""Log files of items: written with times, rotated, read, removed with the history."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from fake_types import Again, Plain, Reused
from fakes import FakeClock, FakeLauncher, open_with, run_until_idle
from support import PATIENCE, Client, Refusal, Site

from shmooze.errors import CommandError, SettingsError
from shmooze.logs.files import LogFiles
from shmooze.logs.retention import Retention
from shmooze.processes.contract import OutputLine
from shmooze.queue import Queue
from shmooze.runtime import clock as current
from shmooze.state.file import StateFile
from shmooze.state.history import History
from shmooze.state.pruning import Limits, prune
from shmooze.state.store import Store

UID = "3f2a91c0-0000-4000-8000-000000000000"


def refuse(key: str, problem: str) -> SettingsError:
    return SettingsError(f"`{key}` {problem}")


@contextmanager
def log_files(folder: Path, max_bytes: int = 1 << 20, number: int = 3) -> Iterator[LogFiles]:
    files = LogFiles(str(folder), max_bytes, number, refuse)
    yield files
    files.close()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[LogFiles]:
    with log_files(tmp_path / "queue") as files:
        yield files


def out(text: str) -> OutputLine:
    return OutputLine(text, is_error=False)


# The files.


def test_each_line_has_its_time_and_its_stream(files: LogFiles, tmp_path: Path) -> None:
    files.add(UID, out("hello"))
    files.add(UID, OutputLine("a mistake", is_error=True))
    files.flush()
    first, second = (tmp_path / "queue" / f"{UID}.log").read_text().splitlines()
    time, stream, text = first.split(" ", 2)
    assert (time[-1], stream, text) == ("Z", "stdout", "hello")
    assert second.endswith(" stderr a mistake")


def test_lines_since_a_time_and_with_a_text_are_found(files: LogFiles, clock: FakeClock) -> None:
    for number in range(4):
        files.add(UID, out(f"line {number}"))
        clock.skip(60.0)
    start = current.time()
    assert files.read(UID, 10, since=start - 120.0) == ["line 2", "line 3"]
    assert files.read(UID, 10, grep="1") == ["line 1"]
    assert files.read(UID, 2) == ["line 2", "line 3"]
    assert files.read("unknown", 10) is None


def test_a_full_file_is_kept_aside_and_the_oldest_is_removed(tmp_path: Path) -> None:
    with log_files(tmp_path, max_bytes=1000, number=3) as files:
        for number in range(200):
            files.add(UID, out(f"line {number}"))
            files.flush()
        read = files.read(UID, 1000)
    assert sorted(os.listdir(tmp_path)) == [f"{UID}.log", f"{UID}.log.1", f"{UID}.log.2"]
    assert all(each.stat().st_size <= 1000 for each in tmp_path.iterdir())
    assert read is not None and 30 < len(read) < 80
    assert read == [f"line {number}" for number in range(200 - len(read), 200)]


def test_lines_are_read_while_others_are_written_all_the_time(files: LogFiles) -> None:
    files.add(UID, out("first"))

    def chatter() -> None:
        while True:
            files.add("chatty", out("line"))
            gevent.sleep(0)

    chatty = gevent.spawn(chatter)
    try:
        with gevent.Timeout(PATIENCE):
            assert files.read(UID, 10) == ["first"]
    finally:
        chatty.kill()


def test_only_some_files_are_open_at_a_time_and_no_line_is_lost(files: LogFiles) -> None:
    files.max_open = 3
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        for item in range(20):
            files.add(f"item-{item}", out(f"line {number}"))
        files.flush()
    assert len(os.listdir("/proc/self/fd")) <= before + 3
    for item in range(20):
        assert files.read(f"item-{item}", 10) == [f"line {number}" for number in range(5)]


def test_lines_that_do_not_fit_are_counted_in_the_file(files: LogFiles) -> None:
    files.max_waiting = 2
    for number in range(6):  # the first is on its way at once
        files.add(UID, out(f"line {number}"))
    assert files.read(UID, 10) == [
        *("line 0", "line 1", "line 2"),
        "(3 lines are missing here: the disk was too slow)",
    ]


def test_a_full_disk_is_told_of_once_and_written_again_later(
    files: LogFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "queue" / f"{UID}.log").mkdir()  # which no file can be opened as
    for _ in range(3):
        files.add(UID, out("lost"))
        files.flush()
    (tmp_path / "queue" / f"{UID}.log").rmdir()
    files.add(UID, out("kept"))
    assert files.read(UID, 10) == ["kept"]
    lost, again = caplog.records
    assert lost.levelname == "ERROR" and "lines are lost" in lost.getMessage()
    assert again.levelname == "WARNING" and "written again" in again.getMessage()


def test_a_uid_never_leads_out_of_the_folder(files: LogFiles, tmp_path: Path) -> None:
    (tmp_path / "secret.log").write_text("x stdout secret\n")
    files.add("../secret", out("more"))
    assert files.read("../secret", 10) is None
    files.remove(["../secret"])
    assert (tmp_path / "secret.log").read_text() == "x stdout secret\n"


def test_a_folder_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"^`log_path` cannot be used: .*Not a directory$"):
        LogFiles(str(tmp_path / "file" / "queue"), 1000, 3, refuse)


# The items of a queue.


class Logged:
    """A queue in memory whose items have log files, with a history if there is a state file."""

    def __init__(
        self,
        clock: FakeClock,
        files: LogFiles,
        launcher: FakeLauncher,
        state: StateFile | None = None,
    ) -> None:
        self.clock = clock
        self.files, self.launcher = files, launcher
        self.queue = Queue([Plain, Again, Reused])
        self.limits = Limits()
        if state is not None:
            self.queue.items.keeper = Store(state, "queue", self.queue.roster, self.limits)
            self.queue.add_table(History(self.queue, state))
        self.queue.log_files = files
        self.queue.factory.on_output = files.add
        self.retention = Retention(self.queue, files)
        open_with(self.queue, launcher)

    def __call__(self, cmd: str, /, **args: Any) -> Any:
        answer = self.queue.single_command({"cmd": cmd, "args": args})
        assert answer["success"], answer["error"]
        return answer["result"]

    def end(self, uid: str) -> None:
        self("rm", uids=[uid])
        self.clock.advance(30.0)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFile]:
    file = StateFile(str(tmp_path / "state.db"), "normal")
    file.open("queue")
    yield file
    file.close()


def test_what_an_item_prints_is_read_after_its_end(
    clock: FakeClock, files: LogFiles, launcher: FakeLauncher
) -> None:
    logged = Logged(clock, files, launcher)
    uid = logged("add", type="plain")["uid"]
    launcher.processes[0].print("one", "two")
    assert logged("output", uid=uid, grep="w") == ["two"]
    logged.end(uid)
    assert logged("output", uid=uid) == ["one", "two"]
    assert logged("output", uid=uid, limit=1) == ["two"]
    assert logged("output", uid=uid, since=current.time() + 1) == []


def test_all_lives_of_an_item_write_to_one_file(
    clock: FakeClock, files: LogFiles, launcher: FakeLauncher
) -> None:
    logged = Logged(clock, files, launcher)
    uid = logged("add", type="again")["uid"]
    launcher.processes[0].print("first life")
    launcher.processes[0].exit(1)
    clock.advance(60.0)
    launcher.processes[1].print("second life")
    assert logged("output", uid=uid, grep="life") == ["first life", "second life"]


def test_a_reused_process_writes_to_the_file_of_its_present_item(
    clock: FakeClock, files: LogFiles, launcher: FakeLauncher
) -> None:
    logged = Logged(clock, files, launcher)
    first = logged("add", type="reused")["uid"]
    launcher.processes[0].print("of the first")
    launcher.processes[0].update("result", value=1)
    run_until_idle()
    second = logged("add", type="reused")["uid"]
    assert len(launcher.processes) == 1
    launcher.processes[0].print("of the second")
    assert logged("output", uid=first) == ["of the first"]
    assert logged("output", uid=second, grep="of") == ["of the second"]


def test_files_are_removed_when_the_history_forgets_their_items(
    clock: FakeClock, files: LogFiles, launcher: FakeLauncher, state: StateFile
) -> None:
    logged = Logged(clock, files, launcher, state)
    forgotten, pruned, living = (logged("add", type="plain")["uid"] for _ in range(3))
    for process in launcher.processes:
        process.print("hello")
    logged.end(forgotten)
    logged.end(pruned)
    logged.retention.sweep()
    assert files.uids() == {forgotten, pruned, living}
    logged("forget", uids=[forgotten])
    assert files.uids() == {pruned, living}
    prune(state, "queue", Limits(history_rows=0, key_days=0.001))
    logged.retention.sweep()
    assert files.uids() == {living}


def test_without_a_history_they_are_kept_as_long_as_gone_tells_of_the_item(
    clock: FakeClock, files: LogFiles, launcher: FakeLauncher
) -> None:
    files.add("of-an-earlier-life", out("old"))
    logged = Logged(clock, files, launcher)
    uid = logged("add", type="plain")["uid"]
    launcher.processes[0].print("hello")
    logged.end(uid)
    logged.retention.sweep()
    assert files.uids() == {uid}
    logged.queue.supervision.ended.clear()
    logged.retention.sweep()
    assert files.uids() == set()


# A real queue.


@pytest.fixture
def make(make_site: Callable[..., Site], tmp_path: Path) -> Callable[..., Client]:
    """A function that makes a queue with log files."""

    def start(**settings: Any) -> Client:
        kind = {"process": ["sh", "-c", "echo hello; echo mistake >&2"], "adapter": "command"}
        queue = {"modules": {"echo": kind}}
        site = make_site(services=("queue",), settings={"queue": queue, **settings})
        return Client(site.start(), "queue")

    return start


def test_the_output_of_a_program_is_read_after_its_end_and_after_a_restart(
    make: Callable[..., Client], tmp_path: Path
) -> None:
    queue = make(log_path=str(tmp_path / "logs"), state_path=str(tmp_path / "state.db"))
    uid = queue("add", type="echo", args={})["uid"]
    queue("wait", uid=uid)
    assert sorted(queue("output", uid=uid)) == ["hello", "mistake"]
    queue.site.stop("queue")
    queue.site.start("queue")
    assert queue("output", uid=uid, grep="hell") == ["hello"]
    with pytest.raises(Refusal, match="argument `since`: must be a time"):
        queue("output", uid=uid, since="yesterday")
    queue("forget", uids=[uid])
    with pytest.raises(Refusal, match="no module with uid"):
        queue("output", uid=uid)
    assert not list((tmp_path / "logs" / "queue").iterdir())


def test_since_needs_log_files(clock: FakeClock, launcher: FakeLauncher) -> None:
    queue = Queue([Plain])
    open_with(queue, launcher)
    uid = queue.add("plain")["uid"]
    launcher.processes[0].print("one", "two")
    assert queue.output(uid) == ["one", "two"]
    assert queue.output(uid, grep="o", limit=1) == ["two"]
    with pytest.raises(CommandError, match=r"^output: argument `since`: needs `log_path` in the"):
        queue.output(uid, since=0.0)
