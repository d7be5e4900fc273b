"""JSON Schemas as types that a language can write: the part that types can express.

Limits such as `minimum` stay out: the service checks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Union

Schema = Any
Type = Union["Basic", "Values", "ListOf", "DictOf", "OneOf", "Shape"]


@dataclass(frozen=True)
class Basic:
    """One of "str", "int", "float", "bool", "null"; "any"; or "never", which nothing fits."""

    name: str


ANY, NEVER = Basic("any"), Basic("never")
_BASIC = {
    "string": Basic("str"),
    "integer": Basic("int"),
    "number": Basic("float"),
    "boolean": Basic("bool"),
    "null": Basic("null"),
}
#: How deep parts of an `allOf` are followed, which may contain themselves.
_DEEPEST = 6
#: Shapes after which nothing more is merged, since parts may multiply.
_MOST = 5000


@dataclass(frozen=True)
class Values:
    """One of these values, each a text, a number, a boolean or None."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class ListOf:
    item: Type


@dataclass(frozen=True)
class DictOf:
    """An object with any keys."""

    value: Type


@dataclass(frozen=True)
class OneOf:
    members: tuple[Type, ...]


@dataclass(frozen=True)
class Field:
    key: str
    type: Type
    is_required: bool
    description: str


@dataclass(eq=False)
class Shape:
    """An object with these keys. It has a name, and may contain itself."""

    name: str
    description: str
    fields: list[Field] = field(default_factory=list)
    #: Whether the schema says that there may be other keys.
    is_open: bool = False


