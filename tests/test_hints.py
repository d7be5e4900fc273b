"""Type hints of a Python module's functions: the schemas they make, and the refusals."""

from __future__ import annotations

import collections.abc
import enum
import functools
import json
import sys
import typing
from typing import Annotated, Any, List, Literal, NewType, Optional, TypedDict, Union  # noqa: UP035

import pytest
from fake_parent import Stage
from support import in_fresh_interpreter

from shmooze.modules import JSONParentPoller, arguments, hints

INT, STR = {"type": "integer"}, {"type": "string"}


class Point(TypedDict):
    x: int
    near: list[Point]


class Partial(TypedDict, total=False):
    label: str


class Colour(enum.Enum):
    RED = "red"


class Own:
    """A class that JSON knows nothing about."""


Volume = NewType("Volume", int)
POINT = {
    "type": "object",
    "properties": {"x": INT, "near": {"type": "array", "items": {"type": "object"}}},
    "required": ["x", "near"],
}

SCHEMAS = {
    "int": (int, INT),
    "float": (float, {"type": "number"}),
    "str": (str, STR),
    "bool": (bool, {"type": "boolean"}),
    "none": (None, {"type": "null"}),
    "text": ("int", INT),
    "list": (list, {"type": "array"}),
    "list of": (list[int], {"type": "array", "items": INT}),
    "List of": (List[int], {"type": "array", "items": INT}),  # noqa: UP006
    "list of text": (list["int"], {"type": "array", "items": INT}),
    "List of text": (List["int"], {"type": "array", "items": INT}),  # noqa: UP006
    "List": (List, {"type": "array"}),  # noqa: UP006
    "Sequence": (collections.abc.Sequence[str], {"type": "array", "items": STR}),
    "dict": (dict, {"type": "object"}),
    "dict of": (dict[str, int], {"type": "object", "additionalProperties": INT}),
    "Mapping": (typing.Mapping[str, Any], {"type": "object"}),
    "Optional": (Optional[int], {"type": ["integer", "null"]}),  # noqa: UP045
    "Union": (Union[int, str], {"type": ["integer", "string"]}),  # noqa: UP007
    "bar": (int | None, {"type": ["integer", "null"]}),
    "text with bar": (
        "list[int] | None",
        {"anyOf": [{"type": "array", "items": INT}, {"type": "null"}]},
    ),
    "Literal": (Literal["a", 1], {"enum": ["a", 1]}),
    "NewType": (Volume, INT),
    "TypedDict": (Point, POINT),
    "TypedDict that is not total": (
        Partial,
        {"type": "object", "properties": {"label": STR}, "required": []},
    ),
    "description": (Annotated[int, "How long"], {**INT, "description": "How long"}),
    "constraints": (Annotated[int, "s", {"minimum": 1}], {**INT, "description": "s", "minimum": 1}),
    "constraints inside": (
        list[Annotated[int, {"minimum": 1}]],
        {"type": "array", "items": {**INT, "minimum": 1}},
    ),
    # What is left open.
    "Any": (Any, {}),
    "Union with Any": (int | Any, {}),
    "object": (object, {}),
    "Enum": (Colour, {}),
    "Literal of an Enum": (Literal[Colour.RED], {}),
    "own class": (Own, {}),
    "tuple": (tuple[int, int], {}),
    "set": (set[int], {}),
    "bytes": (bytes, {}),
    "unknown name": ("Missing | None", {}),
    "not a type": (3, {}),
    "no expression": ("a b", {}),
}


@pytest.mark.parametrize("what", SCHEMAS)
def test_hint_is_a_schema(what: str) -> None:
    hint, schema = SCHEMAS[what]
    assert hints.schema_of(hint, globals()) == schema


@pytest.mark.skipif(sys.version_info < (3, 11), reason="NotRequired is new in Python 3.11")
def test_key_of_a_typed_dict_may_be_left_out() -> None:
    # A class of this module: its hints are text.
    keys = {"a": "int", "b": "typing.NotRequired[int]", "c": typing.NotRequired[int]}
    schema = hints.schema_of(TypedDict("Keys", keys), globals())
    assert schema == {
        "type": "object",
        "properties": {"a": INT, "b": INT, "c": INT},
        "required": ["a"],
    }


