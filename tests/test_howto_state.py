"""The how-to pages on backup and upgrade, carried out on services that run."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from howto import BIN, Done, Guide, type_command
from support import CHILDREN, ROOT, Site, http, log_rows, wait_until

import shmooze
from shmooze.state import tables
from shmooze.state.tables import table

pytestmark = pytest.mark.slow
needs_sqlite3 = pytest.mark.skipif(shutil.which("sqlite3") is None, reason="there is no sqlite3")

QUICK = ["bash", str(CHILDREN / "quick.sh")]
TYPES = {
    "song": {"process": QUICK, "spawn": "lazy"},
    "payment": {"process": QUICK, "spawn": "lazy", "after_crash": "hold"},
}
QUEUE = {"modules": TYPES, "max_modules": 10_000}


class Adders:
    """Clients that add items without pause, and remember those that were acknowledged."""

    def __init__(self, add: Callable[[], str], count: int = 3) -> None:
        self._add, self._over = add, threading.Event()
        self.acknowledged: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            self.acknowledged.append(self._add())

    def wait_for_more(self) -> set[str]:
        """All that were acknowledged, once there are some more than now."""
        enough = len(self.acknowledged) + 5
        wait_until(lambda: len(self.acknowledged) >= enough, "items are added")
        return {*self.acknowledged}

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


class Busy:
    """A queue with tokens and a log, one item that plays, and clients that add others."""

    def __init__(self, site: Site) -> None:
        self.site, folder = site, site.folder
        made = self.type("python -m shmooze.tokens add ada")
        assert made.status == 0, made.text
        self.headers = {"Authorization": f"Bearer {made.text.split()[0]}"}
        paths = {
            "/etc/myapp/settings.json": site.settings_file,
            "/opt/myapp/venv/bin": BIN,
            **dict.fromkeys(("/opt/myapp", "/var/lib/myapp"), folder),
            "/var/backups/myapp": folder / "backups",
        }
        self.guide = Guide("backup", paths)
        site.start()
        self.payment = self.ask("add", type="payment")["uid"]
        self.adders = Adders(lambda: str(self.ask("add", type="song")["uid"]))

    def ask(self, cmd: str, **args: Any) -> Any:
        answer = self.site.direct("queue", {"cmd": cmd, "args": args}, headers=self.headers).json
        assert answer["success"], answer
        return answer["result"]

    def type(self, command: str, folder: Path | None = None) -> Done:
        """Type a command in a folder of its own, or that of the application."""
        (folder or self.site.folder).mkdir(exist_ok=True)
        return type_command(command, folder or self.site.folder, self.site.environ)

    def restore(self, command: str, backup: Path) -> dict[str, dict[str, Any]]:
        """Restore a backup as the page says, start the queue, and return its items."""
        self.site.stop()
        away = self.guide.commands("mkdir") + self.guide.commands("mv")
        for each in (*away, command):
            done = self.type(each, None if each in away else backup)
            assert done.status == 0, done.text
        shutil.rmtree(self.site.folder / "old")
        self.site.start()
        return {each["uid"]: each for each in self.ask("queue")}


@pytest.fixture
def busy(tmp_path: Path, make_site: Callable[..., Site]) -> Iterator[Busy]:
    folder = tmp_path / "site0"
    files = {"state_path": "state.db", "tokens_path": "tokens.json", "log_database_path": "log.db"}
    files = {key: str(folder / name) for key, name in files.items()}
    busy = Busy(make_site(services=("queue",), settings={**files, "queue": QUEUE}))
    yield busy
    busy.adders.stop()


def uids(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {uid for (uid,) in connection.execute(f"SELECT uid FROM {table('queue', 'items')}")}


@needs_sqlite3
def test_each_backup_of_a_busy_queue_has_all_that_was_acknowledged_and_is_restored(
    busy: Busy, tmp_path: Path
) -> None:
    export, vacuum, online = [
        each for each in busy.guide.commands() if " > saved.jsonl" in each or "copied.db'" in each
    ]
    promised = {}
    for number, command in enumerate((export, vacuum, online)):
        promised[command] = busy.adders.wait_for_more()
        done = busy.type(command, tmp_path / f"backup{number}")
        assert done.status == 0, done.text
    (busy.site.folder / "backup.sh").write_text(busy.guide.files["backup.sh"])
    acknowledged = busy.adders.wait_for_more()
    script = busy.type("bash backup.sh")
    assert re.match(r"queue: items \d+, history 0, gone 0\n$", script.text), script.text
    busy.adders.wait_for_more()
    busy.adders.stop()

    (folder,) = (busy.site.folder / "backups").iterdir()
    assert acknowledged <= uids(folder / "state.db")
    assert json.loads((folder / "settings.json").read_text()) == busy.site.settings
    assert "ada" in json.loads((folder / "tokens.json").read_text())
    assert len(log_rows(folder / "log.db")) > 0
    assert {each.stat().st_mode & 0o077 for each in folder.iterdir()} == {0}

    (install,) = busy.guide.commands("install")
    (read_in,) = busy.guide.commands("python -m shmooze.state import")
    ways = ((export, read_in), (vacuum, install), (online, install))
    for number, (command, restore) in enumerate(ways):
        items = busy.restore(restore, tmp_path / f"backup{number}")
        assert promised[command] <= items.keys(), command
        assert items[busy.payment]["state"] == "held", "it had begun, as before a crash"


def test_an_export_is_refused_in_the_place_of_a_file_that_is_used(busy: Busy) -> None:
    (read_in,) = busy.guide.commands("python -m shmooze.state import")
    (busy.site.folder / "saved.jsonl").write_text("")
    refused = busy.type(read_in)
    assert refused.status == 1
    assert refused.text.endswith(": a service uses it: stop that first\n")


# Upgrade.


def first_form(path: Path) -> None:
    """A state file as the first version of the tables has it, with an item and its history."""
    with closing(sqlite3.connect(path)) as connection, connection:
        tables.prepare(connection, ["queue"], to=1)
        connection.execute(
            f"INSERT INTO {table('queue', 'items')}"
            " (uid, place, position, type, args, added, begun, restarts, attempts)"
            """ VALUES ('waits', 'order', 1, 'song', '{"title": "tea"}', 1.7e9, 0, 0, 0)"""
        )
        connection.execute(
            f"INSERT INTO {table('queue', 'history')}"
            " (uid, type, args, added, outcome, ended, seconds, reason, report)"
            """ VALUES ('ended', 'song', '{}', 1.7e9, 'done', 1.7e9, 3, 'was done', '{}')"""
        )


def test_a_state_file_of_the_first_form_is_taken_over(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    first_form(path)
    keep = {"history_days": 36500}
    settings = {"state_path": str(path), "queue": QUEUE, **keep}
    site = make_site(services=("queue",), settings=settings).start()
    (item,) = site.ask("queue", "queue")
    assert (item["uid"], item["args"]) == ("waits", {"title": "tea"})
    (ended,) = site.ask("queue", "history")["items"]
    assert (ended["uid"], ended["state"]) == ("ended", "done")
    guide = Guide("upgrade", {"/var/lib/myapp/state.db": path})
    (command,) = guide.commands("sqlite3")
    if shutil.which("sqlite3"):
        shown = type_command(command, tmp_path, site.environ).text
        assert f"$ {command}\n{shown}" in guide.text
    rows = re.findall(r"^\| (\d+) \|", guide.text, re.M)
    assert [int(row) for row in rows] == [*range(1, len(tables.MIGRATIONS) + 1)]


def make_releases(folder: Path) -> None:
    """This release as 2.0, and one that changes the tables as 2.1, each in an environment."""
    old, new = folder / "venv-2.0", folder / "venv-2.1"
    for each in (old, new):
        each.mkdir()
    (old / "shmooze").symlink_to(ROOT / "shmooze")
    shutil.copytree(ROOT / "shmooze", new / "shmooze", ignore=shutil.ignore_patterns("__pycache__"))
    version = new / "shmooze" / "__init__.py"
    version.write_text(re.sub('__version__ = ".*"', '__version__ = "2.1.0"', version.read_text()))
    with (new / "shmooze" / "state" / "tables.py").open("a") as code:
        code.write("MIGRATIONS += (lambda connection, name: None,)\n")
    (folder / "venv").symlink_to(old.name)


@needs_sqlite3
def test_an_upgrade_keeps_the_items_and_a_backup_leads_back(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    folder = tmp_path / "site0"
    guide = Guide("upgrade", {"/opt/myapp": folder, "/var/lib/myapp": folder})
    restore = Guide("backup", {"/var/lib/myapp": folder})
    argv = {
        name: ["sh", "-c", f"cd {folder} && exec {sys.executable} -m shmooze.{name}"]
        for name in ("queue", "pool")
    }
    pool = {"modules": {"song": {"process": QUICK}}}
    site = make_site(
        services=("queue", "pool"),
        settings={"state_path": str(folder / "state.db"), "queue": QUEUE, "pool": pool},
        programs=argv,
        environ={"PYTHONPATH": str(folder / "venv")},
    )
    make_releases(folder)

    def version() -> str:
        found: str = http(f"http://127.0.0.1:{site.ports['queue']}/version").json["version"]
        return found

    def carry_out(*commands: str) -> None:
        for each in commands:
            done = type_command(each, folder, site.environ)
            assert done.status == 0, done.text

    def items() -> list[str]:
        return [each["uid"] for each in site.ask("queue", "queue")]

    def expect_refusal(name: str, release: str) -> None:
        environ = {**site.environ, "PYTHONPATH": str(folder / release)}
        refused = subprocess.run(argv[name], env=environ, capture_output=True, text=True)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr in guide.text, "the page has these words"

    site.start("queue")
    before = [site.ask("queue", "add", type="song")["uid"] for _ in range(2)]
    assert version() == shmooze.__version__
    carry_out(*restore.commands("sqlite3 " + str(folder / "state.db") + ' "VACUUM'))
    expect_refusal("pool", "venv-2.1")
    site.stop()
    carry_out(*guide.commands("ln -sfn", prompt="# "))
    site.start("queue")
    assert version() == "2.1.0"
    assert items() == before
    later = site.ask("queue", "add", type="song")["uid"]
    site.stop()
    (back,) = re.findall(r"`(ln -sfn venv-2.0 [^`]+)`", guide.text)
    carry_out(back)
    expect_refusal("queue", "venv")
    carry_out(*restore.commands("mkdir"), *restore.commands("mv"), *restore.commands("install"))
    site.start("queue")
    assert version() == shmooze.__version__
    assert items() == before and later not in before


def test_items_come_back_and_a_pause_lasts_over_the_steps_of_an_upgrade(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    settings = {"state_path": str(tmp_path / "state.db"), "queue": QUEUE}
    site = make_site(services=("wsgi", "queue"), settings=settings).start()
    uids = [site.ask("queue", "add", type=type)["uid"] for type in ("payment", "payment", "song")]
    site.ask("queue", "hold", uids=[uids[1]])
    guide = Guide("upgrade")
    environ = {**site.environ, "SHMZ_ENDPOINT": f"{site.url}queue"}
    for command in guide.commands("shmz"):
        assert type_command(command, tmp_path, environ).status == 0
    site.stop()
    without_song = {**QUEUE, "modules": {"payment": TYPES["payment"]}}
    site.settings_file.write_text(json.dumps({**site.settings, "queue": without_song}))
    site.start()
    assert site.ask("queue", "status")["paused"] is not None
    items = site.ask("queue", "queue")
    assert [each["uid"] for each in items] == uids
    assert ["held" in each for each in items] == [False, True, True]
    assert f"`{items[2]['held'].replace('song', 'countdown')}`" in guide.text
    version = http(f"{site.url}version").json
    assert version["services"] == {"queue": version["version"]}