class Schemas:
    """Turns the parts of one schema into types; `shapes` collects all shapes, inner ones first.

    `make_name` returns a new name for a shape from the proposed one.
    """

    def __init__(self, root: Schema, make_name: Callable[[str], str], shapes: list[Shape]) -> None:
        self._root, self._make_name, self._shapes = root, make_name, shapes
        #: Types by reference; ANY while one is being made that is not a shape.
        self._by_reference: dict[str, Type] = {}
        #: Schemas with `allOf` that are being merged.
        self._under_way: set[int] = set()

    def type_of(self, schema: Schema, name: str) -> Type:
        """The type of a schema; `name` is proposed for it if it is a shape."""
        if schema is False:
            return NEVER
        if not isinstance(schema, dict):
            return ANY
        if isinstance(reference := schema.get("$ref"), str):
            return self._referenced(reference, name)
        if isinstance(schema.get("allOf"), list):
            return self._all_of(schema, name)
        if "const" in schema:
            return _values([schema["const"]])
        if isinstance(choices := schema.get("enum"), list):
            return _values(choices)
        kind = schema.get("type")
        if kind is None and isinstance(schema.get("properties"), dict):
            kind = "object"
        if isinstance(kind, list):
            return _one_of(self.type_of({**schema, "type": each}, name) for each in kind)
        if kind == "object":
            return self._object(schema, name)
        if kind == "array":
            return ListOf(self._item(schema, name))
        if kind is None:
            members = schema.get("anyOf", schema.get("oneOf"))
            if isinstance(members, list):
                return _one_of(self.type_of(each, name) for each in members)
            return ANY
        return _BASIC.get(kind, ANY) if isinstance(kind, str) else ANY

    def shape_of(self, schema: Schema, name: str) -> Shape:
        """The shape of a schema that describes an object; a nameless one if that has no fields."""
        found = self.type_of(schema, name)
        if isinstance(found, Shape):
            return found
        is_open = not isinstance(schema, dict) or schema.get("additionalProperties") is not False
        return Shape("", "", is_open=is_open)

    def _object(self, schema: dict[str, Any], name: str) -> Type:
        properties = schema.get("properties")
        others = schema.get("additionalProperties")
        if not isinstance(properties, dict) or not properties:
            return DictOf(
                self.type_of(others, f"{name} value") if isinstance(others, dict) else ANY
            )
        shape = Shape(
            self._make_name(name), _text(schema), is_open=others is True or isinstance(others, dict)
        )
        return self._fill(shape, schema, name)

    def _fill(self, shape: Shape, schema: dict[str, Any], name: str) -> Shape:
        required = schema.get("required")
        required = required if isinstance(required, list) else []
        for key, each in schema["properties"].items():
            kind = self.type_of(each, f"{name} {key}")
            shape.fields.append(Field(key, kind, key in required, _text(each)))
        self._shapes.append(shape)
        return shape

    def _item(self, schema: dict[str, Any], name: str) -> Type:
        first = schema.get("prefixItems")
        first = first if isinstance(first, list) else []
        members = [self.type_of(each, f"{name} item") for each in first]
        return _one_of([*members, self.type_of(schema.get("items", True), f"{name} item")])

    def _referenced(self, reference: str, name: str) -> Type:
        if reference not in self._by_reference:
            self._by_reference[reference] = ANY
            schema = self._find(reference)
            last = reference.rpartition("/")[2]
            named = f"{name.partition(' ')[0]} {last}" if last not in ("", "#") else name
            if isinstance(schema, dict) and _is_plain_shape(schema):
                # Known before its fields are, since they may refer to it.
                shape = Shape(self._make_name(named), _text(schema))
                self._by_reference[reference] = shape
                self._fill(shape, schema, named)
            else:
                self._by_reference[reference] = self.type_of(schema, named)
        return self._by_reference[reference]

    def _find(self, reference: str) -> Schema:
        """What a reference within the schema means; anything for others."""
        place, found = reference.partition("#")[2], self._root
        if not reference.startswith("#") or (place and not place.startswith("/")):
            return True
        for step in place.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or step not in found:
                return True
            found = found[step]
        return found

    def _all_of(self, schema: dict[str, Any], name: str) -> Type:
        if id(schema) in self._under_way or len(self._shapes) > _MOST:
            return ANY  # it contains itself
        self._under_way.add(id(schema))
        found = self.type_of(self._merged(schema), name)
        self._under_way.remove(id(schema))
        return found

    def _merged(self, schema: dict[str, Any]) -> Schema:
        """A schema without `allOf`: one for all parts, as far as their types go."""
        merged: dict[str, Any] = {}
        for part in self._parts(schema, depth=0):
            own = merged
            merged = {**part, **own}
            if isinstance(own.get("properties"), dict) and isinstance(part.get("properties"), dict):
                merged["properties"] = own["properties"] | part["properties"] | own["properties"]
            if isinstance(own.get("required"), list) and isinstance(part.get("required"), list):
                merged["required"] = [*own["required"], *part["required"]]
        return merged

    def _parts(self, schema: Schema, depth: int) -> Iterator[dict[str, Any]]:
        """The schemas that an `allOf` consists of, each without `allOf` and `$ref`."""
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return
        yield {key: value for key, value in schema.items() if key not in ("allOf", "$ref")}
        if isinstance(reference := schema.get("$ref"), str):
            yield from self._parts(self._find(reference), depth + 1)
        if isinstance(parts := schema.get("allOf"), list):
            for part in parts:
                yield from self._parts(part, depth + 1)


def _is_plain_shape(schema: dict[str, Any]) -> bool:
    special = {"$ref", "allOf", "const", "enum"} & schema.keys()
    has_fields = isinstance(schema.get("properties"), dict) and schema["properties"]
    return bool(has_fields) and schema.get("type", "object") == "object" and not special


def _values(values: list[Any]) -> Type:
    """One of some values; arrays and objects among them may be any."""
    if any(isinstance(value, (list, dict)) for value in values):
        return ANY
    return Values(tuple(values)) if values else NEVER


def _one_of(types: Iterable[Type]) -> Type:
    members: list[Type] = []
    for each in types:
        for member in each.members if isinstance(each, OneOf) else [each]:
            if member not in members and member != NEVER:
                members.append(member)
    if ANY in members:
        return ANY
    if len(members) == 1:
        return members[0]
    return OneOf(tuple(members)) if members else NEVER


def _text(schema: Schema) -> str:
    """The title and the description of a schema."""
    if not isinstance(schema, dict):
        return ""
    texts = [schema.get(key) for key in ("title", "description")]
    return ": ".join(text for text in texts if isinstance(text, str) and text)
