"""Arguments that a schema describes: checked, completed with defaults, shown without secrets."""

from __future__ import annotations

from typing import Any

from shmooze.description.cost import Mistake
from shmooze.description.defaults import Defaults
from shmooze.description.schemas import Unchecked, Validator
from shmooze.description.secrets import Secrets, has_secrets
from shmooze.description.words import explain, problem_of
from shmooze.errors import CommandError

#: Keywords with which a schema says itself which other arguments there may be.
_SAYS_OTHERS = ("additionalProperties", "unevaluatedProperties")
#: Keywords that declare arguments elsewhere than in `properties`.
_ELSEWHERE = ("$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas")


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of arguments that refuses unknown ones, unless it says itself what it does."""
    if any(keyword in schema for keyword in _SAYS_OTHERS):
        return {"type": "object", **schema}
    keyword = _SAYS_OTHERS[any(keyword in schema for keyword in _ELSEWHERE)]
    return {"type": "object", **schema, keyword: False}


class Arguments:
    """Arguments of one command. `mistake` is called for a schema that cannot be used."""

    def __init__(self, schema: dict[str, Any], mistake: Mistake) -> None:
        if schema["type"] != "object":
            raise mistake(("type",), 'must be "object", since arguments have names')
        self._schema, self._error = schema, Validator(schema, mistake).error
        self._defaults = Defaults(schema)
        self._secrets = Secrets(schema) if has_secrets(schema) else None
        _check_defaults(self._schema, self._defaults, mistake)

    def prepare(self, cmd: str, args: dict[str, Any]) -> dict[str, Any]:
        """The arguments for the child: with defaults. Raises CommandError if they do not fit."""
        if self._defaults:
            args = self._defaults.fill_in(args)
        try:
            error = self._error(args)
        except Unchecked as bad:
            raise CommandError(f"{cmd}: the arguments {bad}") from bad
        if error is not None:
            raise CommandError(f"{cmd}: {explain(error, args, self._schema, self._is_secret)}")
        return args

    def hide(self, args: dict[str, Any]) -> dict[str, Any]:
        """The arguments as clients may see them.

        Where some are secret, unknown ones are hidden too: a name that is misspelt, or that the
        description had before it was changed, may be that of a secret.
        """
        if self._secrets is None:
            return args
        return self._secrets.hide({name: args[name] for name in args if self.knows(name)})

    def knows(self, name: str) -> bool:
        """Whether there may be an argument of this name."""
        is_open = self._schema.get("additionalProperties") is not False
        return is_open or name in self._schema.get("properties", {})

    def is_secret(self, name: str) -> bool:
        """Whether no client may see this argument."""
        return self._is_secret([name])

    def _is_secret(self, path: Any) -> bool:
        return self._secrets is not None and self._secrets.includes(path)


def _check_defaults(schema: dict[str, Any], defaults: Defaults, mistake: Mistake) -> None:
    """Raise what `mistake` makes for a default that its own schema does not allow."""
    # Checked as an element of an array, so that what references lead to does not apply to it.
    referred = {key: schema[key] for key in ("$defs", "definitions", "properties") if key in schema}
    for names in defaults.paths():
        place, each = list[str](), schema
        for name in names:
            place, each = [*place, "properties", name], each["properties"][name]
        default = each["default"]
        if isinstance(default, dict):
            default = Defaults(each).fill_in(default)
        try:
            error = Validator({**referred, "items": each}, mistake).error([default])
        except Unchecked as bad:
            raise mistake((*place, "default"), f"is not checked: its parts {bad}") from bad
        if error is not None:
            raise mistake((*place, "default"), problem_of(error, 1))
