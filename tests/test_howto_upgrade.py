"""The page on upgrades, carried out with two releases."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from howto import Guide, type_command
from support import CHILDREN, ROOT, Site, http

import shmooze
from shmooze.state import tables
from shmooze.state.tables import table

pytestmark = pytest.mark.slow
needs_sqlite3 = pytest.mark.skipif(shutil.which("sqlite3") is None, reason="there is no sqlite3")

QUICK = ["bash", str(CHILDREN / "quick.sh")]
TYPES = {name: {"process": QUICK, "spawn": "lazy"} for name in ("song", "payment")}
QUEUE = {"modules": TYPES}


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
