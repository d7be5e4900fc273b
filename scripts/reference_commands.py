"""The page docs/reference/commands.md, made from what queue and pool say of themselves."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shmooze import settings
from shmooze.broker.broker import Broker
from shmooze.gateway.own_commands import GatewayCommands
from shmooze.metrics.table import Metrics
from shmooze.ordering.votes import Votes
from shmooze.pool import Pool
from shmooze.queue import Queue
from shmooze.schedules.commands import Schedules
from shmooze.settings import Settings
from shmooze.state.history import History

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
#: Pages with headings about commands, and what a link to them says.
_MORE = {
    "protocol": "the protocol",
    "ordering": "order, pauses, limits and votes",
    "schedules": "schedules",
}
#: Tables of commands that a service has only with certain settings.
_OPTIONAL = (History, Schedules, Votes, Metrics)

_HEAD = """\
# Commands of queue and pool

<!-- This page is written by scripts/reference; do not edit it. -->

Every command of a queue and a pool: what it does, its arguments, its result, and which [scopes](protocol.md#tokens) allow it. A command is sent as one JSON object:

```json
{"cmd": "add", "args": {"type": "countdown", "args": {"seconds": 30}}}
```

[The protocol](protocol.md) says how, and has examples and details for each command. `shmz describe` prints this page's contents for a running service, and `/openapi.json` at the gateway has them as an OpenAPI document, with the arguments of your own module types.
"""


def commands_page() -> str:
    """The whole page."""
    settings.use(Settings(REFERENCE, {"ports": {"queue": 5580, "pool": 5590}}))
    services: dict[str, Broker] = {"queue": Queue([]), "pool": Pool([])}
    described: dict[str, dict[str, Any]] = {}
    for name, service in services.items():
        for table in _OPTIONAL:
            service.add_table(table.__new__(table))
        described[name] = service.described()["commands"]
    commands = sorted({*described["queue"], *described["pool"]})
    overview = ["| command | of | |", "|---|---|---|"]
    sections = []
    for cmd in commands:
        owners = [name for name in services if cmd in described[name]]
        command, service = described[owners[0]][cmd], services[owners[0]]
        first = _escaped(command["description"].partition("\n\n")[0].replace("\n", " "))
        overview.append(f"| [`{cmd}`](#{cmd}) | {', '.join(owners)} | {_sentence(first)} |")
        sections.append(_section(cmd, command, owners, _allowed_by(service, cmd, command)))
    return "\n".join([_HEAD, *overview, "", *sections, _gateway()])


def _section(cmd: str, command: Mapping[str, Any], owners: list[str], allowed: str) -> str:
    parts = [f"## `{cmd}`", command["description"]]
    facts = [allowed]
    if len(owners) == 1:
        facts.append(f"Only of a {owners[0]}.")
    if needed := Broker.optional_cmds.get(cmd):
        facts.append(f"Needs {needed} in the settings.")
    facts.extend(_links(cmd))
    parts.append(" ".join(facts))
    parts.extend(_arguments(command["args"]))
    parts.extend(_result(command))
    return "\n\n".join(parts) + "\n"


def _allowed_by(service: Any, cmd: str, command: Mapping[str, Any]) -> str:
    if not command["changes"]:
        return "Changes nothing: every token allows it."
    scopes = [f"`{each}`" for each in (*service.cmd_scopes.get(cmd, ()), "control")]
    return f"Scopes: {' or '.join(scopes)}."


def _links(cmd: str) -> list[str]:
    """A link to the heading about a command on each page that has one; it may be about several."""
    links = []
    for page, name in _MORE.items():
        for heading in re.findall(
            r"^### (.*)$", (REFERENCE / f"{page}.md").read_text(), re.MULTILINE
        ):
            if f"`{cmd}`" in heading:
                anchor = re.sub(r"[^\w -]", "", heading).replace(" ", "-")
                links.append(f"[{name}]({page}.md#{anchor})")
    return [f"See also {' and '.join(links)}."] if links else []


def _gateway() -> str:
    """The section about the gateway, which has commands of its own."""
    commands = GatewayCommands.__new__(GatewayCommands).described()["commands"]
    text: list[str] = []
    for cmd in sorted(commands.keys() - {"describe"}):
        command = commands[cmd]
        text += [f"## `{cmd}` of the gateway", command["description"]]
        text += ["Sent to `{wsgi_prefix}wsgi`. Scopes: `control`."]
        text += [*_arguments(command["args"]), *_result(command)]
    return "\n\n".join(text) + "\n"


# Schemas in words.


def _arguments(schema: Mapping[str, Any]) -> list[str]:
    properties = schema.get("properties", {})
    if not properties:
        return ["No arguments."]
    rows = ["| argument | type | default | |", "|---|---|---|---|"]
    for name, each in properties.items():
        is_required = name in schema.get("required", ())
        default = "required" if is_required else f"`{_number(each.get('default'))}`"
        words, said = _type(each, schema), _escaped(each.get("description", ""))
        rows.append(f"| `{name}` | {words} | {default} | {said} |")
    return ["\n".join(rows)]


def _number(default: Any) -> str:
    """A default as JSON, without a fraction where there is none."""
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return json.dumps(default)


def _result(command: Mapping[str, Any]) -> list[str]:
    if "result" not in command:
        return ["Result: any value."]
    schema = command["result"]
    said = schema.get("description", "")
    resolved = _resolve(schema, schema)
    said = said or resolved.get("description", "")
    line = f"Result: {_type(schema, schema)}." + (f" {said}" if said else "")
    inner = _resolve(resolved.get("items", resolved), schema)
    rows = [
        f"| `{name}`{'' if name in inner.get('required', ()) else ' (may be missing)'} |"
        f" {_type(each, schema)} | {_escaped(_resolve(each, schema).get('description', ''))} |"
        for name, each in inner.get("properties", {}).items()
    ]
    return [line, "\n".join(["| key | type | |", "|---|---|---|", *rows])] if rows else [line]


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema itself, or what it refers to or allows besides null."""
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].rpartition("/")[2]]
        return {**target, **{key: each for key, each in schema.items() if key != "$ref"}}
    others = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(others) == 1:
        said = {"description": schema["description"]} if "description" in schema else {}
        return {**_resolve(others[0], root), **said}
    return schema


_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
}


def _type(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """The type of a value in words."""
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(each, root) for each in schema["anyOf"]))
    if "$ref" in schema:
        return _type(_resolve(schema, root), root)
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(_type({"type": each}, root) for each in kind)
    if schema.get("format") == "date-time":
        return "time"
    if kind == "array":
        items = schema.get("items") or {}
        return f"list of {_plural(_type(items, root))}" if items else "list"
    if kind == "object":
        values = schema.get("additionalProperties")
        if isinstance(values, dict) and values and not schema.get("properties"):
            return f"object of {_plural(_type(values, root))} by name"
        return "object"
    return _WORDS.get(str(kind), "any value")


def _plural(words: str) -> str:
    return {"text": "texts", "whole number": "whole numbers", "number": "numbers"}.get(
        words, {"object": "objects", "any value": "any values", "list": "lists"}.get(words, words)
    )


def _sentence(text: str) -> str:
    """The first sentence of a text."""
    return re.split(r"(?<=\.) (?=[A-Z`])", text)[0]


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
