"""Queues and pools whose module types are described. All in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fakes import Fake, FakeClock, FakeLauncher, fake_clock, open_with, run_until_idle

from shmooze.broker.broker import Broker
from shmooze.queue import Queue

SECONDS = {"type": "integer", "minimum": 1, "default": 10}
SONG = {
    "title": "Song",
    "label": "{name}, {seconds} s",
    "args": {
        "properties": {
            "name": {"type": "string"},
            "seconds": SECONDS,
            "password": {"type": "string", "writeOnly": True},
        },
        "required": ["name"],
    },
    "commands": {
        "seek": {"args": {"properties": {"to": {"type": "number"}, "step": {"default": 1}}}},
        "unlock": {"args": {"properties": {"pin": {"type": "string", "writeOnly": True}}}},
    },
    "parameters": {"volume": {"type": "integer", "maximum": 100, "unit": "%"}},
}


class Song(Fake):
    TYPE_STRING = "song"
    schema = SONG


class LazySong(Song):
    TYPE_STRING = "lazy"
    spawn = "lazy"


class Plain(Fake):
    TYPE_STRING = "plain"


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with fake_clock() as fake:
        yield fake


@pytest.fixture
def launcher() -> FakeLauncher:
    return FakeLauncher()


@pytest.fixture
def queue(clock: FakeClock, launcher: FakeLauncher) -> Queue:
    return opened(Queue([Song, LazySong, Plain], [Song]), launcher)


def opened(broker: Any, launcher: FakeLauncher) -> Any:
    broker.attach_descriptions()
    open_with(broker, launcher)
    return broker


def ask(broker: Broker, cmd: str, **args: Any) -> Any:
    """The result of a command; its error, as text."""
    answer = broker.single_command({"cmd": cmd, "args": args})
    run_until_idle()
    return answer.get("result") if answer["success"] else answer["error"]


@pytest.mark.parametrize("type", ["song", "lazy"])
@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({}, "argument `name` is missing"),
        ({"name": 5}, "argument `name`: expected `str`, got `int`"),
        ({"name": "x", "seconds": 0}, "argument `seconds`: must be at least 1, got 0"),
        (
            {"name": "x", "speed": 1},
            "unknown argument `speed`; known: `name`, `seconds`, `password`",
        ),
    ],
)
def test_add_refuses_args_that_do_not_fit(
    queue: Queue, launcher: FakeLauncher, type: str, args: dict[str, Any], problem: str
) -> None:
    assert ask(queue, "add", type=type, args=args) == f"add: {problem}"
    assert not launcher.processes
    assert ask(queue, "queue") == []


def test_child_gets_defaults_and_clients_see_them(queue: Queue, launcher: FakeLauncher) -> None:
    ask(queue, "add", type="song", args={"name": "x"})
    (item,) = ask(queue, "queue")
    assert item["args"] == {"name": "x", "seconds": 10}
    assert item["label"] == "x, 10 s"
