"""The state file by itself: what is kept, what is refused, and how it recovers."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import gevent
import pytest
from fakes import FakeClock
from greenlets import run_until
from support import AS_ORDINARY_USER, PATIENCE, ROOT

from shmooze.errors import SettingsError, StateError
from shmooze.state import __main__ as tool
from shmooze.state import pruning, tables
from shmooze.state.file import StateFile
from shmooze.state.lock import UseLock
from shmooze.state.pruning import Limits, prune, prune_forever
from shmooze.state.tables import table

ITEMS, HISTORY = table("queue", "items"), table("queue", "history")
VERSION = len(tables.MIGRATIONS)
INSERT = f"INSERT INTO {ITEMS} (uid, place, args) VALUES (?, 'order', ?)"


class Impatient(StateFile):
    """A StateFile with short timeouts."""

    commit_timeout = read_timeout = close_timeout = 0.3
    lock_timeout = 0.05


@pytest.fixture(autouse=True)
def _locks_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UseLock, "timeout", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def open_file(path: Path) -> Iterator[Callable[..., StateFile]]:
    """A function that opens the file at `path` for a service; closed after the test."""
    opened = []

    def open_it(kind: type[StateFile] = StateFile, name: str = "queue") -> StateFile:
        file = kind(path)
        file.open(name)
        opened.append(file)
        return file

    yield open_it
    for file in opened:
        file.close()


def insert(uid: str) -> tuple[str, tuple[str, str]]:
    return INSERT, (uid, "{}")


def uids(path: Path) -> list[str]:
    """What is in the file, as another program sees it."""
    with closing(sqlite3.connect(path)) as connection:
        return [uid for (uid,) in connection.execute(f"SELECT uid FROM {ITEMS} ORDER BY uid")]


def outcome(function: Callable[[], Any]) -> Any:
    """What a function returns or raises."""
    try:
        return function()
    except Exception as error:
        return error


def run_together(*functions: Callable[[], Any]) -> list[Any]:
    """The outcomes of functions that are called in greenlets."""
    greenlets = [gevent.spawn(outcome, function) for function in functions]
    gevent.joinall(greenlets, timeout=PATIENCE, raise_error=True)
    return [greenlet.value for greenlet in greenlets]


class Hanging:
    """The connection of a writer whose disk hangs at one statement, until `end` is set."""

    def __init__(self, file: StateFile, statement: str) -> None:
        self._writer = file._writer
        self._connection = self._writer._connection
        self._statement = statement
        self.reached, self.end = threading.Event(), threading.Event()
        #: Whether the disk is full.
        self.is_full = False
        self._writer._connection = self  # type: ignore[assignment]

    def execute(self, statement: str, *parameters: Any) -> Any:
        if statement.startswith(self._statement) and not self.end.is_set():
            self.reached.set()
            assert self.end.wait(PATIENCE)
        if statement.startswith("BEGIN") and self.is_full:
            raise sqlite3.OperationalError("database or disk is full")
        return self._connection.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@contextmanager
def other_process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program that prints `ready` and then waits until this block ends."""
    code = f"import sys, sqlite3\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    with process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.stdin.close()


OPEN = "from shmooze.state.file import StateFile\nStateFile(sys.argv[1]).open(sys.argv[2])"


def is_running(path: Path, name: str) -> bool:
    """Whether another process could not run the service now."""
    code = "from shmooze.state.lock import UseLock\nUseLock.timeout = 0.0"
    argv = [sys.executable, "-c", f"import sys\n{code}\n{OPEN}", path, name]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT)
    return "another process runs the service" in done.stderr


# Committing.


def test_what_is_committed_is_in_the_file(open_file: Any, path: Path) -> None:
    file = open_file()
    assert file.commit(insert("a"), insert("b")) == 2
    assert uids(path) == ["a", "b"]
    assert file.commit((f"DELETE FROM {ITEMS}", ())) == 2
    assert uids(path) == []


