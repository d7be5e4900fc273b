"""`describe`: each service says which commands it has, from their hints and docstrings."""

from __future__ import annotations

import enum
from functools import partial
from typing import Any

import gevent
import pytest
from fake_types import Plain
from fakes import FakeClock, FakeLauncher, open_with, run_until_idle
from jsonschema import Draft202012Validator
from msgspec import Struct

from shmooze.access.caller import Caller, caller
from shmooze.errors import CommandError
from shmooze.lib.service import JSONCommandProcessor, Service
from shmooze.pool import Pool
from shmooze.queue import Queue
from shmooze.state.history import History


class Point(Struct):
    x: int
    next: Point | None = None


class Speed(enum.Enum):
    SLOW = "slow"
    FAST = "fast"


class Lamp(JSONCommandProcessor, Service):
    """A lamp.

    It has a dimmer.
    """

    name = "lamp"

    def dim(self, level: int, seconds: float = 0.5) -> None:
        """Change the brightness.

        `level` is a percentage.
        """

    def move(self, to: Point, speed: Speed = Speed.SLOW) -> list[Point]:
        return [to]

    def bare(self, one, two=2, *, three={"a": [1]}):
        pass

    def anything(self, **others: Any) -> Any:
        pass

    def strange(self, a: complex = 1j, b: float = float("nan"), c: str = "x" * 5000) -> complex:
        return a

    commands = {
        "dim": dim,
        "move": move,
        "bare": bare,
        "anything": anything,
        "strange": strange,
        "partial": partial(dim, seconds=1),
    }
    read_cmds = ("move",)


def describe(service: JSONCommandProcessor, **args: Any) -> Any:
    answer = service.command({"cmd": "describe", "args": args})
    assert answer["success"], answer
    return answer["result"]


def commands_of(service: JSONCommandProcessor) -> dict[str, Any]:
    commands: dict[str, Any] = describe(service)["commands"]
    return commands


def test_a_service_is_described_by_its_name_and_docstring() -> None:
    described = describe(Lamp())
    assert (described["name"], described["events"]) == ("lamp", False)
    assert described["description"] == "A lamp.\n\nIt has a dimmer."
    assert describe(type("Bare", (JSONCommandProcessor, Service), {})())["description"] == ""


def test_a_service_without_docstring_has_that_of_the_service_it_derives_from() -> None:
    class Mine(Queue):
        name = "mine"

    assert describe(Mine([]))["description"] == describe(Queue([]))["description"] != ""


def test_a_command_is_described_by_its_docstring_and_hints() -> None:
    assert commands_of(Lamp())["dim"] == {
        "description": "Change the brightness.\n\n`level` is a percentage.",
        "args": {
            "type": "object",
            "properties": {
                "level": {"type": "integer"},
                "seconds": {"type": "number", "default": 0.5},
            },
            "required": ["level"],
            "additionalProperties": False,
        },
        "result": {"type": "null"},
        "changes": True,
    }


def test_a_schema_has_the_types_that_it_refers_to_and_no_others() -> None:
    command = commands_of(Lamp())["move"]
    assert command["changes"] is False
    assert command["args"]["properties"]["speed"]["default"] == "slow"
    assert sorted(command["args"]["$defs"]) == ["Point", "Speed"]
    assert list(command["result"]["$defs"]) == ["Point"]
    args = Draft202012Validator(command["args"])
    assert args.is_valid({"to": {"x": 1, "next": {"x": 2}}, "speed": "fast"})
    assert not args.is_valid({"to": {"x": 1, "next": {"x": "2"}}})


def test_a_command_without_hints_is_described_by_the_names_of_its_arguments() -> None:
    commands = commands_of(Lamp())
    assert commands["bare"] == {
        "description": "",
        "args": {
            "type": "object",
            "properties": {"one": {}, "two": {"default": 2}, "three": {"default": {"a": [1]}}},
            "required": ["one"],
            "additionalProperties": False,
        },
        "changes": True,
    }
    assert commands["anything"]["args"]["additionalProperties"] is True
    assert "result" not in commands["anything"]
    assert commands["partial"]["description"] == ""


