"""The command log by itself: rows merged, kept, dropped, counted; files that cannot be written."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.threadpool
import pytest
from greenlets import run_until
from support import log_rows

from shmooze.errors import SettingsError
from shmooze.lib import backlog, database
from shmooze.lib.database import Database
from shmooze.lib.logfile import LogFile

#: The table as shmooze 1.2.4 makes it.
OLD_TABLE = """CREATE TABLE own_log (pk INTEGER PRIMARY KEY, uid TEXT, namespace TEXT,
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP, input_json TEXT, output_json TEXT)"""
OLD_COLUMNS = ["pk", "uid", "namespace", "timestamp", "input_json", "output_json"]
GOOD = {"success": True, "result": None}
UID = "11111111-2222-4333-8444-555555555555"


class Quick(Database):
    """A Database with short timeouts and low limits."""

    lock_timeout = 0.05
    retry_delay = 0.05
    close_timeout = 0.3
    gather = hang_timeout = 0.05
    max_rows = 5
    max_bytes = 2000


@pytest.fixture
def make_log(tmp_path: Path) -> Iterator[Callable[..., Database]]:
    """A function that makes a Database with the table own_log in a file; closed after the test."""
    made = []

    def make(kind: type[Database] = Database, file: str | Path = "log.db") -> Database:
        made.append(kind(str(tmp_path / file), log_table="own_log"))
        return made[-1]

    yield make
    for each in made:
        each.close()


def update(kind: str, parameters: Any) -> dict[str, Any]:
    return {"cmd": f"{kind}_parameters", "args": {"parameters": parameters}}


def logged(log: Database) -> list[Any]:
    """The parameters, or else the command, of every row."""
    inputs = [json.loads(row["input_json"]) for row in log.execute("SELECT * FROM own_log")]
    return [command.get("args", {}).get("parameters", command["cmd"]) for command in inputs]


def test_parameters_of_one_module_between_two_writes_are_one_row(make_log: Any) -> None:
    log, first = make_log(), {"a": 1, "b": 1}
    log.log(UID, "module-instance", update("set", first), GOOD)
    log.log("other", "module-instance", update("set", {"a": 9}), GOOD)
    log.log(UID, "module-instance", update("set", {"b": 2}), GOOD)
    log.log(UID, "module-instance", update("set", {"c": {"d": 3}}), GOOD)
    assert logged(log) == [{"a": 1, "b": 2, "c": {"d": 3}}, {"a": 9}]
    log.log(UID, "module-instance", update("set", {"a": 4}), GOOD)
    assert logged(log)[2:] == [{"a": 4}]
    assert first == {"a": 1, "b": 1}  # the caller's dictionary is unchanged


def test_parameters_are_not_merged_across_another_entry_of_their_module(make_log: Any) -> None:
    log = make_log()
    log.log(UID, "module-instance", update("set", {"a": 1}), GOOD)
    log.log(UID, "module-instance", update("unset", ["a"]), GOOD)
    log.log(UID, "module-instance", update("set", {"a": 2}), GOOD)
    log.log(None, "client-queue", {"cmd": "mv"}, GOOD)  # no entry of the module
    log.log(UID, "module-instance", update("set", {"b": 2}), GOOD)
    log.log(UID, "queue-module", {"cmd": "suspend"}, GOOD)
    log.log(UID, "module-instance", update("set", {"b": 3}), GOOD)
    assert logged(log) == [{"a": 1}, ["a"], {"a": 2, "b": 2}, "mv", "suspend", {"b": 3}]


def save(state: Any) -> dict[str, Any]:
    return {"cmd": "save", "args": {"state": state}}


def test_only_the_last_of_the_states_that_a_module_saves_between_two_writes_is_logged(
    make_log: Any,
) -> None:
    log = make_log()
    for number in range(5):  # as a module does that shows and saves where it is
        log.log(UID, "module-instance", update("set", {"at": number}), GOOD)
        log.log(UID, "module-instance", save(number), GOOD)
        log.log("other", "module-instance", save("other"), GOOD)
    log.log(UID, "queue-module", {"cmd": "suspend"}, GOOD)
    log.log(UID, "module-instance", save(5), GOOD)
    rows = log.execute("SELECT * FROM own_log")
    assert [(row["uid"], json.loads(row["input_json"])) for row in rows] == [
        (UID, update("set", {"at": 4})),
        (UID, save(4)),
        ("other", save("other")),
        (UID, {"cmd": "suspend"}),
        (UID, save(5)),
    ]
    log.log(UID, "module-instance", save(6), GOOD)
    assert len(log.execute("SELECT * FROM own_log")) == 6


def test_commands_that_happen_to_be_called_save_are_all_logged(make_log: Any) -> None:
    log = make_log()
    for name in ("a", "b"):
        log.log(UID, "client-editor", {"cmd": "save", "args": {"name": name}}, GOOD)
    assert logged(log) == ["save", "save"]


def test_the_timestamp_of_a_row_is_when_it_was_logged(make_log: Any, monkeypatch: Any) -> None:
    now = 1_000_000_000.0
    clock = SimpleNamespace(strftime=time.strftime, gmtime=lambda: time.gmtime(now))
    monkeypatch.setattr(backlog, "time", clock)
    log = make_log()
    log.log(None, "client-queue", {"cmd": "rm"}, GOOD)
    now += 3600  # it is written only then
    [row] = log.execute("SELECT timestamp FROM own_log")
    assert row["timestamp"] == "2001-09-09 01:46:40"  # UTC, as CURRENT_TIMESTAMP


def make_old_table(file: Path, *more: str) -> None:
    with closing(sqlite3.connect(file)) as old:
        old.execute(OLD_TABLE)
        for column in more:
            old.execute(f"ALTER TABLE own_log ADD COLUMN {column}")
        old.execute(
            "INSERT INTO own_log (namespace, input_json) VALUES ('old', '{\"cmd\": \"x\"}')"
        )
        old.commit()


def columns_of(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as reader:
        return [column[1] for column in reader.execute("PRAGMA table_info(own_log)")]


def test_a_table_of_1_2_4_is_used_and_gets_the_new_column_last(
    make_log: Any, tmp_path: Path
) -> None:
    make_old_table(tmp_path / "log.db")
    log = make_log()
    log.open()
    assert columns_of(tmp_path / "log.db") == [*OLD_COLUMNS, "by"]
    log.log(None, "client-queue", {"cmd": "rm"}, GOOD)
    rows = log.execute("SELECT pk, namespace, timestamp FROM own_log")
    assert [tuple(row)[:2] for row in rows] == [(1, "old"), (2, "client-queue")]
    assert len(rows[0]["timestamp"]) == len(rows[1]["timestamp"])
    assert [row["by"] for row in log.execute('SELECT "by" FROM own_log')] == [None, None]


def test_a_table_with_columns_of_another_programs_own_is_used(
    make_log: Any, tmp_path: Path
) -> None:
    make_old_table(tmp_path / "log.db", "rating INTEGER")
    log = make_log()
    log.log(None, "client-queue", {"cmd": "rm"}, GOOD, by="ada")
    log.commit()
    assert columns_of(tmp_path / "log.db") == [*OLD_COLUMNS, "rating", "by"]
    assert [row["by"] for row in log.execute("SELECT * FROM own_log")] == [None, "ada"]


def test_services_that_share_an_old_table_migrate_it_once(
    make_log: Any, tmp_path: Path, caplog: Any
) -> None:
    make_old_table(tmp_path / "log.db")
    opening = [gevent.spawn(make_log().open) for _ in range(4)]
    gevent.joinall(opening, raise_error=True)
    assert columns_of(tmp_path / "log.db") == [*OLD_COLUMNS, "by"]
    assert not caplog.records


def test_a_program_that_only_reads_leaves_an_old_table_unchanged(
    make_log: Any, tmp_path: Path
) -> None:
    make_old_table(tmp_path / "log.db")
    assert len(make_log().execute("SELECT * FROM own_log")) == 1
    assert columns_of(tmp_path / "log.db") == OLD_COLUMNS


def test_a_program_of_1_2_4_can_go_on_writing_to_a_migrated_table(
    make_log: Any, tmp_path: Path
) -> None:
    make_old_table(tmp_path / "log.db")
    log = make_log()
    log.open()
    with closing(sqlite3.connect(tmp_path / "log.db")) as old:
        names = "uid, namespace, input_json, output_json"
        old.execute(f"INSERT INTO own_log ({names}) VALUES (NULL, 'old', '1', '2')")
        old.commit()
    [row] = log.execute("SELECT * FROM own_log WHERE input_json = '1'")
    assert row["by"] is None


def test_parameters_of_different_callers_are_not_merged(make_log: Any) -> None:
    log = make_log()
    for by, parameters in (
        ("ada", {"a": 1}),
        ("ada", {"b": 1}),
        ("bob", {"a": 2}),
        ("ada", {"c": 1}),
    ):
        log.log(UID, "own", update("set", parameters), GOOD, by=by)
    assert logged(log) == [{"a": 1, "b": 1}, {"a": 2}, {"c": 1}]
    assert [row[0] for row in log.execute('SELECT "by" FROM own_log')] == ["ada", "bob", "ada"]


def test_execute_sees_all_rows_and_takes_named_parameters(make_log: Any) -> None:
    log = make_log()
    for namespace in ("one", "two"):
        log.log(None, namespace, {"cmd": "rm"}, GOOD)
    [row] = log.execute("SELECT pk, namespace FROM own_log WHERE namespace = :name", name="two")
    assert (row["pk"], row[1]) == (2, "two")
    assert [tuple(row) for row in log.execute_select("SELECT count(*) FROM own_log")] == [(2,)]
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        log.execute("SELECT * FROM nowhere")
    assert len(logged(log)) == 2


def fail_to_write(log: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Let attempts to write fail, which must be logged once."""
    for _ in range(3):
        with pytest.raises(sqlite3.Error):
            log.execute("SELECT 1")
    ours = [record for record in caplog.records if record.name.startswith("shmooze.")]
    assert [record.levelname for record in ours] == ["ERROR"]