def test_commits_that_come_together_share_one_transaction(open_file: Any, path: Path) -> None:
    file = open_file()
    hanging = Hanging(file, "COMMIT")
    first = gevent.spawn(file.commit, insert("first"))
    run_until(hanging.reached.is_set)
    others = [gevent.spawn(file.commit, insert(f"{number:02}")) for number in range(50)]
    gevent.idle()
    assert file.transactions == 0
    hanging.end.set()
    gevent.joinall([first, *others], timeout=PATIENCE, raise_error=True)
    assert file.transactions == 2
    assert len(uids(path)) == 51


def test_commits_of_one_turn_of_the_event_loop_share_one_transaction(open_file: Any) -> None:
    file = open_file()
    results = [file.submit(insert(uid)) for uid in "abc"]
    assert file._writer._thread._pending == 0  # until the loop has done all that it can do now
    gevent.wait(results, timeout=PATIENCE)
    assert all(result.successful() for result in results)
    assert file.transactions == 1


def test_a_bad_write_fails_alone_and_entirely(open_file: Any, path: Path) -> None:
    file = open_file()
    file.commit(insert("there"))
    before = file.transactions
    outcomes = run_together(
        lambda: file.commit(insert("a")),
        lambda: file.commit(insert("b"), insert("there")),
        lambda: file.commit(("INSERT INTO nowhere VALUES (1)", ())),
        lambda: file.commit((INSERT, ("c", object()))),
        lambda: file.commit(insert("d")),
    )
    assert [outcomes[0], outcomes[4]] == [1, 1]
    assert isinstance(outcomes[1], sqlite3.IntegrityError)
    assert not any(isinstance(each, (int, StateError)) for each in outcomes[1:4])  # they are bugs
    assert uids(path) == ["a", "d", "there"]
    assert file.transactions == before + 1


def test_submit_does_not_wait(open_file: Any, path: Path) -> None:
    file = open_file()
    hanging = Hanging(file, "COMMIT")
    results = [file.submit(insert(uid)) for uid in "abc"]
    assert not any(result.ready() for result in results)
    hanging.end.set()
    assert [result.get(timeout=PATIENCE) for result in results] == [1, 1, 1]
    assert uids(path) == ["a", "b", "c"]


def test_close_writes_what_waits(open_file: Any, path: Path) -> None:
    file = open_file()
    file.submit(insert("a"))
    file.close()
    file.close()
    assert uids(path) == ["a"]
    with pytest.raises(StateError, match="the file is closed"):
        file.commit(insert("b"))
    assert not path.with_name("state.db-wal").exists()


def test_too_many_changes_that_wait_are_refused(open_file: Any, monkeypatch: Any) -> None:
    file = open_file()
    monkeypatch.setattr(file._writer, "max_waiting", 3)
    hanging = Hanging(file, "COMMIT")
    first = file.submit(insert("first"))
    run_until(hanging.reached.is_set)
    waiting = [file.submit(insert(uid)) for uid in "abc"]
    with pytest.raises(StateError, match="too many changes"):
        file.submit(insert("d"))
    hanging.end.set()
    gevent.wait([first, *waiting], timeout=PATIENCE)
    assert all(result.successful() for result in waiting)


# Reading.


def test_reading_sees_what_was_committed_and_changes_nothing(open_file: Any) -> None:
    file = open_file()
    file.commit(insert("a"))
    query = f"SELECT uid FROM {ITEMS}"
    assert file.read(lambda connection: connection.execute(query).fetchall()) == [("a",)]
    with pytest.raises(StateError, match="read-only"):
        file.read(lambda connection: connection.execute(INSERT, ("b", "{}")))


def test_reading_raises_what_the_function_raises(open_file: Any) -> None:
    def refuse(connection: sqlite3.Connection) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        open_file().read(refuse)


# A disk that hangs.


def test_a_commit_on_a_disk_that_hangs_is_refused_and_never_written(
    open_file: Any, path: Path
) -> None:
    file = open_file(Impatient)
    hanging = Hanging(file, "BEGIN")
    refused = run_together(lambda: file.commit(insert("a")), lambda: file.commit(insert("b")))
    assert [str(each) for each in refused] == 2 * [
        "the state cannot be kept: the disk does not respond"
    ]
    with pytest.raises(StateError, match="does not respond"):  # at once, as it is known
        file.commit(insert("c"))
    hanging.end.set()
    run_until(lambda: file._writer.busy_for() == 0)
    assert file.commit(insert("d")) == 1
    assert uids(path) == ["d"]


