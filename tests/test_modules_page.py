"""The modules of docs/reference/modules.md do what the page says about them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_parent import Stage
from support import ROOT, wait_until

from shmooze.modules import JSONParentPoller
from shmooze.modules.describing import describe

PAGE = (ROOT / "docs" / "reference" / "modules.md").read_text()
#: The text of each file that the page shows, by name.
FILES = dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
LAMP = dict(re.findall(r"^\| `(?:add lamp|tell UID dim) ([^`]+)` \| (.+) \|$", PAGE, re.MULTILINE))


def module(name: str) -> type[JSONParentPoller]:
    """The class of a module that the page shows."""
    names: dict[str, Any] = {"__name__": "tests.page"}
    exec(compile(FILES[name], name, "exec"), names)
    (found,) = [
        each
        for each in names.values()
        if isinstance(each, type) and each.__module__ == "tests.page"
    ]
    return found


def value(text: str) -> Any:
    """An argument as `shmz` sends it: JSON where it can be, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.fixture
def put_on_stage(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Stage]:
    return lambda name: Stage(module(name), monkeypatch)


def test_files_of_the_page_are_found() -> None:
    assert {"hello.py", "count.py", "lamp.py", "book.py", "player.py"} <= set(FILES)
    assert len(LAMP) == 4


def test_hello_says_hello(put_on_stage: Callable[[str], Stage]) -> None:
    stage = put_on_stage("hello.py")
    stage.ask("init", name="Ada")
    stage.ask("play")
    assert stage.parameters() == {"says": "hello Ada"}
    stage.ask("rm")


@pytest.mark.parametrize("name", ["count.py", "book.py"])
def test_worker_plays_pauses_and_ends(put_on_stage: Callable[[str], Stage], name: str) -> None:
    stage = put_on_stage(name)
    stage.module.sleep = lambda seconds: type(stage.module).sleep(stage.module, seconds / 1000)
    stage.ask("init")
    for _ in range(2):
        stage.ask("play")
        assert stage.next_update()["cmd"] in ("set_parameters", "save")
        stage.ask("suspend")
    stage.ask("rm")
    assert not stage.module._thread.is_alive()


def test_book_goes_on_where_it_was(put_on_stage: Callable[[str], Stage]) -> None:
    stage = put_on_stage("book.py")
    stage.ask("restore", state={"page": 7})
    stage.ask("init")
    stage.ask("play")
    assert stage.parameters() == {"page": 7}
    stage.ask("rm")


def test_lamp_refuses_arguments_in_the_words_of_the_page(
    put_on_stage: Callable[[str], Stage],
) -> None:
    stage = put_on_stage("lamp.py")
    for sent, words in LAMP.items():
        args = {name: value(text) for name, text in (pair.split("=") for pair in sent.split())}
        assert stage.ask("do_dim" if "percent" in args else "init", **args) == words


def test_lamp_glows_and_is_dimmed(put_on_stage: Callable[[str], Stage]) -> None:
    stage = put_on_stage("lamp.py")
    stage.ask("init", seconds=1)
    assert stage.parameters() == {"colour": "red", "power": 40}
    assert stage.ask("do_dim") == 20
    assert stage.parameters() == {"power": 20}
    stage.ask("play")
    assert stage.parameters() == {"left": 1}
    stage.ask("rm")


def test_lamp_describes_itself_as_the_page_shows() -> None:
    (shown,) = re.findall(r"^\$ python lamp.py --describe\n(.*)$", PAGE, re.MULTILINE)
    assert json.dumps(describe(module("lamp.py"))) == shown


def test_player_of_the_page_plays_a_file_and_leaves(
    put_on_stage: Callable[[str], Stage],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "song").write_text("la la la\n")
    stage = put_on_stage("player.py")
    monkeypatch.setattr("sys.argv", ["player.py", "cat", "-u", "127.0.0.1", "1", "2"])
    assert stage.ask("init", file="nix") == "there is no file 'nix'"
    assert stage.ask("init", file=str(tmp_path / "song")) is None
    stage.ask("play")
    assert stage.next_update() == {"cmd": "rm"}
    assert capfd.readouterr().out == "la la la\n"


def test_player_of_the_page_fails_with_its_program(
    put_on_stage: Callable[[str], Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = put_on_stage("player.py")
    program = ["sh", "-c", "echo no sound card >&2; exit 2"]
    monkeypatch.setattr("sys.argv", ["player.py", *program, "127.0.0.1", "1", "2"])
    stage.ask("init", file=__file__)
    stage.ask("play")
    words = "sh exited with status 2; last output: no sound card"
    assert stage.next_update() == {"cmd": "fail", "args": {"error": words}}
    stage.ask("rm")
    wait_until(lambda: not stage.module.is_running, "nothing is left")
