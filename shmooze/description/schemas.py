"""JSON Schemas (2020-12), compiled into validators that take a bounded time.

Patterns run in linear time, since the engine for them has neither lookaround nor backreferences.
References lead nowhere outside the schema.
"""

from __future__ import annotations

from typing import Any

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from shmooze.description.cost import Cost, Mistake
from shmooze.description.words import problem_of
from shmooze.runtime.json_schema import everything, target
from shmooze.runtime.schema import shown

DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Bytes that one pattern may take when it is compiled.
_PATTERN_BYTES = 128 << 10
#: Keywords by which a schema refers to others in ways that cannot be followed here.
_NOT_FOLLOWED = ("$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor")
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


class Unchecked(Exception):
    """A value is not checked. `str()` says why, in a sentence whose subject is its parts."""


class Validator:
    """Checks values against a schema. Raises what `mistake` makes for one that cannot be used.

    `mistake` gets the path within the schema, and the problem.
    """

    def __init__(self, schema: Any, mistake: Mistake) -> None:
        _check_references(schema, mistake)
        try:
            validator = Draft202012Validator(
                schema,
                pattern_options=RegexOptions(_PATTERN_BYTES, _PATTERN_BYTES),
                validate_formats=True,
                offline=True,
            )
        except ValidationError as bad:
            raise mistake(tuple(bad.instance_path), _explain(bad)) from bad
        except ValueError as bad:  # nested too deep for it
            raise mistake((), f"cannot be used: {bad}") from bad
        self._cost = Cost.of(schema, mistake)
        self._is_valid, self._validate = validator.is_valid, validator.validate

    def error(self, value: Any) -> ValidationError | None:
        """What is wrong with a value; None: it is valid. Raises Unchecked."""
        if self._cost.is_measured and (problem := self._cost.refuses(value)):
            raise Unchecked(problem)
        try:
            if self._is_valid(value):
                return None
            if not self._cost.can_explain(value):
                raise Unchecked("do not fit, and are too many to say where")
            self._validate(value)
        except ValidationError as bad:
            return bad
        except ValueError as bad:  # not JSON, or nested too deep
            raise Unchecked(f"cannot be checked: {bad}") from bad
        return None


def _check_references(schema: Any, mistake: Mistake) -> None:
    for path, each in everything(schema):
        if not isinstance(each, dict):
            continue
        for keyword in _NOT_FOLLOWED:
            if keyword in each:
                raise mistake((*path, keyword), "is not supported; use `$ref` and `$defs`")
        if path and "$id" in each:
            raise mistake((*path, "$id"), "is not supported inside a schema")
        if str(each.get("$schema", DIALECT)).rstrip("#") != DIALECT:
            raise mistake((*path, "$schema"), f"must be {DIALECT}, not {shown(each['$schema'])}")
        if "$ref" in each:
            problem = _problem_of_reference(schema, each["$ref"])
            if problem:
                raise mistake((*path, "$ref"), problem)


def _problem_of_reference(schema: Any, reference: Any) -> str | None:
    if reference != "#" and not str(reference).startswith("#/"):
        return f"must stay inside the schema, as `#/$defs/NAME`, not {shown(reference)}"
    try:
        target(schema, reference)
    except LookupError:
        return f"points to nothing: {shown(reference)}"
    return None


def _explain(bad: ValidationError) -> str:
    """What is wrong with a schema, as a sentence without its subject."""
    kind: Any = bad.kind
    if kind.name == "format" and kind.format == "regex":
        return (
            f"is not a regular expression that can be checked in linear time: {shown(bad.instance)}"
        )
    if bad.instance_path and bad.instance_path[-1] == "type":
        return f"must be one of {', '.join(_TYPES)}, or a list of those, not {shown(bad.instance)}"
    if kind.name == "type":
        types = " or ".join(kind.types)
        return f"must be of the type {types}, not {shown(bad.instance)}"
    return problem_of(bad, levels=None)