@pytest.mark.parametrize("size", [10, 700])
def test_rows_in_memory_are_bounded_and_dropped_ones_are_counted(
    make_log: Any, tmp_path: Path, caplog: Any, size: int
) -> None:
    log = make_log(Quick, "later/log.db")
    kept = Quick.max_rows if size == 10 else Quick.max_bytes // 800
    for number in range(20):
        log.log(None, f"{number}", {"cmd": "x" * size}, GOOD)
    fail_to_write(log, caplog)
    (tmp_path / "later").mkdir()
    rows = log.execute("SELECT namespace FROM own_log")
    assert [row[0] for row in rows] == [f"{number}" for number in range(20 - kept, 20)]
    assert f"{20 - kept} rows were lost" in caplog.text


@pytest.mark.parametrize("file", [".", "/proc/log.db", "corrupt.db", "other.db"])
def test_a_file_that_cannot_be_written_is_logged_once_and_lost_rows_at_the_end(
    make_log: Any, tmp_path: Path, caplog: Any, file: str
) -> None:
    (tmp_path / "corrupt.db").write_bytes(b"This is no database. " * 1000)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE own_log (other TEXT)")
    log = make_log(Quick, file)
    log.log(None, "client-queue", {"cmd": "rm"}, GOOD)
    fail_to_write(log, caplog) if file != "other.db" else log.execute("SELECT 1")
    log.close()
    assert columns_of(tmp_path / "other.db") == ["other"]
    assert "1 rows lost" in caplog.text
    assert caplog.text.count("cannot be written") == 1


