"""Descriptions of module types, without a service: mistakes, arguments, labels, secrets, bounds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from shmooze.broker.catalog import types_from_settings
from shmooze.description.cost import MAX_PATTERNS, MAX_PER_PLACE, MAX_WORK, Cost
from shmooze.description.described_type import UNDESCRIBED
from shmooze.description.description import MAX_BYTES, Description
from shmooze.description.label import MAX_LABEL
from shmooze.errors import CommandError, SettingsError
from shmooze.queue import Queue
from shmooze.runtime.jsonsafe import MAX_DEPTH
from shmooze.settings import Settings, use

TIME = pytest.mark.timeout(20)


def wrong(path: str, problem: str) -> SettingsError:
    return SettingsError(f"{path} {problem}" if path else problem)


def described(**document: Any) -> Description:
    return Description(document, wrong)


def mistake(document: Any) -> str:
    with pytest.raises(SettingsError) as bad:
        Description(document, wrong)
    return str(bad.value)


def refusal(schema: dict[str, Any], **args: Any) -> str:
    with pytest.raises(CommandError) as bad:
        described(args=schema).prepare("add", args)
    return str(bad.value)


def of_x(**schema: Any) -> dict[str, Any]:
    return {"properties": {"x": schema}}


# Mistakes in descriptions.


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (5, "must be an object, not 5"),
        ({"tite": ""}, "tite is unknown; did you mean `title`?"),
        ({"title": 1}, "title must be a string, not 1"),
        ({"args": 1}, "args must be a JSON Schema, which is an object, not 1"),
        ({"args": {"type": "array"}}, 'args.type must be "object"'),
        (
            {"args": of_x(minimum="a")},
            'args.properties.x.minimum must be of the type number, not "a"',
        ),
        ({"args": of_x(minLength=-1)}, "args.properties.x.minLength must be at least 0, got -1"),
        ({"args": of_x(type="strin")}, "args.properties.x.type must be one of array, boolean,"),
        ({"args": of_x(pattern="(")}, "args.properties.x.pattern is not a regular expression"),
        ({"args": of_x(pattern="(?=a)")}, "that can be checked in linear time"),
        (
            {"args": of_x(minimum=2, default=1)},
            "args.properties.x.default must be at least 2, got 1",
        ),
        (
            {"args": of_x(anyOf=[{"type": "string"}], default=[0] * 30_000)},
            "args.properties.x.default is not checked: its parts do not fit, and are too many",
        ),
        ({"args": of_x(**{"$ref": "#/$defs/y"})}, "args.properties.x.$ref points to nothing"),
        (
            {"args": of_x(**{"$ref": "http://127.0.0.1/"})},
            "args.properties.x.$ref must stay inside",
        ),
        ({"args": of_x(**{"$ref": "other.json"})}, "args.properties.x.$ref must stay inside"),
        ({"args": of_x(**{"$ref": "#/type/x"})}, "args.properties.x.$ref points to nothing"),
        ({"args": of_x(enum=[1], **{"$ref": "#/properties/x/enum/y"})}, "x.$ref points to nothing"),
        ({"args": of_x(**{"$dynamicRef": "#x"})}, "args.properties.x.$dynamicRef is not supported"),
        ({"args": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "args.$schema must be"),
        ({"args": {"$schema": 5}}, "args.$schema must be"),
        (
            {"args": of_x(items={"$ref": "#/properties/x"}, allOf=[{"$ref": "#/properties/x"}])},
            "args refers to itself for the same value",
        ),
        ({"commands": []}, "commands must be an object of commands, not []"),
        ({"commands": {"a": {"arg": {}}}}, "commands.a.arg is unknown; did you mean `args`?"),
        ({"commands": {"a": {"args": of_x(type=1)}}}, "commands.a.args.properties.x.type must be"),
        ({"commands": {"a": {"result": {"type": 1}}}}, "commands.a.result.type must be"),
        ({"result": {"type": 1}}, "result.type must be"),
        ({"parameters": {"a": {"maximum": []}}}, "parameters.a.maximum must be of the type number"),
        ({"parameters": {"a": {"unit": 1}}}, "parameters.a.unit must be a string, not 1"),
        ({"label": "{x"}, "label has a single `{`; a brace is written `{{`"),
        ({"label": "{x.y}"}, 'label must have names of arguments in braces, not "{x.y}"'),
        ({"label": "{x[0]}"}, "label must have names of arguments in braces"),
        ({"label": "{x!r}"}, "label must have names of arguments in braces"),
        ({"label": "{y}", "args": of_x()}, "label names `y`, which `args` does not declare"),
        ({"label": "{x}", "args": of_x(writeOnly=True)}, "label names `x`, which is `writeOnly`"),
        ({"x": object()}, "is not JSON: "),
        ({"title": "a" * MAX_BYTES}, f"takes over {MAX_BYTES} bytes"),
    ],
)
def test_mistake_is_told_in_one_line_with_its_place(document: Any, words: str) -> None:
    text = mistake(document)
    assert words in text
    assert "\n" not in text


def test_keys_of_the_author_are_left_alone() -> None:
    document = {"x-icon": 1, "commands": {"a": {"x-icon": 2}}}
    assert Description(document, wrong).document == document


def test_unknown_arguments_are_refused_unless_the_author_says_otherwise() -> None:
    assert refusal({}, y=1) == "add: unknown argument `y`; known: none"
    assert described(args={"additionalProperties": True}).prepare("add", {"y": 1}) == {"y": 1}
    composed = {"allOf": [of_x()], **of_x(), "required": ["x"]}
    assert described(args=composed).prepare("add", {"x": 1}) == {"x": 1}
    assert "unknown argument `y`" in refusal(composed, x=1, y=1)


# What clients are told.

NULLABLE = [{"type": "integer"}, {"type": "null"}]
POINT = {
    "type": "object",
    "properties": {"red": {"type": "integer"}},
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "value", "words"),
    [
        ({"type": "integer"}, "a", "expected `int`, got `str`"),
        ({"type": "integer"}, 1.5, "expected `int`, got `float`"),
        ({"type": "number"}, None, "expected `float`, got `null`"),
        ({"type": "string"}, [], "expected `str`, got `array`"),
        ({"type": "boolean"}, {}, "expected `bool`, got `object`"),
        ({"type": ["integer", "null"]}, "a", "expected `int | null`, got `str`"),
        ({"anyOf": NULLABLE}, "a", "expected `int | null`, got `str`"),
        ({"oneOf": NULLABLE}, "a", "expected `int | null`, got `str`"),
        (
            {"anyOf": [{"type": "integer", "minimum": 2}, {"type": "null"}]},
            1,
            "must be at least 2, got 1",
        ),
        ({"oneOf": [{"minimum": 2}, {"maximum": 9}]}, 5, "fits more than one of the forms"),
        ({"anyOf": [{"minimum": 9}, {"maximum": 2}]}, 5, "fits none of the forms that are allowed"),
        ({"anyOf": [POINT, {"type": "null"}]}, {"red": "a"}, "argument `x.red`: expected `int`"),
        ({"anyOf": [POINT, {"type": "null"}]}, {"blue": 1}, "argument `x.blue`; known: `red`"),
        ({"oneOf": [{"const": "a"}, {"const": "b"}]}, "c", 'must be one of "a", "b", got "c"'),
        ({"enum": ["a", "b"]}, "c", 'must be one of "a", "b", got "c"'),
        ({"const": 5}, 6, "must be 5, got 6"),
        ({"minimum": 1}, 0, "must be at least 1, got 0"),
        ({"maximum": 1}, 2, "must be at most 1, got 2"),
        ({"exclusiveMinimum": 1}, 1, "must be more than 1, got 1"),
        ({"exclusiveMaximum": 1}, 1, "must be less than 1, got 1"),
        ({"multipleOf": 5}, 6, "must be a multiple of 5, got 6"),
        ({"minLength": 2}, "a", "must have at least 2 characters, got 1"),
        ({"maxLength": 1}, "ab", "must have at most 1 character, got 2"),
        ({"pattern": "^a"}, "b", 'must match the pattern `^a`, got "b"'),
        ({"format": "email"}, "b", 'must be an email address, got "b"'),
        ({"minItems": 1}, [], "must have at least 1 element, got 0"),
        ({"maxItems": 1}, [1, 2], "must have at most 1 element, got 2"),
        ({"uniqueItems": True}, [1, 1], "must not have the same element twice"),
        ({"contains": {"type": "string"}}, [1], "lacks an element that it must have"),
        ({"minProperties": 1}, {}, "must have at least 1 key, got 0"),
        (
            {"propertyNames": {"pattern": "^a"}},
            {"b": 1},
            "has a name that is not allowed: must match",
        ),
        ({"not": {"type": "integer"}}, 1, "has a value that is not allowed"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "argument `x.b` is missing"),
        ({"prefixItems": [{}], "items": False}, [1, 2], "argument `x[1]`: is not allowed"),
        ({"items": POINT}, [{}, {"red": "a"}], "argument `x[1].red`: expected `int`, got `str`"),
        ({"items": POINT}, [{"blue": 1}], "unknown argument `x[0].blue`; known: `red`"),
        ({"items": {"required": ["red"]}}, [{}], "argument `x[0].red` is missing"),
        (
            {"properties": {"a b": {"type": "null"}}},
            {"a b": 1},
            'argument `x["a b"]`: expected `null`',
        ),
    ],
)
def test_refusal_names_the_argument_and_what_is_wrong(
    schema: dict[str, Any], value: Any, words: str
) -> None:
    text = refusal(of_x(**schema), x=value)
    assert words in text
    assert text.startswith(("add: argument `x", "add: unknown argument `x"))


@pytest.mark.parametrize(
    ("format", "good", "bad"),
    [
        ("date-time", "2026-01-31T12:00:00Z", "yesterday"),
        ("date", "2026-01-31", "2026-02-31"),
        ("time", "12:00:00Z", "noon"),
        ("email", "a@example.org", "a"),
        ("uri", "https://example.org/", "a b"),
        ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "a"),
        ("ipv4", "127.0.0.1", "127.0.0.256"),
        ("ipv6", "::1", "1"),
        ("hostname", "example.org", "-"),
    ],
)
def test_format_is_checked(format: str, good: str, bad: str) -> None:
    assert described(args=of_x(format=format)).prepare("add", {"x": good})
    assert "argument `x`: must be a" in refusal(of_x(format=format), x=bad)


def test_unknown_format_is_ignored() -> None:
    assert described(args=of_x(format="colour")).prepare("add", {"x": "a"}) == {"x": "a"}


def test_commands_are_checked_like_args() -> None:
    description = described(commands={"seek": {"args": of_x(type="number")}, "stop": {}})
    assert description.prepare_command("seek", {"x": 1}) == {"x": 1}
    assert description.prepare_command("stop", {"any": 1}) == {"any": 1}
    with pytest.raises(CommandError, match=r"^seek: argument `x`: expected `float`, got `str`$"):
        description.prepare_command("seek", {"x": "a"})
    with pytest.raises(CommandError, match=r"^unknown command `sek`; known: `seek`, `stop`$"):
        description.prepare_command("sek", {})


def test_without_args_and_commands_everything_is_accepted() -> None:
    assert described().prepare("add", {"a": 1}) == {"a": 1}
    assert described(args={}).prepare_command("anything", {"a": 1}) == {"a": 1}


# Defaults.


def test_defaults_are_filled_in_at_every_level_and_the_args_stay() -> None:
    inner = {"type": "object", "properties": {"b": {"default": [1]}, "c": {"type": "integer"}}}
    description = described(args={"properties": {"a": inner, "d": {**inner, "default": {}}}})
    given: dict[str, Any] = {"a": {"c": 2}}
    assert description.prepare("add", given) == {"a": {"c": 2, "b": [1]}, "d": {"b": [1]}}
    assert given == {"a": {"c": 2}}
    first, second = description.prepare("add", {}), description.prepare("add", {})
    assert first == {"d": {"b": [1]}}
    assert first["d"]["b"] is not second["d"]["b"]


def test_defaults_are_checked_by_schemas_that_are_referred_to_from_anywhere() -> None:
    def schema(default: Any) -> dict[str, Any]:
        point = {"type": "object", "properties": {"x": {"type": "integer"}}}
        end = {"$ref": "#/properties/start", "default": default}
        return {"properties": {"start": point, "end": end}}

    assert described(args=schema({"x": 1})).prepare("add", {}) == {"end": {"x": 1}}
    words = "args.properties.end.default `x`: expected `int`, got `str`"
    assert mistake({"args": schema({"x": "1"})}) == words


def test_defaults_in_branches_are_not_filled_in() -> None:
    assert described(args={"oneOf": [of_x(default=1)]}).prepare("add", {}) == {}


# Labels.


@pytest.mark.parametrize(
    ("template", "label"),
    [
        ("{name}, {seconds} s", "x, 3.5 s"),
        ("{{{name}}}", "{x}"),
        ("{missing}|{flag}|{list}|{none}", "|true|[1, 2]|"),
        ("a\nb{lines}", r"a\nbc\nd"),
        ("{missing}", None),
    ],
)
def test_label_is_filled_in_from_args(template: str, label: str | None) -> None:
    args = {
        "name": "x",
        "seconds": 3.5,
        "flag": True,
        "list": [1, 2],
        "none": None,
        "lines": "c\nd",
    }
    assert described(label=template).label(args) == label


def test_long_label_is_cut() -> None:
    label = described(label="{a}{b}").label({"a": "ä" * 1_000_000, "b": "x"})
    assert label == "ä" * (MAX_LABEL - 1) + "…"


# Secrets.

SECRET = {"writeOnly": True, "type": "string", "minLength": 3}


@pytest.mark.parametrize(
    "schema",
    [
        of_x(**SECRET),
        of_x(**{"$ref": "#/$defs/s"}) | {"$defs": {"s": SECRET}},
        of_x(**{"$ref": "#/$defs/a%20~1b"}) | {"$defs": {"a /b": SECRET, "a%20~1b": {}}},
        {"anyOf": [of_x(**SECRET), {"required": ["y"]}], "additionalProperties": True},
        {"patternProperties": {"^x": SECRET}},
        {"additionalProperties": SECRET},
        {"if": {"required": ["x"]}, "then": of_x(**SECRET), "additionalProperties": True},
    ],
)
def test_secret_is_hidden_wherever_the_schema_marks_it(schema: dict[str, Any]) -> None:
    description = described(args=schema)
    assert description.hide({"x": "secret"}) == {}
    with pytest.raises(CommandError) as bad:
        description.prepare("add", {"x": "ab"})
    assert '"ab"' not in str(bad.value)


def test_unknown_arguments_are_hidden_where_others_are_secret() -> None:
    description = described(args={"properties": {"name": {}, "pin": {"writeOnly": True}}})
    assert description.hide({"name": "x", "old_pin": "1234"}) == {"name": "x"}
    assert described(args=of_x()).hide({"y": 1}) == {"y": 1}


def test_args_of_unknown_commands_are_hidden() -> None:
    description = described(commands={"unlock": {}})
    assert description.hide_command("unlock", {"pin": 1}) == {"pin": 1}
    assert description.hide_command("unlok", {"pin": 1}) == {}
    assert described().hide_command("unlok", {"pin": 1}) == {"pin": 1}


def test_secrets_within_values_are_hidden_and_the_rest_is_not() -> None:
    entry = {"type": "object", "properties": {"s": SECRET, "t": {}}}
    description = described(args={"properties": {"list": {"items": entry}, "one": entry}})
    args = {"list": [{"s": "abc", "t": 1}, {"t": 2}], "one": {"s": "abc"}}
    assert description.hide(args) == {"list": [{"t": 1}, {"t": 2}], "one": {}}


# Bounds.


def nested(keyword: str, levels: int) -> dict[str, Any]:
    """Schemas of which each applies twice because of the one before."""
    names = [f"d{number}" for number in range(levels + 1)]
    following = [{keyword: [{"$ref": f"#/$defs/{name}"}] * 2} for name in names[1:]]
    return {
        "$defs": dict(zip(names, [*following, {"type": "integer"}])),
        **of_x(**{"$ref": "#/$defs/d0"}),
    }


@TIME
def test_catastrophic_pattern_takes_linear_time() -> None:
    assert "must match the pattern" in refusal(of_x(pattern="^(a+)+$"), x="a" * 100_000 + "b")


@TIME
@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
@pytest.mark.parametrize("levels", [9, 25, 200])
def test_schemas_that_apply_exponentially_often_are_refused(keyword: str, levels: int) -> None:
    text = mistake({"args": nested(keyword, levels)})
    assert text == "args is too complex: too many of its schemas apply to the same value"


@TIME
def test_references_that_go_round_in_circles_are_refused() -> None:
    circle = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}}
    assert "refers to itself" in mistake({"args": {**circle, **of_x(**{"$ref": "#/$defs/a"})}})
    assert "refers to itself" in mistake({"args": {"$ref": "#"}})


@TIME
def test_args_nested_deeper_than_any_json_are_refused_before_they_are_checked() -> None:
    tree = of_x(**{"$ref": "#"})
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"x": deep}
    assert refusal(tree, **deep) == "add: the arguments are nested over 64 levels deep"
    while deep:  # whose destructor recurses otherwise
        deep = deep["x"]
    assert described(args=tree).prepare("add", {"x": {"x": {}}})


@TIME
def test_recursion_that_doubles_at_each_level_limits_the_levels() -> None:
    form = {"properties": {"args": {"items": {"$ref": "#"}}}}
    schema = {"oneOf": [{**form, "required": ["a"]}, form], "additionalProperties": True}
    value: dict[str, Any] = {"a": 1}
    for _ in range(30):
        value = {"args": [value]}
    text = refusal(schema, **value)
    assert text.startswith("add: the arguments are nested over ")


@TIME
def test_work_is_limited_by_the_number_of_parts() -> None:
    choices = {"anyOf": [{"const": number} for number in range(900)]}
    words = f"have over {MAX_WORK // 901} parts, too many to be checked"
    assert words in refusal(of_x(items=choices), x=[5] * 10_000)
    assert "must be one of 0, 1, 2," in refusal(of_x(items=choices), x=[1000] * 10)


@TIME
def test_refusal_of_a_large_value_costs_no_copy_of_it_for_each_choice() -> None:
    choices = [{"required": [f"a{number}"]} for number in range(100)]
    schema = {"anyOf": choices, "additionalProperties": True}
    assert "too many to say where" in refusal(schema, x=list(range(9_000)))


@TIME
def test_values_that_are_compared_with_many_others_may_have_fewer_parts() -> None:
    def listed(*values: Any) -> dict[str, Any]:
        return of_x(type="array", items={"enum": list(values)})

    numbers = list(range(5000))
    assert described(args=listed(*numbers)).prepare("add", {"x": numbers})
    assert described(args=listed(*numbers, None)).prepare("add", {"x": [None]}) == {"x": [None]}
    for values in ([*numbers, None], [{"name": number} for number in numbers]):
        assert "too many to be checked" in refusal(listed(*values), x=values)


def test_large_patterns_are_refused() -> None:
    assert "linear time" in mistake({"args": of_x(pattern="(a{1000}){1000}")})
    patterns = [{"pattern": f"a{{100}}{number}"} for number in range(101)]
    assert mistake({"args": of_x(allOf=patterns)}) == "args has over 100 patterns"


@TIME
def test_wide_schema_is_cheap() -> None:
    schema = {"properties": {f"k{number}": {"type": "string"} for number in range(5_000)}}
    assert not Cost.of(schema, lambda path, problem: AssertionError(problem)).is_measured


def test_description_is_plain_json_afterwards() -> None:
    description = described(args=of_x(enum=(1, 2)), label="{x}")
    assert json.loads(json.dumps(description.document)) == description.document


def test_arguments_may_be_refused_as_a_whole() -> None:
    schema = {"minProperties": 1, **of_x()}
    assert refusal(schema) == "add: arguments: must have at least 1 key, got 0"


# The page on descriptions.

PAGE = (ROOT / "docs" / "reference" / "descriptions.md").read_text()


def test_examples_of_the_page_work_as_pasted(tmp_path: Path) -> None:
    (settings,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (console,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    use(Settings(tmp_path / "settings.json", json.loads(settings)))
    try:
        queue = Queue(types_from_settings("queue", "modules"))
    finally:
        use(None)
    queue.attach_descriptions()
    told = re.findall(r"\$ shmz add countdown (\w+)=(\w+)\nshmz: (.*)", console)
    assert len(told) == 2
    for name, value, words in told:
        args = {name: int(value) if value.isdigit() else value}
        query = {"cmd": "add", "args": {"type": "countdown", "args": args}}
        assert queue.single_command(query)["error"] == words
    description = queue.single_command({"cmd": "describe", "args": {"type": "countdown"}})["result"]
    assert description["parameters"]["left"]["role"] == "time"


def test_class_of_the_page_works_as_pasted() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(f"from shmooze.modules import Module\n{code}", names)
    queue = Queue([names["Countdown"]])
    queue.attach_descriptions()
    assert queue.items.describer.prepare("add", names["Countdown"], {}) == {"seconds": 30}


def test_page_quotes_the_line_of_a_mistake_and_the_limits() -> None:
    mistaken = of_x(minimum="x")
    problem = mistake({"args": mistaken}).partition(" ")[2]
    assert f"{problem}; {UNDESCRIBED}" in PAGE
    assert f"{MAX_BYTES >> 10} KiB of JSON, {MAX_DEPTH} levels" in PAGE
    assert f"{MAX_PATTERNS}, of 128 KiB each" in PAGE
    assert f"| {MAX_PER_PLACE}. Nested" in PAGE
