"""The packets that a child may send on its update stream."""

from __future__ import annotations

from typing import Any

import msgspec


class Parameters(msgspec.Struct, gc=False):
    parameters: dict[str, Any]


class ParameterNames(msgspec.Struct, gc=False):
    parameters: list[str]


class SetParameters(msgspec.Struct, tag_field="cmd", tag="set_parameters", gc=False):
    args: Parameters


class UnsetParameters(msgspec.Struct, tag_field="cmd", tag="unset_parameters", gc=False):
    args: ParameterNames


class Leaving(msgspec.Struct, tag_field="cmd", tag="rm"):
    args: Any = None


class Value(msgspec.Struct, gc=False):
    value: Any


class Result(msgspec.Struct, tag_field="cmd", tag="result", gc=False):
    args: Value


class FailureText(msgspec.Struct):
    #: Why it failed; `text` is the older name of the same.
    error: str | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if self.error is None and self.text is None:
            raise ValueError("must have `error`, a text")


class Failing(msgspec.Struct, tag_field="cmd", tag="fail"):
    args: FailureText


class OwnState(msgspec.Struct, gc=False):
    state: Any


class Save(msgspec.Struct, tag_field="cmd", tag="save", gc=False):
    args: OwnState


#: What a module reports of itself, as opposed to what it wants to have kept.
Report = SetParameters | UnsetParameters | Leaving | Failing | Result
Update = Report | Save
