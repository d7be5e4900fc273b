"""A module in Python describes itself, for `--describe`."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from support import ROOT

from shmooze.modules import JSONParentPoller
from shmooze.modules.describing import describe
from shmooze.modules.worker import Worker


class Lamp(JSONParentPoller):
    """A lamp that can be dimmed.

    It stands in the hall.
    """

    label = "lamp {name}"
    parameters = {
        "level": {"type": "number", "role": "progress"},
        "colour": Annotated[str, "What it looks like", {"unit": "nm"}],
        "hours": "time",
    }

    def cmd_init(self, name: str, level: Annotated[float, "From 0 to 1", {"maximum": 1}] = 0.5):
        """Switch it on.

        Args:
            name: Where it is,
                such as the hall.
            level: not shown, since the hint describes it
        """

    def do_blink(self, times=3, *, colours: list[str] | None = None) -> int:
        """Blink for a while.

        Needs a good eye.

        Args:
            times (int): How often.

        Returns:
            How often it has
            blinked.

        Raises:
            ValueError: never
        """

    def do_anything(self, *more, first: int = "not an int", second=(), third=Path(), **others):
        pass

    def do_numbers(self, **numbers: int) -> None:
        pass

    def cmd_rm(self):
        """Not for clients."""

    commands = {
        "init": cmd_init,
        "rm": cmd_rm,
        "do_blink": do_blink,
        "do_anything": do_anything,
        "do_numbers": do_numbers,
        "do_builtin": max,
    }


def test_description_has_what_the_class_says() -> None:
    described = describe(Lamp)
    assert list(described) == ["title", "description", "label", "args", "commands", "parameters"]
    assert described["title"] == "A lamp that can be dimmed"
    assert described["description"] == "It stands in the hall."
    assert described["label"] == "lamp {name}"
    assert list(described["commands"]) == ["blink", "anything", "numbers", "builtin"]
    assert described["parameters"] == {
        "level": {"type": "number", "role": "progress"},
        "colour": {"type": "string", "description": "What it looks like", "unit": "nm"},
        "hours": {"role": "time"},
    }


def test_arguments_are_described_by_hints_docstrings_and_defaults() -> None:
    assert describe(Lamp)["args"] == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Where it is, such as the hall."},
            "level": {
                "type": "number",
                "description": "From 0 to 1",
                "maximum": 1,
                "default": 0.5,
            },
        },
        "required": ["name"],
        "additionalProperties": False,
    }


def test_command_is_described_with_its_result() -> None:
    assert describe(Lamp)["commands"]["blink"] == {
        "description": "Blink for a while.\n\nNeeds a good eye.",
        "args": {
            "type": "object",
            "properties": {
                "times": {"description": "How often.", "default": 3},
                "colours": {
                    "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
                    "default": None,
                },
            },
            "additionalProperties": False,
        },
        "result": {"type": "integer", "description": "How often it has blinked."},
    }


def test_result_of_a_job_is_described_by_a_hint_or_a_schema() -> None:
    class Sum(Worker):
        result_type: object = dict[str, int]

    hinted = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert describe(Sum)["result"] == hinted
    Sum.result_type = {"type": "integer", "unit": "pages"}
    assert describe(Sum)["result"] == Sum.result_type
    assert "result" not in describe(Lamp)


def test_defaults_that_could_not_be_sent_are_left_out() -> None:
    args = describe(Lamp)["commands"]["anything"]["args"]
    assert args["properties"] == {"first": {"type": "integer"}, "second": {}, "third": {}}
    assert "required" not in args


def test_function_that_takes_any_argument_says_so() -> None:
    commands = describe(Lamp)["commands"]
    assert commands["anything"]["args"]["additionalProperties"] is True
    assert commands["numbers"] == {
        "args": {
            "type": "object",
            "properties": {},
            "additionalProperties": {"type": "integer"},
        },
        "result": {"type": "null"},
    }
    assert commands["builtin"]["args"] == {"type": "object", "additionalProperties": True}


def test_class_that_says_nothing_is_described_by_its_arguments_alone() -> None:
    class Bare(JSONParentPoller):
        commands = {"init": lambda self: None}

    args = {"type": "object", "properties": {}, "additionalProperties": False}
    assert describe(Bare) == {"args": args}
    assert (
        describe(JSONParentPoller)["title"]
        == "Answers the parent's commands from a table, and sends updates"
    )


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"label": 3}, '`label` must be text, such as "{name}, {seconds} s"'),
        ({"parameters": ["left"]}, "`parameters` must be a dict of names, each with a hint or"),
    ],
)
def test_wrong_attribute_is_named(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words.replace("{", r"\{")):
        describe(type("Wrong", (JSONParentPoller,), attributes))


@pytest.mark.parametrize(
    ("name", "args", "parameters"),
    [
        ("clock", ["format"], ["time"]),
        ("countdown", ["seconds"], ["left", "total", "progress"]),
        ("job", ["name"], ["name", "status", "output", "exit_status"]),
    ],
)
def test_example_describes_its_arguments_and_parameters(
    name: str, args: list[str], parameters: list[str]
) -> None:
    names = runpy.run_path(str(ROOT / "examples" / "modules" / f"{name}.py"))
    described = describe(names[name.title()])
    assert described["title"]
    assert list(described["args"]["properties"]) == args
    assert all("description" in each for each in described["args"]["properties"].values())
    assert list(described["parameters"]) == parameters


PROGRAM = """
import atexit
from shmooze.modules import JSONParentPoller
atexit.register(open("ended", "w").close)
class Lamp(JSONParentPoller):
    "Lämp"
    parameters = {"level": %s}
    commands = {}
lamp = Lamp()
print("not reached")
"""


def run(folder: Path, parameter: str) -> subprocess.CompletedProcess[str]:
    (folder / "lamp.py").write_text(PROGRAM % parameter, encoding="utf-8")
    command = [sys.executable, "lamp.py", "--describe"]
    environ = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)


def test_program_prints_its_description_and_ends(tmp_path: Path) -> None:
    ran = run(tmp_path, '{"type": "number"}')
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == {"title": "Lämp", "parameters": {"level": {"type": "number"}}}
    assert (tmp_path / "ended").exists(), "handlers at exit are called"


def test_program_that_cannot_be_described_says_why_in_one_line(tmp_path: Path) -> None:
    ran = run(tmp_path, '{"default": object()}')
    words = "Object of type object is not JSON serializable"
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"lamp.py: Lamp cannot be described: {words}\n"