class Lamp(JSONParentPoller):
    def cmd_init(
        self,
        level: Annotated[int, {"minimum": 1, "maximum": 9}] = 5,
        name: str = None,  # noqa: RUF013
    ):
        return [level, name]

    def do_set(self, level: int, colour: Literal["red", "blue"] = "red", *, on: bool = True):
        return level

    def do_mix(self, colours: list[dict[str, float]]):
        return colours

    def do_open(self, anything, own: Own = None, **others: int):
        return [anything, own, others]

    def do_point(
        self, point: Point, secret: Annotated[str, {"writeOnly": True, "enum": ["x"]}] = "x"
    ):
        return point

    def do_many(
        self,
        text: Annotated[str, {"minLength": 2, "maxLength": 3}] = "ab",
        items: Annotated[list, {"minItems": 1, "maxItems": 1}] = [1],
        ratio: Annotated[float, {"exclusiveMinimum": 0, "exclusiveMaximum": 1}] = 0.5,
        either: int | list[int] | None = None,
        fixed: Annotated[Any, {"const": 1}] = 1,
    ):
        return None

    def do_unlock(
        self,
        pin: Annotated[Literal["x"] | None, {"writeOnly": True}] = None,
        codes: Annotated[list[Literal["x"]], {"writeOnly": True}] = [],
        by_name: Annotated[dict[str, Literal["x"]], {"writeOnly": True}] = {},
        anything: Annotated[list, {"items": True}] = [],
    ):
        return anything

    def do_count(
        self,
        whole: list[int | None] = [],
        nested: list[dict[str, int]] = [],
        either: int | list[int] | None = None,
        real: float = 0.0,
        both: int | float = 0,
        **others: int,
    ):
        return [whole, nested, either, real, both, others]

    def do_broken(self, level: Annotated[int, {"minimum": "1"}]):
        return level

    def plain(self, level: int):
        return level

    @functools.wraps(plain)
    def do_wrapped(self, **args):
        return Lamp.plain(self, **args)

    commands = {
        "init": cmd_init,
        "do_set": do_set,
        "do_mix": do_mix,
        "do_open": do_open,
        "do_point": do_point,
        "do_many": do_many,
        "do_unlock": do_unlock,
        "do_count": do_count,
        "do_broken": do_broken,
        "do_wrapped": do_wrapped,
        "do_builtin": max,
    }


