"""Commands that a process tells of while it runs become part of the description of its type."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from fakes import Fake, FakeLauncher, open_with, run_until_idle

from shmooze.description.learned import usable
from shmooze.errors import CommandError
from shmooze.pool import Pool

ADD = {"description": "", "args": {"type": "object", "properties": {"a": {"type": "integer"}}}}


class Tools(Fake):
    TYPE_STRING = "tools"
    schema = {"args": {}, "commands": {"own": {}}}


@pytest.fixture
def pool(clock: Any, launcher: FakeLauncher) -> Pool:
    pool = Pool([Tools])
    pool.attach_descriptions()
    open_with(pool, launcher)
    return pool


def add(pool: Pool, *commands: dict[str, Any]) -> str:
    """A module that tells of these commands, one after the other."""
    uid = pool.items.add(Tools, {}, None)
    module = pool.roster.find(uid)
    assert module is not None
    for each in commands:
        module.take_commands(each)
    run_until_idle()
    return uid


def test_they_are_shown_beside_those_that_are_written_down(pool: Pool) -> None:
    add(pool, {"add": ADD})
    shown = pool.describe("tools")["commands"]
    assert [*shown] == ["add", "own"]
    assert shown["add"]["args"]["additionalProperties"] is False


def test_the_latest_ones_count(pool: Pool) -> None:
    add(pool, {"add": ADD}, {"other": ADD})
    assert [*pool.describe("tools")["commands"]] == ["other", "own"]


def test_each_module_is_told_what_it_knows_itself(pool: Pool) -> None:
    first, second = add(pool, {"add": ADD}), add(pool, {"other": ADD})
    for uid, cmd, unknown in ((first, "add", "other"), (second, "other", "add")):
        assert pool.tell_module(uid, cmd, {"a": 1}) == f"do_{cmd}"
        with pytest.raises(CommandError, match="argument `a`: expected `int`, got `str`"):
            pool.tell_module(uid, cmd, {"a": "x"})
        with pytest.raises(CommandError, match=f"unknown command `{unknown}`"):
            pool.tell_module(uid, unknown, {})


def test_schemas_of_other_dialects_are_taken_as_they_are() -> None:
    old = {"$schema": "http://json-schema.org/draft-07/schema#", **ADD["args"]}
    assert usable({"add": {**ADD, "args": old}}, "tools") == {"add": ADD}


@pytest.mark.parametrize(
    "args",
    [
        {"properties": {"x": {"$ref": "http://elsewhere/"}}},
        {"properties": {"x": {"pattern": "(?=x)"}}},
        {"type": "array"},
        {"properties": {"x": {"enum": ["y" * 1000] * 1000}}},
    ],
)
def test_what_cannot_be_used_is_not_checked(
    args: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    found = usable({"odd": {"description": "x", "args": args}, "add": ADD}, "tools")
    assert found["odd"]["args"] == {"type": "object", "additionalProperties": True}
    assert found["add"] == ADD
    assert caplog.record_tuples[0][:2] == ("shmooze.description.learned", logging.WARNING)
