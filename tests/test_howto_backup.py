"""The page on backup and restore, carried out while clients add items."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from howto import BIN, Done, Guide, type_command
from support import CHILDREN, Site, log_rows, wait_until

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