def test_a_refused_commit_that_reaches_the_disk_is_undone(open_file: Any, path: Path) -> None:
    file = open_file(Impatient)
    hanging = Hanging(file, "COMMIT")
    undo = [(f"DELETE FROM {ITEMS} WHERE uid = ?", ("a",))]
    refused = gevent.spawn(outcome, lambda: file.commit(insert("a"), undo=undo))
    kept = file.submit(insert("b"))
    run_until(refused.ready)
    assert isinstance(refused.value, StateError)
    hanging.end.set()
    assert kept.get(timeout=PATIENCE) == 1
    run_until(lambda: uids(path) == ["b"])


def test_an_undo_that_the_disk_refuses_is_written_later(open_file: Any, path: Path) -> None:
    file = open_file(Impatient)
    hanging = Hanging(file, "COMMIT")
    undo = [(f"DELETE FROM {ITEMS} WHERE uid = ?", ("a",))]
    refused = gevent.spawn(outcome, lambda: file.commit(insert("a"), undo=undo))
    run_until(refused.ready)
    hanging.is_full = True
    hanging.end.set()
    run_until(lambda: file._writer._owed)
    assert uids(path) == ["a"]
    hanging.is_full = False
    file.commit(insert("b"))
    run_until(lambda: uids(path) == ["b"])


def test_a_commit_whose_greenlet_is_killed_is_not_written(open_file: Any, path: Path) -> None:
    file = open_file()
    hanging = Hanging(file, "BEGIN")
    killed = gevent.spawn(file.commit, insert("a"))
    run_until(hanging.reached.is_set)
    killed.kill()
    hanging.end.set()
    file.commit(insert("b"))
    assert uids(path) == ["b"]


def test_the_event_loop_runs_while_the_disk_hangs(open_file: Any) -> None:
    file = open_file()
    hanging = Hanging(file, "COMMIT")
    committing = gevent.spawn(file.commit, insert("a"))
    run_until(hanging.reached.is_set)
    for _ in range(10):
        gevent.sleep(0.001)  # runs, or the test would hang here
    assert not committing.ready()
    hanging.end.set()
    committing.get(timeout=PATIENCE)


# A file that cannot be written.


def test_a_file_that_another_program_has_locked_is_refused_until_it_is_not(
    open_file: Any, path: Path, caplog: Any
) -> None:
    file = open_file(Impatient)
    code = "c = sqlite3.connect(sys.argv[1], isolation_level=None)\nc.execute('BEGIN IMMEDIATE')"
    with other_process(code, str(path)):
        for uid in "ab":
            with pytest.raises(StateError) as refused:
                file.commit(insert(uid))
            assert str(refused.value) == (
                "the state cannot be kept: another program has locked the file"
            )
    file.commit(insert("c"))
    assert uids(path) == ["c"]
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "cannot be written: another program has locked the file",
        "can be written again",
    ]


def fill(file: StateFile) -> str:
    """Commit until that is refused. Returns the words, and what was kept stays."""
    for number in range(10_000):
        try:
            file.commit((INSERT, (f"{number}", "x" * 1000)))
        except StateError as full:
            return str(full)
    raise AssertionError("it never got full")


def test_a_full_file_is_refused_until_there_is_room(open_file: Any, path: Path) -> None:
    file = open_file()
    file._writer._connection.execute("PRAGMA max_page_count = 40")
    assert fill(file) == "the state cannot be kept: the disk is full"
    kept = len(uids(path))
    assert file.commit((f"UPDATE {ITEMS} SET args = '' WHERE uid != '0'", ())) == kept - 1
    file.commit(insert("more"))
    assert len(uids(path)) == kept + 1