def test_rows_are_written_once_a_corrupt_file_is_replaced(make_log: Any, tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"This is no database. " * 1000)
    log = make_log(Quick)
    log.log(None, "client-queue", {"cmd": "rm"}, GOOD)
    with pytest.raises(sqlite3.DatabaseError):
        log.execute("SELECT 1")
    (tmp_path / "log.db").unlink()
    assert logged(log) == ["rm"]


def test_closing_does_not_wait_for_a_locked_file(make_log: Any, tmp_path: Path) -> None:
    log = make_log(Quick)
    log.execute("SELECT 1")
    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        log.log(None, "client-queue", {"cmd": "rm"}, GOOD)
        log.close()  # before the lock is given back
        log.close()


def test_closing_writes_the_rows_in_memory(make_log: Any, tmp_path: Path) -> None:
    log = make_log()
    log.log(None, "client-queue", {"cmd": "rm"}, GOOD)
    log.close()
    assert log_rows(tmp_path / "log.db", "own_log") == [(None, "client-queue", {"cmd": "rm"}, GOOD)]


def test_parameters_are_not_merged_into_a_row_that_was_dropped(make_log: Any) -> None:
    log = make_log(Quick)
    log.log(UID, "module-instance", update("set", {"a": 1}), GOOD)
    for _ in range(Quick.max_rows):
        log.log(None, "client-queue", {"cmd": "rm"}, GOOD)
    log.log(UID, "module-instance", update("set", {"a": 2}), GOOD)
    assert logged(log)[-1] == {"a": 2}


def test_an_answer_that_is_not_json_does_not_stop_the_log(make_log: Any, tmp_path: Path) -> None:
    """A service of an application may answer anything (see test_service, unspeakable)."""
    log = make_log()
    log.log(None, "client", {"cmd": "unspeakable"}, {"success": True, "result": object()})
    log.log(None, "client", {"cmd": "surrogate"}, {"success": True, "result": "\ud800"})
    log.log(None, "client", {"cmd": "rm"}, GOOD)
    log.close()
    assert log_rows(tmp_path / "log.db", "own_log")[-1] == (None, "client", {"cmd": "rm"}, GOOD)


