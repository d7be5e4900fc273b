"""The OpenAPI document of an application, made from what its services say of themselves.

Each service has one path, to which commands are posted. So each command is a schema, and the body
of a request is one of them, told apart by `cmd`; or a list. The schemas are called

    {service}.{command}                     a command
    {service}.{command}.result              what it returns
    {service}.{command}.{type}              the arguments that it takes for a module type
    {service}.{command}.{type}.{command}    the same for a command that is told to a module
    {service}.{type}.parameters             what modules of this type show
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from shmooze import __version__
from shmooze.gateway.commands import ServiceSchemas
from shmooze.gateway.embedding import BadSchema
from shmooze.gateway.refusals import refusals
from shmooze.gateway.schemas import Schemas
from shmooze.gateway.services import Service
from shmooze.runtime.printable import printable

OPENAPI = "3.1.0"

_INTRODUCTION = """\
Commands are sent to a service by POST, one at a time or in a list, which is answered by a list.
Each is answered by a success with a result, or by a failure with one line of text; the status is
200 for both.
"""
_EVENTS = """\
A stream of server-sent events that does not end by itself. The first event is a `snapshot`:
`modules` in order, each with all its parameters, and the `background`. Each later `change` has what
is different: `modules` by uid, with `set` and `unset` parameters; `order`; `background`; `gone`.
"""
_OUTPUT = """\
A stream of server-sent events: `lines` that the item has printed, with the number of lines `missed`
that are not kept any more; and when the item has ended, its `end`, which is the last one.
"""
_STREAM = {
    "description": "The events.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
_LAST_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The `id` of the last event that the client has got.",
    "schema": {"type": "string"},
}
#: The packet that answers a command which has failed.
_FAILURE = {
    "type": "object",
    "properties": {
        "success": {"const": False},
        "error": {"type": "string", "description": "One line for people."},
    },
    "required": ["success", "error"],
}
_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of this application. Where a browser has logged in, its cookie is"
    " enough.",
}


def document(
    title: str, services: Mapping[str, Service | str], needs_token: bool
) -> dict[str, Any]:
    """The document. A service that did not describe itself is a text that says why."""
    responses = refusals(needs_token)
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in responses}
    found = _describe(services, refused)
    made: dict[str, Any] = {
        "openapi": OPENAPI,
        "info": {"title": title, "version": __version__, "description": _introduce(found.notes)},
        # Relative to this document, since a proxy may map paths.
        "servers": [{"url": "."}],
        "tags": found.tags,
        "paths": {**found.paths, "/settings.json": _settings_path(refused)},
        "components": {"schemas": found.schemas.by_name, "responses": responses},
    }
    if needs_token:
        made["components"]["securitySchemes"] = {"token": _TOKEN}
        made["security"] = [{"token": []}]
    return made


@dataclass
class _Described:
    """What the services say of themselves, as parts of the document."""

    schemas: Schemas
    paths: dict[str, Any] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)
    #: Why a service is missing, one line each.
    notes: list[str] = field(default_factory=list)


def _describe(services: Mapping[str, Service | str], refused: dict[str, Any]) -> _Described:
    found = _Described(Schemas())
    found.schemas.add(_FAILURE, "Failure")
    for name, service in services.items():
        if isinstance(service, str):
            found.notes.append(f"- `{name}` {printable(service)}")
            continue
        more = Schemas(found.schemas)
        try:
            paths = _paths_of(name, service, more, refused)
        except BadSchema as bad:  # then nothing of this service is in the document
            found.notes.append(f"- `{name}` {printable(str(bad))}")
            continue
        found.schemas = more
        found.paths |= paths
        found.tags.append({"name": name, "description": service.description})
    return found


def _introduce(notes: list[str]) -> str:
    if not notes:
        return _INTRODUCTION
    return "\n".join([_INTRODUCTION, "Not described here:\n", *notes, ""])


def _paths_of(
    name: str, service: Service, schemas: Schemas, refused: dict[str, Any]
) -> dict[str, Any]:
    """The paths of one service. Raises BadSchema."""
    own = ServiceSchemas(name, service, schemas)
    command, answer = own.command(), own.answer()
    path = f"/{quote(name, safe='')}"
    post = {
        "operationId": f"post_{name}",
        "summary": f"Send commands to {name}",
        "description": own.table_of_commands(),
        "tags": [name],
        "x-commands": own.summaries(),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _one_or_list(command),
                    "examples": own.examples(),
                }
            },
        },
        "responses": {
            "200": {
                "description": "The answers, in the order of the commands.",
                "content": {
                    "application/json": {
                        "schema": _one_or_list(answer),
                        "example": {"success": True, "result": None},
                    }
                },
            },
            **refused,
        },
    }
    paths: dict[str, Any] = {path: {"post": post}}
    if service.events:
        paths[f"{path}/events"] = {"get": _events_of(name, refused)}
        paths[f"{path}/output/{{uid}}"] = {"get": _output_of(name, refused)}
    return paths


def _events_of(name: str, refused: dict[str, Any]) -> dict[str, Any]:
    """The operation that watches one service."""
    return {
        "operationId": f"events_{name}",
        "summary": f"Watch {name} live",
        "description": _EVENTS,
        "tags": [name],
        "parameters": [_LAST_ID],
        "responses": {"200": _STREAM, **refused},
    }


def _output_of(name: str, refused: dict[str, Any]) -> dict[str, Any]:
    """The operation that shows what an item of a service prints."""
    uid = {"name": "uid", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "operationId": f"output_{name}",
        "summary": f"The output of an item of {name}, live",
        "description": _OUTPUT,
        "tags": [name],
        "parameters": [uid, _LAST_ID],
        "responses": {
            "200": _STREAM,
            "204": {"description": "The item has ended, and the client has all of its output."},
            **refused,
        },
    }


def _one_or_list(reference: dict[str, Any]) -> dict[str, Any]:
    several = {"type": "array", "items": reference, "maxItems": 1000}
    return {"oneOf": [reference, several]}


def _settings_path(refused: dict[str, Any]) -> dict[str, Any]:
    return {
        "get": {
            "operationId": "settings",
            "summary": "The public settings",
            "tags": ["settings"],
            "responses": {
                "200": {
                    "description": "Those keys of the settings that `public` names.",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                **refused,
            },
        }
    }