def test_what_has_no_schema_and_defaults_that_are_not_json_are_left_out() -> None:
    strange = commands_of(Lamp())["strange"]
    assert strange["args"]["properties"] == {
        "a": {},
        "b": {"type": "number"},
        "c": {"type": "string"},
    }
    assert "result" not in strange


def test_a_hint_that_cannot_be_evaluated_is_no_obstacle() -> None:
    def broken(self: Any, x: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Still described."""

    service = type("Broken", (JSONCommandProcessor,), {"commands": {"broken": broken}})()
    command = commands_of(service)["broken"]
    assert command["args"] == {"type": "object"}
    assert command["description"] == "Still described."


def test_a_command_called_describe_of_the_service_itself_is_used_instead() -> None:
    class Own(JSONCommandProcessor):
        def describe(self) -> str:
            return "as it was"

        commands = {"describe": describe}

    assert describe(Own()) == "as it was"


def test_every_token_may_describe_and_the_error_for_unknown_commands_knows_it() -> None:
    before = caller.set(Caller("read", "127.0.0.1", "bob"))
    try:
        described = describe(Lamp())
        refused = Lamp().command({"cmd": "dim", "args": {"level": 1}})
    finally:
        caller.reset(before)
    assert described["commands"]["describe"]["changes"] is False
    assert refused == {"success": False, "error": "dim: this token may only read"}
    unknown = Lamp().command({"cmd": "x"})["error"]
    assert unknown.startswith("unknown command 'x'; known: dim, ")
    assert unknown.endswith(", partial, describe")


def test_a_service_of_a_user_can_add_keys_to_its_description() -> None:
    class More(Lamp):
        def described(self) -> dict[str, Any]:
            return {**super().described(), "x-room": "attic"}

    assert describe(More())["x-room"] == "attic"


def with_history(broker: Queue | Pool) -> Queue | Pool:
    broker.add_table(History(broker, None))  # type: ignore[arg-type]  # no file is read here
    return broker


@pytest.mark.parametrize("kind", [Queue, Pool])
def test_all_commands_of_queue_and_pool_are_described_with_their_arguments(
    kind: type[Queue | Pool],
) -> None:
    described = describe(with_history(kind([])))
    assert described["events"] is True
    for cmd, command in described["commands"].items():
        assert command["description"].endswith((".", "is the error.")), cmd
        assert ("result" in command) == (not cmd.startswith("tell_")), cmd
        for schema in (command["args"], command.get("result", {})):
            Draft202012Validator.check_schema(schema)
        for name, argument in command["args"]["properties"].items():
            assert argument.get("description"), f"{cmd}: {name}"


def test_commands_that_need_a_setting_are_described_only_where_it_is_set() -> None:
    assert "history" not in commands_of(Queue([]))
    assert commands_of(with_history(Queue([])))["requeue"]["changes"] is True
    assert commands_of(with_history(Queue([])))["history"]["changes"] is False


def test_the_answers_of_a_queue_are_as_described(clock: FakeClock, launcher: FakeLauncher) -> None:
    queue = Queue([Plain], [Plain])
    open_with(queue, launcher)
    commands = commands_of(queue)

    def ask(cmd: str, **args: Any) -> Any:
        Draft202012Validator(commands[cmd]["args"]).validate(args)
        answer = queue.command({"cmd": cmd, "args": args})
        if not answer["success"]:
            raise CommandError(answer["error"])
        Draft202012Validator(commands[cmd]["result"]).validate(answer["result"])
        return answer["result"]

    first, second = (ask("add", type="plain", args={"a": 1}, key=key)["uid"] for key in ("k", None))
    ask("set_bg", type="plain")
    ask("mv", uids=[second])
    assert [each["uid"] for each in ask("queue", parameters=True)] == [second, first]
    assert ask("bg", parameters={"plain": ["x"]})["type"] == "plain"
    assert ask("modules_available") == ask("backgrounds_available") == ["plain"]
    assert ask("ask_module", uid=first, parameters=["x"]) == {}
    assert list(ask("usage")["modules"])
    ask("output", uid=first)
    ask("standby_available")
    ask("rm", uids=[first])
    run_until_idle()
    clock.advance(60)
    assert [each["uid"] for each in ask("gone")] == [first]
    stopping = gevent.spawn(queue.stop)
    clock.advance(60)
    stopping.get()
