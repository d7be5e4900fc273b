"""Callers: the command log and the program's log name the token that a command came with."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from fake_types import Plain
from fakes import FakeClock, FakeLauncher, open_with, run_until_idle

from shmooze.access.caller import Caller, caller
from shmooze.lib.database import Database
from shmooze.lib.service import JSONCommandProcessor
from shmooze.queue import Queue

GOOD = {"success": True, "result": None}


@contextmanager
def called_by(name: str | None, role: str = "control") -> Iterator[None]:
    """The token that commands come with."""
    before = caller.set(Caller(role, "127.0.0.1", name))
    try:
        yield
    finally:
        caller.reset(before)


class Volume(JSONCommandProcessor):
    def set_vol(self) -> None:
        pass

    def crash(self) -> None:
        raise KeyError("a fault of the application")

    commands = {"set_vol": set_vol, "crash": crash}
    log_cmds = ("set_vol",)


def test_the_rows_of_commands_name_the_caller_and_those_of_modules_do_not(
    clock: FakeClock, launcher: FakeLauncher, tmp_path: Path
) -> None:
    queue = Queue([Plain])
    open_with(queue, launcher)
    queue.logger = Database(str(tmp_path / "log.db"), log_table="queue_log")
    with called_by("ada"):
        added = queue.command({"cmd": "add", "args": {"type": "plain"}})
    rm = {"cmd": "rm", "args": {"uids": [added["result"]["uid"]]}}
    with called_by("bob", "read"):
        assert not queue.command(rm)["success"]
    with called_by("ada"):
        assert queue.command(rm) == GOOD
    with called_by(None):
        queue.command({"cmd": "mv", "args": {"uids": []}})
    run_until_idle()
    rows = queue.logger.execute('SELECT namespace, input_json, "by" FROM queue_log')
    of_clients = [(json.loads(row[1])["cmd"], row[2]) for row in rows if row[0] == "client-queue"]
    assert of_clients == [("add", "ada"), ("rm", "bob"), ("rm", "ada"), ("mv", None)]
    of_modules = [row[2] for row in rows if row[0] != "client-queue"]
    assert of_modules
    assert not any(of_modules)
    stopping = gevent.spawn(queue.stop)
    clock.advance(60)
    stopping.get()


class Logger:
    """A logger as an application has written it for 1.2.4."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def log(self, uid: Any, namespace: str, command: Any, answer: Any) -> None:
        self.rows.append((namespace, command))


class LoggerThatPassesAll(Logger):
    def log(self, *args: Any, **keywords: Any) -> None:
        super().log(*args, **keywords)


class LoggerOfCallers(Logger):
    def log(self, *entry: Any, by: str | None) -> None:
        self.rows.append(by)


class OwnDatabase(Database):
    """A log with a function as it was in 1.2.4."""

    def log(self, uid: Any, namespace: str, command: Any, response: Any, raw: bool = False) -> None:
        super().log(uid, namespace, command, response, raw)


@pytest.mark.parametrize(
    ("make", "row"),
    [
        (Logger, ("client", {"cmd": "set_vol"})),
        (LoggerThatPassesAll, ("client", {"cmd": "set_vol"})),
        (LoggerOfCallers, "ada"),
    ],
)
def test_a_logger_gets_the_name_of_the_caller_only_if_it_takes_one(
    make: Callable[[], Logger], row: Any
) -> None:
    volume = Volume()
    volume.logger = make()
    with called_by("ada"):
        assert volume.command({"cmd": "set_vol"})["success"]
    assert volume.logger.rows == [row]


def test_a_log_of_an_application_goes_on_working(tmp_path: Path) -> None:
    volume = Volume()
    volume.logger = OwnDatabase(str(tmp_path / "log.db"), log_table="vol_log")
    with called_by("ada"):
        assert volume.command({"cmd": "set_vol"})["success"]
    volume.logger.log(None, "own", {"cmd": "x"}, GOOD)
    volume.logger.close()
    with closing(sqlite3.connect(tmp_path / "log.db")) as reader:
        rows = reader.execute("SELECT * FROM vol_log").fetchall()
    assert [(row[2], row[-1]) for row in rows] == [("client", None), ("own", None)]


def test_an_exception_in_a_command_is_logged_with_the_name_of_its_caller(caplog: Any) -> None:
    for name in ("ada", None):
        with called_by(name):
            Volume().command({"cmd": "crash"})
    assert [record.getMessage() for record in caplog.records] == [
        "command 'crash' of ada failed",
        "command 'crash' failed",
    ]
