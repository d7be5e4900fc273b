"""The how-to pages on tokens and on moving from 1.2.4: their commands and programs work."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from howto import MODULES, Guide, type_command
from support import (
    ROOT,
    Site,
    wait_for_log,
)

from shmooze.access.token_file import TokenFile


def test_tokens_of_the_page_may_do_what_it_says(tmp_path: Path) -> None:
    guide = Guide("network", {"/var/lib/myapp": tmp_path})
    settings = tmp_path / "settings.json"
    settings.write_text(guide.block("json", '{\n    "tokens_path"'))
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "SHMOOZE_SETTINGS": str(settings)}
    *made, show, revoke = guide.commands("python -m shmooze.tokens")
    done = type_command(" && ".join([*made, show]), tmp_path, environ)
    assert done.status == 0, done.text
    words = [line.split() for line in done.text.splitlines()]
    tokens = dict(zip(("ada", "lobby", "guest"), (each[0] for each in words if len(each[0]) > 40)))
    file = TokenFile(str(tmp_path / "tokens.json"))
    holders = {name: file.holder_of(token) for name, token in tokens.items()}
    assert {name: holder.name for name, holder in holders.items() if holder} == {
        name: name for name in ("ada", "lobby", "guest")
    }
    entries = file.load()
    assert entries["ada"]["role"] == "control"
    assert entries["lobby"]["role"] == "read"
    assert entries["guest"]["scopes"] == ["add", "own", "type:song"]
    assert type_command(revoke, tmp_path, environ).status == 0
    assert file.holder_of(tokens["lobby"]) is None


@pytest.mark.slow
def test_programs_for_2_0_of_the_page_on_1_2_4_run(make_site: Callable[..., Site]) -> None:
    names = ("wsgi", "queue", "vol")
    programs = {"queue": [sys.executable, "jukebox_queue.py"], "vol": [sys.executable, "volume.py"]}
    for name, argv in programs.items():
        programs[name] = ["sh", "-c", f"cd $HERE && exec {' '.join(argv)}"]
    site = make_site(services=names, programs=programs)
    guide = Guide("migrate", {"8888": site.ports["wsgi"], "5580": site.ports["queue"]})
    shutil.copy(MODULES / "countdown.py", site.folder)
    for name in ("jukebox_queue.py", "volume.py"):
        (site.folder / name).write_text(guide.files[name])
    shown = json.loads(guide.files["settings.json"].replace("5600", str(site.ports["vol"])))
    assert shown["ports"] == site.ports
    site.settings_file.write_text(json.dumps(shown))
    site.start()
    for seconds in (1000, 2000):
        site.ask("queue", "add", type="countdown", args={"seconds": seconds})
    assert site.post("vol", {"cmd": "set_vol", "args": {"vol": 50}}).json["result"] == 2
    refused = site.post("vol", {"cmd": "set_vol", "args": {"vol": 101}}).json
    assert refused == {"success": False, "error": "Volume cannot be greater than 100"}
    assert wait_for_log(site.folder / "log.db"), "the file that `logfilename` names"