def test_a_full_disk_is_refused_until_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        (disk / "other").write_bytes(bytes(100 << 10))
        file = StateFile(disk / "state.db")
        file.open("queue")
        assert fill(file) == "the state cannot be kept: the disk is full"
        kept = uids(disk / "state.db")
        (disk / "other").unlink()
        file.commit(insert("more"))
        assert len(uids(disk / "state.db")) == len(kept) + 1
        file.close()
        assert tool.main(["check", str(disk / "state.db")]) == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("how", ["removed", "replaced", "emptied", "cut short"])
def test_a_file_that_is_no_longer_there_is_noticed_before_the_answer(
    open_file: Any, path: Path, how: str
) -> None:
    file = open_file(Impatient)
    file.commit(insert("a"))
    if how == "emptied":
        os.truncate(path, 0)
    elif how == "cut short":
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.rename(path.with_name("moved"))
    if how == "replaced":
        path.write_bytes(path.with_name("moved").read_bytes())
    with pytest.raises(StateError) as refused:
        file.commit(insert("b"))
    assert str(refused.value) == (
        "the state cannot be kept: the file was removed, replaced or cut short:"
        " put it back, or restart the service"
    )


def test_a_file_that_is_removed_during_a_commit_is_noticed_before_the_answer(
    open_file: Any, path: Path
) -> None:
    file = open_file()
    hanging = Hanging(file, "COMMIT")
    committing = gevent.spawn(outcome, lambda: file.commit(insert("a")))
    run_until(hanging.reached.is_set)
    path.unlink()
    hanging.end.set()
    assert isinstance(committing.get(timeout=PATIENCE), StateError)


def test_a_file_that_is_put_back_is_written_again(open_file: Any, path: Path) -> None:
    file = open_file()
    path.rename(path.with_name("moved"))
    with pytest.raises(StateError):
        file.commit(insert("a"))
    path.with_name("moved").rename(path)
    file.commit(insert("b"))
    assert uids(path) == ["b"]


def test_the_wal_of_another_file_is_left_alone(open_file: Any, path: Path) -> None:
    file = open_file()
    file.commit(insert("a"))
    path.rename(path.with_name("moved"))
    wal = path.with_name("state.db-wal")
    wal.rename(path.with_name("moved-wal"))
    wal.write_text("of another")
    file.close()
    assert wal.read_text() == "of another"


# Opening.


def test_the_files_are_private_whatever_the_umask(open_file: Any, path: Path) -> None:
    for umask in (0, 0o777):
        before = os.umask(umask)
        try:
            file = open_file()
            file.commit(insert("a"))
        finally:
            os.umask(before)
        files = sorted(path.parent.iterdir())
        assert [each.name for each in files] == [
            f"state.db{ending}" for ending in ("", "-lock", "-shm", "-wal")
        ]
        assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
        file.close()
        path.unlink()


def not_a_database(path: Path) -> None:
    path.write_text("Dear diary, " * 1000)


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")