@pytest.mark.parametrize("log_first", [True, False])
def test_a_thread_that_cannot_be_started_delays_rows_and_loses_none(
    make_log: Any, monkeypatch: Any, caplog: Any, log_first: bool
) -> None:
    attempts = []

    def refuse(*args: Any) -> None:
        attempts.append(args)
        raise RuntimeError("can't start new thread")

    log = make_log(Quick)
    with monkeypatch.context() as patch:
        patch.setattr(gevent.threadpool, "start_new_thread", refuse)
        if not log_first:
            log.open()
        log.log(None, "client-queue", {"cmd": "rm"}, GOOD)
        run_until(lambda: "can't start new thread" in caplog.text, "it is logged")
        log.log(None, "client-queue", {"cmd": "mv"}, GOOD)
        run_until(lambda: len(attempts) > 3, "it is tried again")
    run_until(lambda: "written again; 0 rows were lost" in caplog.text, "it is written")
    assert logged(log) == ["rm", "mv"]
    assert caplog.text.count("cannot be written") == 1


def test_rows_dropped_without_an_outage_are_logged(make_log: Any, caplog: Any) -> None:
    log = make_log(Quick)
    for number in range(20):
        log.log(None, f"{number}", {"cmd": "rm"}, GOOD)
    assert len(logged(log)) == Quick.max_rows
    assert f"{20 - Quick.max_rows} rows were lost" in caplog.text
    log.close()
    assert caplog.text.count("lost") == 1


@pytest.fixture
def hanging(monkeypatch: Any) -> Iterator[Callable[[], None]]:
    """Lets the disk hang until the function is called: the thread waits as in a system call."""
    read_end, write_end = os.pipe()
    write, hanging_files = LogFile.write, []

    def hang(self: LogFile, batch: Any) -> None:
        hanging_files.append(self)
        os.read(read_end, 1)
        hanging_files.remove(self)
        write(self, batch)

    monkeypatch.setattr(LogFile, "write", hang)
    with ExitStack() as release:
        release.callback(os.close, write_end)
        yield release.close
    run_until(lambda: not hanging_files, "no thread waits any more")
    os.close(read_end)


def test_closing_does_not_wait_for_a_hanging_disk_and_counts_lost_rows(
    make_log: Any, caplog: Any, hanging: Any
) -> None:
    log = make_log(Quick)
    log.log(None, "client-queue", {"cmd": "rm"}, GOOD)
    run_until(lambda: log._job is not None, "it is being written")
    log.log(None, "client-queue", {"cmd": "mv"}, GOOD)
    with gevent.Timeout(10):
        log.close()
        log.close()
    assert caplog.text.count("2 rows lost") == 1
    assert caplog.text.count("the file is not closed") == 1


def test_a_hanging_disk_is_logged_and_rows_in_memory_stay_within_the_limits(
    make_log: Any, caplog: Any, hanging: Any
) -> None:
    log = make_log(Quick)
    log.log(None, "first", {"cmd": "rm"}, GOOD)
    run_until(lambda: "the disk does not respond" in caplog.text, "it is logged")
    for number in range(20):
        log.log(None, f"{number}", {"cmd": "x" * 700}, GOOD)
    run_until(lambda: not log._backlog._added, "they are encoded")
    assert log._backlog._bytes <= Quick.max_bytes
    hanging()
    run_until(lambda: "written again" in caplog.text, "it is over")
    rows = [row[0] for row in log.execute("SELECT namespace FROM own_log")]
    assert rows == ["first", "18", "19"]


def test_rows_are_written_once_after_a_read_that_timed_out(make_log: Any, hanging: Any) -> None:
    log = make_log(Quick)
    log.log(None, "client-queue", {"cmd": "rm"}, GOOD)
    with gevent.Timeout(0.1, False):
        log.execute("SELECT 1")
    hanging()
    assert logged(log) == ["rm"]


def test_the_table_exists_once_the_log_is_open(make_log: Any, tmp_path: Path) -> None:
    log = make_log()
    log.open()
    assert log_rows(tmp_path / "log.db", "own_log") == []
    log.log(None, "client-queue", {"cmd": "rm"}, GOOD)
    assert logged(log) == ["rm"]


def test_a_table_that_could_not_be_created_is_created_later_without_any_rows(
    make_log: Any, tmp_path: Path, caplog: Any
) -> None:
    make_log(Quick, "later/log.db").open()
    assert "cannot be written" in caplog.text
    (tmp_path / "later").mkdir()
    run_until(lambda: "written again; 0 rows were lost" in caplog.text, "the table is created")
    assert log_rows(tmp_path / "later/log.db", "own_log") == []