@pytest.fixture
def lamp(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(Lamp, monkeypatch)


POINT_AT = {"x": 1, "near": []}
REFUSALS = [
    ("init", {"level": "5"}, "argument `level`: expected `int`, got `str`"),
    ("init", {"level": True}, "argument `level`: expected `int`, got `bool`"),
    ("init", {"level": 5.5}, "argument `level`: expected `int`, got `float`"),
    ("init", {"level": 10.0}, "argument `level`: must be at most 9, got 10.0"),
    ("init", {"level": None}, "argument `level`: expected `int`, got `null`"),
    ("init", {"level": 0}, "argument `level`: must be at least 1, got 0"),
    ("init", {"level": 10}, "argument `level`: must be at most 9, got 10"),
    ("init", {"name": 1}, "argument `name`: expected `str | null`, got `int`"),
    ("init", {"lev": 1}, "unknown argument `lev`; known: `level`, `name`"),
    ("do_set", {}, "set: argument `level` is missing"),
    ("do_set", {"level": []}, "set: argument `level`: expected `int`, got `array`"),
    ("do_set", {"level": 1, "on": 1}, "set: argument `on`: expected `bool`, got `int`"),
    (
        "do_set",
        {"level": 1, "colour": "green"},
        'set: argument `colour`: must be one of "red", "blue", got "green"',
    ),
    ("do_mix", {"colours": {}}, "mix: argument `colours`: expected `array`, got `object`"),
    (
        "do_mix",
        {"colours": [{}, {"red": "full"}]},
        "mix: argument `colours[1].red`: expected `float`, got `str`",
    ),
    ("do_open", {"anything": 1, "x": "1"}, "open: argument `x`: expected `int`, got `str`"),
    ("do_point", {"point": {"x": 1}}, "point: argument `point.near` is missing"),
    (
        "do_point",
        {"point": POINT_AT, "secret": "y"},
        'point: argument `secret`: must be one of "x"',
    ),
    ("do_unlock", {"pin": "y"}, 'unlock: argument `pin`: must be one of "x"'),
    ("do_unlock", {"codes": ["y"]}, 'unlock: argument `codes[0]`: must be one of "x"'),
    ("do_unlock", {"by_name": {"a": "y"}}, 'unlock: argument `by_name.a`: must be one of "x"'),
    ("do_many", {"text": "a"}, "many: argument `text`: must have at least 2 characters, got 1"),
    ("do_many", {"text": "abcd"}, "many: argument `text`: must have at most 3 characters, got 4"),
    ("do_many", {"items": []}, "many: argument `items`: must have at least 1 element, got 0"),
    ("do_many", {"items": [1, 2]}, "many: argument `items`: must have at most 1 element, got 2"),
    ("do_many", {"ratio": 0}, "many: argument `ratio`: must be more than 0, got 0"),
    ("do_many", {"ratio": 1.5}, "many: argument `ratio`: must be less than 1, got 1.5"),
    (
        "do_many",
        {"either": "x"},
        "many: argument `either`: expected `int | array | null`, got `str`",
    ),
    ("do_many", {"either": [1, "x"]}, "many: argument `either[1]`: expected `int`, got `str`"),
    ("do_many", {"fixed": True}, "many: argument `fixed`: must be 1, got true"),
    ("do_wrapped", {"level": "1"}, "wrapped: argument `level`: expected `int`, got `str`"),
    # The author's mistake, not the caller's:
    ("do_broken", {"level": 1}, "broken: internal error; see the output of the module"),
]


@pytest.mark.parametrize(("cmd", "args", "words"), REFUSALS, ids=[each[2] for each in REFUSALS])
def test_arguments_that_do_not_fit_are_refused(
    lamp: Stage, cmd: str, args: dict, words: str
) -> None:
    assert lamp.ask(cmd, **args) == words


def test_function_is_not_called_with_arguments_that_do_not_fit(
    lamp: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    called: list[Any] = []
    lamp.module.commands = {"do_add": lambda self, **args: called.append(args)}
    lamp.module.commands["do_add"].__annotations__["args"] = int
    assert lamp.ask("do_add", seconds="5") == "add: argument `seconds`: expected `int`, got `str`"
    assert called == []
    assert capfd.readouterr().err == (
        "refused `do_add`: argument `seconds`: expected `int`, got `str`\n"
    )


@pytest.mark.parametrize(
    ("cmd", "args", "result"),
    [
        ("init", {}, [5, None]),
        ("init", {"name": None}, [5, None]),
        ("do_set", {"level": 1, "colour": "blue", "on": False}, 1),
        ("do_mix", {"colours": [{"red": 1, "blue": 0.5}]}, [{"red": 1, "blue": 0.5}]),
        ("do_open", {"anything": {}, "own": 3, "x": 1}, [{}, 3, {"x": 1}]),
        ("do_point", {"point": {"x": 1, "near": [], "more": 1}}, {"x": 1, "near": [], "more": 1}),
        ("do_many", {"either": [1], "ratio": 0.1}, None),
        ("do_wrapped", {"level": 3}, 3),
        ("do_unlock", {"anything": [1, "a"]}, [1, "a"]),
    ],
)
def test_arguments_that_fit_are_passed_on_unchanged(
    lamp: Stage, cmd: str, args: dict, result: Any
) -> None:
    assert lamp.ask(cmd, **args) == result


def test_integral_float_is_passed_on_as_an_integer_where_the_hint_wants_one(lamp: Stage) -> None:
    args = {"whole": [5.0, None], "nested": [{"a": 2.0}], "either": [3.0], "others": 4.0}
    result = lamp.ask("do_count", **args, real=1.0, both=2.0)
    wanted = [[5, None], [{"a": 2}], [3], 1.0, 2.0, {"others": 4}]
    assert json.dumps(result) == json.dumps(wanted)  # for Python 5 is 5.0


def test_refusal_is_one_line_whatever_the_client_names(
    lamp: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    assert lamp.ask("init", **{"a\nb": 1}) == "unknown argument `a b`; known: `level`, `name`"
    assert lamp.ask("do_open", anything=1, **{"a\rb": "x"}) == (
        "open: argument `a b`: expected `int`, got `str`"
    )
    assert lamp.ask("do_x\ny").startswith("unknown command `x y`; known: `set`, ")
    assert len(capfd.readouterr().err.splitlines()) == 2


def test_long_value_is_cut_in_the_message() -> None:
    said = arguments.check(Lamp.do_set, {"level": 1, "colour": "x" * 100_000})
    assert said.endswith(f'got "{"x" * 56}...')


def test_function_that_is_not_written_in_python_is_not_checked() -> None:
    assert arguments.check(max, {"a": 1}) == ""
    assert arguments.check(Own, {"a": 1}) == ""


CODE = """
import sys
from shmooze.modules import JSONParentPoller, pymodule
class Connection:
    state, said_rm, answers = "open", False, []
    def recv_cmd(self): return {"cmd": "init", "args": {"a": 1}}
    def send_resp(self, answer): print(answer)
pymodule.ParentConnection = Connection
def plain(self, a) -> None: pass
def hinted(self, a: int, b: "list" = []): pass
JSONParentPoller.commands = {"init": %s}
JSONParentPoller().handle_one_command()
print(*{"typing", "inspect", "shmooze.modules.hints"} & set(sys.modules))
"""


@pytest.mark.parametrize(
    ("function", "loaded"), [("plain", ""), ("hinted", "shmooze.modules.hints")]
)
def test_module_loads_only_what_its_hints_need(function: str, loaded: str) -> None:
    said = in_fresh_interpreter(CODE % function).splitlines()
    assert said == ["{'success': True, 'result': None}", loaded]