def of_a_newer_shmooze(path: Path) -> None:
    make_state(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def cut_in_the_middle(path: Path) -> None:
    make_state(path)
    os.truncate(path, path.stat().st_size // 2)


def damaged_inside(path: Path) -> None:
    make_state(path)
    with closing(sqlite3.connect(path)) as connection:
        sql = "SELECT rootpage FROM sqlite_master WHERE name = 'queue_items'"
        ((page,),) = connection.execute(sql)
        ((size,),) = connection.execute("PRAGMA page_size")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


def in_a_missing_folder(path: Path) -> None:
    path.parent.rmdir()


def a_folder(path: Path) -> None:
    path.mkdir()


def make_state(path: Path, name: str = "queue") -> None:
    file = StateFile(path)
    file.open(name)
    many = [(INSERT, (f"{number:03}", "x" * 500)) for number in range(200)]
    if name == "queue":
        file.commit(*many)
    file.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (not_a_database, "is damaged, or is not a state file: run `python -m shmooze.state check"),
        (of_another_program, "is not a state file of shmooze, but a database of another program"),
        (of_a_newer_shmooze, f"by a newer shmooze (its version is 99, and {VERSION} the latest"),
        (cut_in_the_middle, "the file is damaged: run `python -m shmooze.state check"),
        (damaged_inside, "the file is damaged: run `python -m shmooze.state check"),
        (in_a_missing_folder, "does not exist: create it"),
        (a_folder, "is a folder: name a file in it"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "folder" / "state.db"
    path.parent.mkdir()
    make(path)
    before = path.read_bytes() if path.is_file() else None
    file = StateFile(path)
    with pytest.raises(SettingsError) as refused:
        file.open("queue")
    assert str(refused.value).startswith(f"state file {path}: ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert before == (path.read_bytes() if path.is_file() else None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv[2:] = ['queue']\n{OPEN}"
    done = subprocess.run(
        [*AS_ORDINARY_USER, sys.executable, "-c", code, tmp_path / "state.db"],
        capture_output=True,
        text=True,
    )
    assert "may not write to its folder" in done.stderr.splitlines()[-1]


def test_a_name_that_cannot_have_tables_is_refused(path: Path) -> None:
    make_state(path)
    for name, words in [("sqlite_x", "SQLite reserves"), ("Queue", "upper from lower case")]:
        with pytest.raises(SettingsError, match=words):
            StateFile(path).open(name)


def test_any_other_name_has_tables_of_its_own(path: Path) -> None:
    names = ["queue", "a \"b\" 'c'; --", "ümläut", "a_items", "a"]
    for name in names:
        file = StateFile(path)
        file.open(name)
        uid = f"INSERT INTO {table(name, 'items')} (uid) VALUES (?)"
        file.commit((uid, (name,)))
        file.close()
    with closing(sqlite3.connect(path)) as connection:
        assert tables.services(connection) == sorted(names)
        for name in names:
            assert connection.execute(f"SELECT uid FROM {table(name, 'items')}").fetchall() == [
                (name,)
            ]


def test_the_default_folder_is_made_and_no_other(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    path = tmp_path / "xdg" / "shmooze" / "state.db"
    make_state(path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(SettingsError, match="does not exist: create it"):
        make_state(tmp_path / "xdg" / "other" / "state.db")


def test_a_file_that_was_never_closed_keeps_what_was_committed(path: Path) -> None:
    code = f"{OPEN}\nf = StateFile(sys.argv[1]); f.open('pool'); f.commit(({INSERT!r}, 'ab'))"
    with other_process(code, str(path), "queue") as process:
        process.kill()
        process.wait()
    make_state(path, "pool")
    assert uids(path) == ["a"]


# Several services.


def test_services_that_start_at_the_same_moment_share_a_new_file(
    path: Path, monkeypatch: Any
) -> None:
    names = [f"service{number}" for number in range(6)]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.stdin.read()\n{OPEN}"
    starting = [
        subprocess.Popen([sys.executable, "-c", code, path, name], stdin=subprocess.PIPE)
        for name in names
    ]
    for process in starting:
        assert process.stdin
        process.stdin.close()
    assert [process.wait(PATIENCE) for process in starting] == [0] * len(names)
    with closing(sqlite3.connect(path)) as connection:
        assert tables.services(connection) == names


def test_a_service_that_runs_already_is_refused_until_its_process_has_ended(path: Path) -> None:
    # A child of it, which lives on.
    code = f"{OPEN}\nimport subprocess; subprocess.Popen(['sleep', '5'], stdout=2)"
    with other_process(code, str(path), "queue") as process:
        with pytest.raises(SettingsError, match="another process runs the service 'queue' on it"):
            make_state(path)
        make_state(path, "pool")
        process.kill()
        process.wait()
        make_state(path)


def test_a_service_twice_in_one_process_is_refused(open_file: Any, path: Path) -> None:
    first, _ = open_file(), open_file(name="pool")
    with pytest.raises(SettingsError, match="another process runs the service 'queue' on it"):
        open_file()
    first.close()
    again = open_file()
    # Closing one has not released the lock of the others.
    assert is_running(path, "pool")
    again.commit(insert("a"))


def test_a_file_of_an_older_version_is_migrated_unless_it_is_used(
    path: Path, monkeypatch: Any, open_file: Any
) -> None:
    def add_column(connection: sqlite3.Connection, name: str) -> None:
        connection.execute(f"ALTER TABLE {table(name, 'items')} ADD COLUMN mood TEXT")

    make_state(path, "pool")
    make_state(path)
    newer = (*tables.MIGRATIONS, add_column)
    with other_process(OPEN, str(path), "pool"):
        monkeypatch.setattr(tables, "MIGRATIONS", newer)
        with pytest.raises(SettingsError, match="a service of an older shmooze uses it: stop all"):
            StateFile(path).open("queue")
    open_file()
    with closing(sqlite3.connect(path)) as connection:
        assert "mood" in tables.columns(connection, "pool", "items")
        assert tables.version_of(connection) == VERSION + 1


# The tool.


def run_tool(*arguments: str, given: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "shmooze.state", *arguments],
        input=given,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def use_tool(monkeypatch: Any, capsys: Any, *arguments: str, given: str = "") -> tuple[int, str]:
    """The same in this process, which is faster. Returns status and output."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    status = tool.main([*arguments])
    out, err = capsys.readouterr()
    return status, out + err


@pytest.fixture
def shmooze_state(monkeypatch: Any, capsys: Any) -> Callable[..., tuple[int, str]]:
    """`python -m shmooze.state`: returns its status and what it has written."""
    return lambda *arguments, **given: use_tool(monkeypatch, capsys, *arguments, **given)


def test_check_says_what_is_in_a_file(path: Path, shmooze_state: Any) -> None:
    make_state(path)
    make_state(path, "pool")
    assert shmooze_state("check", str(path)) == (
        0,
        "pool: items 0, history 0, gone 0\nqueue: items 200, history 0, gone 0\n",
    )


@pytest.mark.parametrize("damage", [cut_in_the_middle, damaged_inside, not_a_database])
def test_check_says_what_is_damaged_and_what_to_do(
    path: Path, shmooze_state: Any, damage: Callable[[Path], None]
) -> None:
    damage(path)
    status, said = shmooze_state("check", str(path))
    assert status == 1
    assert said.startswith("damaged: ")
    assert f"python -m shmooze.state export {path} > saved.jsonl" in said


def test_an_export_is_imported_as_it_was(
    path: Path, tmp_path: Path, shmooze_state: Any, open_file: Any
) -> None:
    file = open_file()
    strange = '{"text": "\\u0000 ä\\ud83d\\ude00"}'
    file.commit((INSERT, ("a", strange)))
    file.commit((f"INSERT INTO {HISTORY} (number, uid, ended) VALUES (7, 'b', 1e9)", ()))
    status, exported = shmooze_state("export", str(path))  # while a service uses it
    assert status == 0
    lines = [json.loads(line) for line in exported.splitlines()]
    assert lines[0] == {"format": "shmooze state", "version": VERSION}
    assert lines[-1] == {"rows": 2, "complete": True}
    assert lines[1]["row"]["args"] == strange
    copy = str(tmp_path / "copy.db")
    assert shmooze_state("import", copy, given=exported) == (0, "2 rows imported\n")
    assert shmooze_state("export", copy) == (0, exported)
    assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600


EXPORT = [
    {"format": "shmooze state", "version": VERSION},
    {"service": "queue", "table": "items", "row": {"uid": "a", "place": "order"}},
    {"service": "queue", "table": "items", "row": {"uid": "b", "place": "order"}},
    {"rows": 2, "complete": True},
]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[:-1], "is incomplete"),
        (lambda lines: [lines[0], *lines[2:]], "is incomplete"),
        (lambda lines: [], "is incomplete"),
        (lambda lines: lines[1:], "line 1: is not a line of an export"),
        (lambda lines: [*lines, lines[1]], "line 5: is not a line of an export"),
        (
            lambda lines: [lines[0], lines[1], lines[1], lines[3]],
            "line 3: has a row that already exists",
        ),
        (lambda lines: [*lines[:2], '{"uid'], "line 3: is not a line of an export"),
        (lambda lines: [*lines[:2], "[" * 100_000], "line 3: is not a line of an export"),
        (lambda lines: [lines[0], lines[1].replace("items", "x")], "there is no table"),
        (lambda lines: [lines[0], lines[1].replace("uid", "x")], "there is no column"),
        (lambda lines: [lines[0], lines[1].replace('"a"', "[1]")], "cannot be [1]"),
        (lambda lines: [lines[0], lines[1].replace('"a"', "9" * 30)], "line 2: is not a line"),
        (lambda lines: [lines[0].replace(str(VERSION), "99"), *lines[1:]], "by a newer shmooze"),
    ],
)
def test_a_bad_export_is_not_imported_at_all(
    path: Path, shmooze_state: Any, change: Callable[[list[str]], list[str]], words: str
) -> None:
    lines = change([json.dumps(entry) for entry in EXPORT])
    status, said = shmooze_state("import", str(path), given="\n".join(lines))
    assert status == 1
    assert words in said
    assert said.startswith(f"shmooze: state file {path}: ")
    assert said.count("\n") == 1
    given = "\n".join(json.dumps(entry) for entry in EXPORT)
    assert shmooze_state("import", str(path), given=given) == (0, "2 rows imported\n")


def test_import_refuses_a_file_that_is_not_empty(path: Path, shmooze_state: Any) -> None:
    make_state(path)
    status, said = shmooze_state("import", str(path))
    assert (status, said) == (
        1,
        f"shmooze: state file {path}: is not empty: import into a new file only\n",
    )


@pytest.mark.parametrize("damage", [cut_in_the_middle, damaged_inside])
def test_what_can_be_read_of_a_damaged_file_is_exported(
    path: Path, tmp_path: Path, shmooze_state: Any, damage: Callable[[Path], None]
) -> None:
    damage(path)
    with closing(sqlite3.connect(path)) as connection, suppress(sqlite3.Error):
        connection.execute("SELECT 1 FROM queue_life").fetchall()
    status, exported = shmooze_state("export", str(path))
    assert status == 1
    *lines, end, complaint = exported.splitlines()
    end = json.loads(end)
    assert (end["rows"], end["complete"]) == (len(lines) - 1, False)
    assert complaint.endswith(f"is damaged: not all of {', '.join(end['damaged'])} can be read")
    copy = tmp_path / "copy.db"
    given = "\n".join([*lines, json.dumps(end)])
    assert shmooze_state("import", str(copy), given=given)[0] == 0
    make_state(copy, "pool")


def test_no_row_of_a_file_that_was_cut_inside_a_page_is_read_by_half(
    path: Path, shmooze_state: Any
) -> None:
    make_state(path)
    whole = shmooze_state("export", str(path))[1].splitlines()
    os.truncate(path, path.stat().st_size - 2000)
    status, exported = shmooze_state("export", str(path))
    *lines, end, _complaint = exported.splitlines()
    assert status == 1
    assert json.loads(end)["damaged"] == ["queue_items"]
    assert set(lines) <= set(whole)
    assert len(lines) > 1


@pytest.mark.parametrize("content", [b"x" * 100, b"SQLite format 3\0" + b"\x10\0" * 50, None])
def test_a_file_without_a_whole_page_is_not_exported_as_an_empty_one(
    path: Path, shmooze_state: Any, content: bytes | None
) -> None:
    if content is None:
        make_state(path)
        os.truncate(path, 1000)
    else:
        path.write_bytes(content)
    status, said = shmooze_state("export", str(path))
    assert status == 1
    assert '"complete": true' not in said


def test_a_row_that_no_service_has_written_is_damage(
    path: Path, open_file: Any, shmooze_state: Any
) -> None:
    file = open_file()
    file.commit(insert("a"), (f"INSERT INTO {ITEMS} (uid, args) VALUES ('b', '{{}}')", ()))
    damaged = "damaged: table queue_items has 1 rows that no service has written"
    assert damaged in shmooze_state("check", str(path))[1]
    status, exported = shmooze_state("export", str(path))
    assert status == 1
    assert [json.loads(line)["row"]["uid"] for line in exported.splitlines()[1:-2]] == ["a"]


def test_import_and_prune_need_the_file_for_themselves(
    open_file: Any, path: Path, shmooze_state: Any
) -> None:
    with other_process(OPEN, str(path), "queue"):
        for command in ("import", "prune"):
            status, said = shmooze_state(command, str(path))
            assert (status, said) == (
                1,
                f"shmooze: state file {path}: a service uses it: stop that first\n",
            )
        assert shmooze_state("check", str(path))[0] == 0


def test_the_tool_as_a_program(path: Path) -> None:
    make_state(path)
    assert run_tool("check", str(path)) == (0, "queue: items 200, history 0, gone 0\n", "")
    assert run_tool("chek", str(path))[0] == 2
    missing = path.with_name("missing.db")
    for command in ("check", "export", "prune"):
        assert run_tool(command, str(missing)) == (
            1,
            "",
            f"shmooze: state file {missing}: does not exist\n",
        )
    assert not missing.exists()


# Pruning.

DAY = 86400


@pytest.fixture
def with_history(open_file: Any) -> StateFile:
    """A file with 20 ended items, the newest of today and each a day older; two have a key."""
    file = open_file()
    now = time.time()
    for number in range(1, 21):
        key = "key" if number in (2, 18) else None
        file.commit(
            (
                f"INSERT INTO {HISTORY} (number, uid, ended, key) VALUES (?, ?, ?, ?)",
                (number, str(number), now - (20 - number) * DAY - 60, key),
            )
        )
    return file


def numbers(file: StateFile) -> list[int]:
    query = f"SELECT number FROM {HISTORY} ORDER BY number"
    return file.read(lambda connection: [each for (each,) in connection.execute(query)])


def test_pruning_removes_what_is_too_old(with_history: StateFile, monkeypatch: Any) -> None:
    monkeypatch.setattr(pruning, "CHUNK", 3)
    assert prune(with_history, "queue", Limits(history_days=5, key_days=1)) == 15
    assert numbers(with_history) == [16, 17, 18, 19, 20]
    assert prune(with_history, "queue", Limits(history_days=5, key_days=1)) == 0


def test_pruning_removes_what_is_too_much(with_history: StateFile) -> None:
    assert prune(with_history, "queue", Limits(history_rows=3, key_days=1)) == 17
    assert numbers(with_history) == [18, 19, 20]
    assert prune(with_history, "queue", Limits(history_rows=0, key_days=1)) == 3


def test_an_item_with_a_key_stays_until_the_key_is_forgotten(with_history: StateFile) -> None:
    prune(with_history, "queue", Limits(history_days=1, history_rows=1, key_days=7))
    assert numbers(with_history) == [18, 20]


def test_pruning_in_the_background_goes_on_after_a_refusal(
    with_history: StateFile, clock: FakeClock
) -> None:
    hanging = Hanging(with_history, "nothing")
    hanging.is_full = True
    pruner = gevent.spawn(prune_forever, with_history, "queue", Limits(history_rows=1, key_days=1))
    run_until(lambda: with_history._outage)
    assert len(numbers(with_history)) == 20
    hanging.is_full = False
    run_until(lambda: clock._timers)
    clock.advance(pruning.INTERVAL)
    run_until(lambda: numbers(with_history) == [2, 18, 20])  # by this clock, no key is old
    pruner.kill()


def test_the_tool_prunes_and_gives_space_back(
    with_history: StateFile, path: Path, shmooze_state: Any
) -> None:
    with_history.commit((f"UPDATE {HISTORY} SET report = ?", ("x" * 10_000,)))
    with_history.close()
    size = path.stat().st_size
    status, said = shmooze_state("prune", "--rows", "1", "--key-days", "0.5", str(path))
    assert status == 0
    assert said.startswith("19 rows removed; ")
    assert path.stat().st_size < size
    assert shmooze_state("check", str(path)) == (0, "queue: items 0, history 1, gone 0\n")