def rename(file: Path) -> None:
    file.rename(f"{file}.1")


def remove_all(file: Path) -> None:
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()


def rotate(file: Path) -> None:
    """Like logrotate with `create`."""
    rename(file)
    file.touch()


def restore_backup(file: Path) -> None:
    """Another database takes its place."""
    remove_all(file)
    with closing(sqlite3.connect(file)) as other:
        other.execute(OLD_TABLE)


def truncate(file: Path) -> None:
    """Like logrotate with `copytruncate`."""
    os.truncate(file, 0)


@pytest.mark.parametrize(
    "rotate_away", [rename, Path.unlink, remove_all, rotate, restore_backup, truncate]
)
def test_a_file_that_was_moved_removed_or_emptied_is_created_again(
    make_log: Any, tmp_path: Path, caplog: Any, rotate_away: Callable[[Path], None]
) -> None:
    file = tmp_path / "log.db"
    ours, others = make_log(), make_log()  # two services that share it
    for log in (ours, others):
        log.log(None, "client-queue", {"cmd": "before"}, GOOD)
        log.execute("SELECT 1")
    rotate_away(file)
    for cmd in ("ours", "others"):
        log = ours if cmd == "ours" else others
        log.log(None, "client-queue", {"cmd": cmd}, GOOD)
        log.execute("SELECT 1")
        ours.log(None, "client-queue", {"cmd": "again"}, GOOD)
        ours.execute("SELECT 1")
    assert [row[2]["cmd"] for row in log_rows(file, "own_log")] == [
        *("ours", "again", "others", "again")
    ]
    assert caplog.text.count("was moved, removed or emptied") == 2  # by each
    if rotate_away in (rename, rotate):
        assert [row[2]["cmd"] for row in log_rows(Path(f"{file}.1"), "own_log")] == 2 * ["before"]
    for log in (ours, others):
        log.close()
    with closing(sqlite3.connect(file)) as reader:
        assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(log_rows(file, "own_log")) == 4


def test_logs_that_create_a_file_again_at_the_same_time_share_it(
    make_log: Any, tmp_path: Path
) -> None:
    file = tmp_path / "log.db"
    logs = [make_log() for _ in range(4)]
    for turn in range(5):
        for number, log in enumerate(logs):
            log.log(None, f"{turn} {number}", {"cmd": "rm"}, GOOD)
        gevent.joinall([gevent.spawn(log.execute, "SELECT 1") for log in logs], raise_error=True)
        names = {row[1] for row in log_rows(file, "own_log")}
        assert names == {f"{turn} {number}" for number in range(len(logs))}
        rotate(file)


# Programs written for 1.2.4.


def test_rows_can_be_read_like_the_cursor_of_1_2_4(make_log: Any) -> None:
    log = make_log()
    log.execute("CREATE TABLE item (pk INTEGER PRIMARY KEY, name TEXT)")
    made = [log.execute("INSERT INTO item (name) VALUES (:name)", name=name) for name in "abc"]
    assert [each.lastrowid for each in made] == [1, 2, 3]
    log.commit()
    found = log.execute_select("SELECT * FROM item WHERE pk > :last_pk ORDER BY pk", last_pk=0)
    first = found.fetchone()
    assert first["name"] == "a"
    assert database.row_dict(first) == {"pk": 1, "name": "a"}
    assert [row["name"] for row in found] == ["b", "c"]
    assert [row["pk"] for row in found.fetchall()] == [2, 3]
    assert (found.fetchone(), found.fetchall()) == (None, [])


def test_raw_json_text_is_logged_unchanged(make_log: Any, tmp_path: Path) -> None:
    log = make_log()
    log.log(UID, "own", '{"cmd":  "x"}', "null", raw=True)
    log.log(UID, "own", '{"cmd":  "y"}', None, raw=True)
    log.commit()
    assert log_rows(tmp_path / "log.db", "own_log") == [
        (UID, "own", {"cmd": "x"}, None),
        (UID, "own", {"cmd": "y"}, None),
    ]


def test_variables_in_the_filename_are_expanded(
    make_log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE", str(tmp_path))
    assert Database("$WHERE/${WHERE}.db").filename == f"{tmp_path}/{tmp_path}.db"
    assert Database(tmp_path / "log.db").filename == str(tmp_path / "log.db")
    with pytest.raises(SettingsError, match=r"`logfilename` '\$NO/x' uses \$NO, which is not set"):
        Database("$NO/x")
    with pytest.raises(SettingsError, match="must be the name of the log's file, not True"):
        Database(True)  # type: ignore[arg-type]
