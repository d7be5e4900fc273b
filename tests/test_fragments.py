"""Blocks of pages that are no whole programs, in the surroundings that they need."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_parent import Stage
from fakes import FakeClock, run_until_idle
from shown_packets import difference
from shown_settings import parse_shown
from snippets import Block, Page
from support import PATIENCE, ROOT
from test_hooks import Told

from shmooze.hooks import signature
from shmooze.modules import JSONParentPoller, Module
from shmooze.runtime.json_log import JsonFormatter

MODULES = Page.read("docs/reference/modules.md")


def block(page: str, beginning: str, heading: str | None = None) -> Block:
    """The one block of a page with this beginning, of one section or of all."""
    (found,) = (
        each
        for each in Page.read(page).blocks
        if each.text.startswith(beginning) and heading in (None, each.heading)
    )
    return found


# Modules.


def on_stage(body: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A module with a table of commands, with more in the body of its class."""
    head = "class Shown(JSONParentPoller):\n    def nothing(self): pass\n"
    head += "    cmd_init = cmd_play = cmd_suspend = cmd_rm = nothing\n"
    head += '    commands = {"init": nothing, "play": nothing, "suspend": nothing, "rm": nothing}\n'
    names: dict[str, Any] = {"JSONParentPoller": JSONParentPoller, "JOBS": ["disk"]}
    exec(head + "".join(f"    {line}\n" for line in body.splitlines()), names)
    return Stage(names["Shown"], monkeypatch)


def updates(stage: Stage) -> list[dict[str, Any]]:
    found = []
    while not stage.connection.updates.empty():
        found.append(stage.next_update())
    return found


def as_method(text: str) -> str:
    return "def act(self):\n" + "".join(f"    {line}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    ("beginning", "sent"),
    [
        (
            "self.set_parameters",
            [
                {"parameters": {"title": "Blue in Green", "left": 327}},
                {"parameters": {"left": 326}},
                {"parameters": ["left"]},
            ],
        ),
        ("self.rm", [None, None]),
        ("self.fail", [{"error": "the stream has no sound"}]),
        ("self.result", [{"value": {"pages": 412}}]),
    ],
)
def test_lines_of_a_module_do_what_the_page_says(
    beginning: str, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = on_stage(as_method(block(MODULES.name, beginning).text), monkeypatch)
    stage.module.act()  # type: ignore[attr-defined]
    assert [update.get("args") for update in updates(stage)] == sent


def test_every_line_of_a_module_is_in_the_test_before() -> None:
    shown = [each for each in MODULES.shown("python") if each.text.startswith("self.")]
    assert len(shown) == 4


def test_functions_of_a_module_do_what_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = on_stage(block(MODULES.name, "def do_add").text, monkeypatch)
    stage.module.left = 1  # type: ignore[attr-defined]
    assert stage.ask("do_add", seconds=5) == 6
    text = block(MODULES.name, "def cmd_init").text
    stage = on_stage(f'{text}\ncommands = {{"init": cmd_init}}', monkeypatch)
    assert stage.ask("init", name="nix") == "no job 'nix' in the settings"
    assert stage.ask("init", name="disk") is None


def test_keys_of_a_type_are_attributes_of_its_class() -> None:
    names: dict[str, Any] = {"Module": Module}
    exec(block(MODULES.name, "class Dream").text, names)
    in_settings = json.loads("{" + block(MODULES.name, '"dream"').text + "}")["dream"]
    for key, value in in_settings.items():
        assert getattr(names["Dream"], key) == value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the page on modules."""
    folder = tmp_path_factory.mktemp("modules")
    for name, text in MODULES.files.items():
        (folder / name).write_text(text)
    return folder


def under_stage(folder: Path, name: str) -> subprocess.Popen[str]:
    """A module of the page, and `stage.py` of the page, which plays its parent."""
    return subprocess.Popen(
        [sys.executable, "stage.py", sys.executable, name],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_scratch_removes_its_folder(folder: Path) -> None:
    shown = under_stage(folder, "scratch.py").communicate("init\nplay\nrm\n", PATIENCE)[0]
    (made,) = re.findall(r'"folder":"(.*?)"', shown)
    assert shown.endswith("exit status 0\n")
    assert not Path(made).exists()


@pytest.mark.slow
def test_greenlets_count_down(folder: Path) -> None:
    process = under_stage(folder, "greenlets.py")
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write('init {"count": 2}\n')
    process.stdin.flush()
    seen = []
    while len(seen) < 2:
        seen += re.findall(r'"left":(\d)', process.stdout.readline())
    assert seen == ["1", "0"]
    assert process.communicate("rm\n", PATIENCE)[0].endswith("exit status 0\n")


@pytest.mark.slow
def test_stage_shows_the_session_of_the_page(folder: Path) -> None:
    lines = block(MODULES.name, "$ python stage.py").text.splitlines()[1:]
    printed = [line for line in lines if re.match("answer|update|exit", line)]
    typed = [line for line in lines if line not in printed]
    shown = under_stage(folder, "hello.py").communicate("\n".join(typed) + "\n", PATIENCE)[0]
    assert sorted(shown.splitlines()) == sorted(printed)  # updates come by a stream of their own


# Hooks and logs.


def test_a_hook_gets_what_the_page_shows(clock: FakeClock) -> None:
    told = Told(clock, "failed")
    told.service.add()
    told.service.process.exit(1)
    run_until_idle()
    (delivery,) = told.deliveries
    shown = parse_shown(block("docs/how-to/hooks.md", '{"id"').text)
    assert difference(shown, delivery.payload) is None
    told.service.stop()


@pytest.mark.parametrize("key", [b"right", b"wrong"])
def test_signatures_are_checked_by_the_lines_of_the_page(key: bytes) -> None:
    body = b'{"event": "failed"}'
    names: dict[str, Any] = {"base64": base64, "hmac": hmac, "body": body, "key": key}
    names["headers"] = signature.headers("7f0c", 1_700_000_000, body, b"right")
    exec(block("docs/how-to/hooks.md", "signed =").text, names)
    assert names["is_genuine"] is (key == b"right")


def test_a_line_of_a_log_in_json_has_the_keys_of_the_page() -> None:
    record = logging.LogRecord("shmooze.x", logging.WARNING, "x.py", 1, "it ended", (), None)
    shown = json.loads(block("docs/how-to/logs.md", '{"time"').text)
    made = json.loads(JsonFormatter("queue").format(record))
    assert made.keys() == shown.keys()
    assert difference(shown, made) is None


def test_mcp_clients_are_configured_with_the_url_of_the_page() -> None:
    configured = json.loads(block("docs/how-to/mcp.md", '{"mcpServers"').text)["mcpServers"]
    program = block("docs/how-to/mcp.md", "import asyncio").text
    for server in configured.values():
        assert f'Client("{server["url"]}")' in program
