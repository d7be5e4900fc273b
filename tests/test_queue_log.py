"""A queue and its command log: its rows, and that the disk never blocks the queue."""

from __future__ import annotations

import resource
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import Client, Site, child, log_rows, wait_until

GOOD = {"success": True, "result": None}


@pytest.fixture
def make_queue(make_site: Callable[..., Site]) -> Callable[..., Site]:
    """A function that starts a queue with the well-behaved module."""
    types = {"well": {"process": child("well")}}
    section = {"modules": types, "backgrounds": types}

    def make(**more: Any) -> Site:
        settings = {"queue": section, "pool": section, **more}
        return make_site(services=("queue", "pool"), settings=settings).start("queue")

    return make


def test_rows_have_the_namespace_and_uid_that_other_programs_expect(make_queue: Any) -> None:
    site = make_queue()
    add = {"type": "well", "args": {"name": "a"}}
    uid = Client(site, "queue").add_settled("well", name="a")
    background = site.ask("queue", "set_bg", type="well")["uid"]
    site.ask("queue", "queue", parameters=True)
    site.ask("queue", "ask_module", uid=uid, parameters=["name"])
    tell = {"uid": uid, "cmd": "fail", "args": {"words": "I will not"}}
    refusal = site.direct("queue", {"cmd": "tell_module", "args": tell}).json
    site.ask("queue", "mv", uids=[uid])
    site.ask("queue", "rm", uids=[uid])
    site.stop("queue")
    rows = log_rows(site.folder / "log.db")

    assert [row for row in rows if row[0] is None] == [
        (
            None,
            "client-queue",
            {"cmd": "add", "args": add},
            {"success": True, "result": {"uid": uid}},
        ),
        (
            None,
            "client-queue",
            {"cmd": "set_bg", "args": {"type": "well"}},
            {"success": True, "result": {"uid": background}},
        ),
        (None, "client-queue", {"cmd": "tell_module", "args": tell}, refusal),
        (None, "client-queue", {"cmd": "mv", "args": {"uids": [uid]}}, GOOD),
        (None, "client-queue", {"cmd": "rm", "args": {"uids": [uid]}}, GOOD),
    ]
    assert [row[2:] for row in rows if row[:2] == (uid, "queue-module")] == [
        ({"cmd": "init", "args": {"name": "a"}}, GOOD),
        ({"cmd": "play"}, GOOD),
        ({"cmd": "do_fail", "args": {"words": "I will not"}}, refusal),
        ({"cmd": "rm"}, GOOD),
    ]
    updates = [row[2:] for row in rows if row[:2] == (uid, "module-instance")]
    assert updates[0][0]["args"]["parameters"]["name"] == "a"
    assert updates[1] == (
        {"cmd": "set_parameters", "args": {"parameters": {"playing": True}}},
        GOOD,
    )
    assert {row[:2] for row in rows if row[0] == background} == {
        (background, "queue-module"),
        (background, "module-instance"),
    }


def test_queue_and_pool_have_tables_of_their_own_in_one_file(make_queue: Any) -> None:
    site = make_queue().start("pool")
    for service in ("queue", "pool"):
        site.ask(service, "rm", uids=[service])
    site.stop()
    for service in ("queue", "pool"):
        row = (None, f"client-{service}", {"cmd": "rm", "args": {"uids": [service]}}, GOOD)
        assert log_rows(site.folder / "log.db", f"{service}_log") == [row]
    with closing(sqlite3.connect(site.folder / "log.db")) as reader:
        for service in ("queue", "pool"):
            columns = reader.execute(f"PRAGMA table_info({service}_log)").fetchall()
            assert [column[1] for column in columns] == [
                "pk",
                "uid",
                "namespace",
                "timestamp",
                "input_json",
                "output_json",
                "by",
            ]


def test_the_tables_exist_once_the_services_listen(make_queue: Any) -> None:
    site = make_queue().start("pool")
    for service in ("queue", "pool"):
        assert log_rows(site.folder / "log.db", f"{service}_log") == []


def test_services_continue_in_a_new_file_after_a_rotation(make_queue: Any) -> None:
    site = make_queue().start("pool")
    file = wait_for_row(site)
    site.ask("pool", "rm", uids=["first"])
    wait_until(lambda: log_rows(file, "pool_log"), "the other's first row")
    old = file.rename(f"{file}.1")
    for service in ("queue", "pool"):
        site.ask(service, "rm", uids=["second"])
        wait_until(lambda s=service: "created it again" in site.log(s), "it is logged")
    site.stop()
    for service in ("queue", "pool"):
        for path, uid in ((old, "first"), (file, "second")):
            [row] = log_rows(path, f"{service}_log")
            assert row[2]["args"]["uids"] == [uid]


def test_a_stop_writes_the_last_rows_and_leaves_a_single_file(make_queue: Any) -> None:
    site = make_queue()
    uid = Client(site, "queue").add_settled()
    site.stop("queue")
    assert log_rows(site.folder / "log.db")[-1] == (uid, "queue-module", {"cmd": "rm"}, GOOD)
    assert [file.name for file in site.folder.glob("log.db*")] == ["log.db"]


def wait_for_row(site: Site) -> Path:
    """Let one row be written. Returns the file."""
    file = site.folder / "log.db"
    site.ask("queue", "rm", uids=["first"])
    wait_until(lambda: log_rows(file), "the first row")
    return file


def logged_uids(file: Path) -> list[list[str]]:
    """The `uids` of each command."""
    return [row[2]["args"]["uids"] for row in log_rows(file)]


def ask_forty(site: Site, word: str = "") -> None:
    """Send forty commands that are logged. None may wait for the file: that would be 1 s each."""
    began = time.monotonic()
    for number in range(40):
        site.ask("queue", "rm", uids=[f"{number}{word}"])
    assert time.monotonic() - began < 30


def assert_logged_once(site: Site) -> None:
    assert site.log("queue").count("cannot be written") == 1
    assert "Traceback" not in site.log("queue")


def test_a_locked_file_delays_rows_only(make_queue: Any) -> None:
    site = make_queue()
    file = wait_for_row(site)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        while "cannot be written" not in site.log("queue"):
            ask_forty(site)  # before, and while the writer waits for the lock
        ask_forty(site)
        other.execute("ROLLBACK")
    wait_until(lambda: "written again; 0 rows were lost" in site.log("queue"), "it is logged")
    wait_until(  # the last ones gather for a moment
        lambda: logged_uids(file)[-40:] == [[str(number)] for number in range(40)],
        "all rows, in their order",
    )
    assert_logged_once(site)


def test_a_path_that_cannot_be_written_is_logged_once_and_delays_no_command(
    make_queue: Any,
) -> None:
    site = make_queue(log_database_path="$HERE/missing/log.db")
    uid = site.ask("queue", "add", type="well")["uid"]
    wait_until(lambda: "cannot be written" in site.log("queue"), "it is said")
    ask_forty(site)
    site.ask("queue", "rm", uids=[uid])
    site.stop("queue")
    assert "rows lost" in site.log("queue")
    assert_logged_once(site)


def test_rows_are_written_once_a_full_disk_has_room_again(make_queue: Any) -> None:
    site = make_queue()
    file = wait_for_row(site)
    unlimited = resource.RLIM_INFINITY
    for pid in site.survivors():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 16, unlimited))
    ask_forty(site, "x" * 4000)
    wait_until(lambda: "cannot be written" in site.log("queue"), "it is said")
    for pid in site.survivors():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
    wait_until(lambda: len(log_rows(file)) == 41, "all rows")
    assert_logged_once(site)
