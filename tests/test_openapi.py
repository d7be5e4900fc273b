"""`openapi.json` and `docs` of the gateway: valid, complete, and unharmed by any service."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from wsgiref.headers import Headers
from wsgiref.util import setup_testing_defaults

import msgspec
import pytest
from openapi_spec_validator import validate
from raw_service import RawService, ok
from support import PATIENCE, free_ports

from shmooze.access.token_file import TokenFile
from shmooze.gateway import pages, services
from shmooze.gateway.openapi import document
from shmooze.gateway.services import Service
from shmooze.lib.service import JSONCommandProcessor
from shmooze.pool import Pool
from shmooze.queue import Queue
from shmooze.settings import Settings
from shmooze.wsgi import Gateway

COUNTDOWN = {
    "title": "A countdown",
    "args": {
        "type": "object",
        "properties": {"seconds": {"$ref": "#/$defs/seconds"}},
        "required": ["seconds"],
        "additionalProperties": False,
        "$defs": {"seconds": {"type": "number", "minimum": 1}},
    },
    "commands": {"extend": {"description": "Add time.", "args": {"type": "object"}}},
    "parameters": {"left": {"type": "number", "unit": "s", "role": "time"}},
}


class Volume(JSONCommandProcessor):
    """The volume."""

    def get_vol(self) -> int:
        """From 0 to 100."""
        return 50

    def set_vol(self, vol: int) -> None:
        """Change it."""

    commands = {"set_vol": set_vol, "get_vol": get_vol}
    read_cmds = ("get_vol",)


def described(service: JSONCommandProcessor, *cmds: str, **more: Any) -> Service:
    """How a service describes itself, all or these commands, with what is added to that."""
    answer = service.command({"cmd": "describe"})["result"]
    for cmd in [each for each in answer["commands"] if cmds and each not in cmds]:
        del answer["commands"][cmd]
    return msgspec.convert(json.loads(json.dumps({**answer, **more})), Service)


def valid(title: str, services: dict[str, Any], needs_token: bool = False) -> Any:
    made = document(title, services, needs_token)
    validate(made)
    return made


def resolve(made: Any, part: Any) -> Any:
    """A part of a document, or what it refers to."""
    while "$ref" in part:
        found = made
        for name in part["$ref"].split("/")[1:]:
            name = name.replace("~1", "/")
            found = found[int(name) if isinstance(found, list) else name]
        part = found
    return part


# The document.


def test_an_application_of_queue_pool_and_service_is_described() -> None:
    made = valid(
        "Jukebox",
        {"queue": described(Queue([])), "pool": described(Pool([])), "vol": described(Volume())},
    )
    assert made["info"]["title"] == "Jukebox"
    assert list(made["paths"]) == [
        "/queue",
        "/queue/events",
        "/queue/output/{uid}",
        "/pool",
        "/pool/events",
        "/pool/output/{uid}",
        "/vol",
        "/settings.json",
    ]
    assert "Not described" not in made["info"]["description"]
    assert "security" not in made
    assert "401" not in made["paths"]["/vol"]["post"]["responses"]
    assert "| `get_vol` | From 0 to 100. |" in made["paths"]["/vol"]["post"]["description"]


def test_a_request_is_one_command_or_a_list_told_apart_by_cmd() -> None:
    made = valid("t", {"vol": described(Volume())})
    content = made["paths"]["/vol"]["post"]["requestBody"]["content"]["application/json"]
    single, several = content["schema"]["oneOf"]
    command = resolve(made, single)
    assert several["items"] == single
    assert command["discriminator"]["propertyName"] == "cmd"
    assert list(command["discriminator"]["mapping"]) == ["get_vol", "describe", "set_vol"]
    set_vol = resolve(made, {"$ref": command["discriminator"]["mapping"]["set_vol"]})
    assert set_vol["required"] == ["cmd", "args"]
    assert resolve(made, set_vol["properties"]["args"])["required"] == ["vol"]
    # What is tried first changes nothing.
    assert next(iter(content["examples"].values()))["value"] == {"cmd": "get_vol"}
    assert content["examples"]["set_vol"]["value"] == {"cmd": "set_vol", "args": {"vol": 0}}


def test_an_answer_is_a_success_with_the_result_of_a_command_or_a_failure() -> None:
    made = valid("t", {"vol": described(Volume())})
    response = made["paths"]["/vol"]["post"]["responses"]["200"]
    answer = resolve(made, response["content"]["application/json"]["schema"]["oneOf"][0])
    success, failure = (resolve(made, each) for each in answer["oneOf"])
    results = [resolve(made, each) for each in success["properties"]["result"]["anyOf"]]
    assert {"title": "vol.get_vol.result", "type": "integer"} in results
    assert failure["properties"]["success"] == {"const": False}


def test_commands_that_add_have_the_arguments_of_each_type() -> None:
    service = described(
        Queue([]),
        *("add", "set_bg"),
        modules={"countdown": COUNTDOWN, "plain": {}},
        backgrounds={"countdown": COUNTDOWN},
    )
    made = valid("t", {"queue": service})
    schemas = made["components"]["schemas"]
    args = schemas["queue.add"]["properties"]["args"]
    assert args["discriminator"] == {
        "propertyName": "type",
        "mapping": {
            "countdown": "#/components/schemas/queue.add.countdown",
            "plain": "#/components/schemas/queue.add.plain",
        },
    }
    countdown = schemas["queue.add.countdown"]
    assert countdown["properties"]["type"] == {"const": "countdown"}
    assert countdown["required"] == ["type", "args"]
    assert countdown["description"] == "A countdown"
    seconds = resolve(made, countdown["properties"]["args"])["properties"]["seconds"]
    assert resolve(made, seconds) == {"type": "number", "minimum": 1}
    assert schemas["queue.add.plain"]["properties"]["args"]["type"] == "object"
    assert "key" in schemas["queue.add.plain"]["properties"]
    examples = made["paths"]["/queue"]["post"]["requestBody"]["content"]["application/json"]
    assert examples["examples"]["add countdown"]["value"] == {
        "cmd": "add",
        "args": {"type": "countdown", "args": {"seconds": 1}},
    }
    assert "queue.set_bg.countdown" in schemas


def test_commands_to_modules_have_the_arguments_of_each_type_and_command() -> None:
    service = described(Pool([]), "tell_module", modules={"countdown": COUNTDOWN, "plain": {}})
    made = valid("t", {"pool": service})
    variants = made["components"]["schemas"]["pool.tell_module"]["properties"]["args"]["anyOf"]
    told, anything = (resolve(made, each) for each in variants)
    assert told["properties"]["cmd"] == {"const": "extend"}
    assert told["description"] == "For modules of type countdown.\n\nAdd time."
    assert "const" not in anything["properties"]["cmd"]
    shown = made["components"]["schemas"]["pool.countdown.parameters"]["properties"]
    assert shown == COUNTDOWN["parameters"]


def test_names_that_become_the_same_in_the_document_are_kept_apart() -> None:
    service = {"commands": {"é": {}, "ü": {}, "command": {}}}
    made = valid(
        "t", {"a b": msgspec.convert(service, Service), "a/{b}": msgspec.convert(service, Service)}
    )
    assert list(made["paths"])[:2] == ["/a%20b", "/a%2F%7Bb%7D"]
    assert {"a_b._", "a_b.__2", "a_b.command", "a_b.command_2"} <= set(
        made["components"]["schemas"]
    )


def test_with_tokens_every_operation_needs_one() -> None:
    made = valid("t", {"vol": described(Volume())}, needs_token=True)
    assert made["security"] == [{"token": []}]
    assert made["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert "401" in made["paths"]["/vol"]["post"]["responses"]


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "text"}, "type is not valid in JSON Schema"),
        ({"properties": {"x": 5}}, "properties.x is not valid in JSON Schema"),
        ({"properties": []}, "properties is not valid in JSON Schema"),
        ({"anyOf": []}, "anyOf is not valid in JSON Schema"),
        ({"items": {"required": "x"}}, "items.required is not valid in JSON Schema"),
        (
            {"properties": {"x": {"minLength": -1}}},
            "properties.x.minLength is not valid in JSON Schema",
        ),
        ({"multipleOf": 0}, "multipleOf is not valid in JSON Schema"),
        ({"$ref": "https://example.org/x"}, "$ref does not refer to a part of the same schema"),
        ({"$ref": "#anchor"}, "$ref does not refer to a part of the same schema"),
        ({"$ref": "#/$defs/x"}, "$ref refers to #/$defs/x, where there is no schema"),
        ({"$ref": "#/x-a", "x-a": {}}, "$ref refers to #/x-a, where there is no schema"),
        ({"$ref": "#/anyOf/1", "anyOf": [{}]}, "$ref refers to #/anyOf/1, where"),
    ],
)
def test_a_service_with_a_bad_schema_is_left_out_with_a_note(
    schema: dict[str, Any], problem: str
) -> None:
    bad = msgspec.convert({"commands": {"ok": {}, "go": {"args": schema}}}, Service)
    made = valid("t", {"vol": described(Volume()), "bad": bad})
    assert list(made["paths"]) == ["/vol", "/settings.json"]
    assert not [name for name in made["components"]["schemas"] if name.startswith("bad")]
    note = f"- `bad` describes itself in an unknown form: go.args: {problem}"
    assert note in made["info"]["description"]


def test_schemas_that_allow_no_arguments_make_no_trouble() -> None:
    none, wrong = {"additionalProperties": False}, {"required": 5}
    commands = {
        "go": {"args": {**none, **wrong}},
        "add": {"args": none},
        "odd": {"args": {"enum": [5]}},
        "set_bg": {"args": {"default": 5}},
    }
    types = {"type": {"args": {"enum": [5]}}}
    service = {"commands": commands, "modules": {"type": {"args": wrong}}, "backgrounds": types}
    made = valid("t", {"box": msgspec.convert(service, Service)})
    schema = made["components"]["schemas"]["box.go"]
    assert schema["required"] == list(schema["properties"]) == ["cmd"]
    examples = made["paths"]["/box"]["post"]["requestBody"]["content"]["application/json"]
    assert [each["value"] for each in examples["examples"].values()] == [
        {"cmd": "go"},
        {"cmd": "add"},
        {"cmd": "odd"},
        {"cmd": "set_bg", "args": {"type": "type", "args": {}}},
    ]


def test_references_within_a_schema_lead_to_the_same_place_in_the_document() -> None:
    schema = {
        "$id": "https://example.org/schema",
        "type": "object",
        "properties": {
            "$ref": {"type": "string"},
            "again": {"$ref": "#"},
            "defined": {"$ref": "#/$defs/a%20b"},
            "first": {"$ref": "#/properties/list/prefixItems/0"},
            "list": {"prefixItems": [{"type": "integer"}]},
            "a/b": {"$ref": "#/properties/a~1b/not", "not": True},
        },
        "default": {"$ref": "is data here"},
        "$defs": {"a b": {"type": "array", "items": {}}},
    }
    service = msgspec.convert({"commands": {"go": {"args": schema}}}, Service)
    made = valid("t", {"x": service})
    args = made["components"]["schemas"]["x.go.args"]
    assert "$id" not in args
    assert args["properties"]["$ref"] == {"type": "string"}
    assert resolve(made, args["properties"]["again"]) == args
    assert resolve(made, args["properties"]["first"]) == {"type": "integer"}
    assert args["properties"]["a/b"]["$ref"].endswith("/properties/a~1b/not")
    assert resolve(made, args["properties"]["defined"]) == {"type": "array", "items": {}}
    assert args["properties"]["defined"]["$ref"] == "#/components/schemas/x.go.args.a_b"
    assert "$defs" not in args  # which some generators take for a property
    assert "default" not in args  # many tools would take it for a reference


def test_an_object_that_may_have_any_properties_says_so() -> None:
    objects = {
        "plain": {"type": "object", "description": "Any."},
        "known": {"type": "object", "properties": {}},
        "combined": {"allOf": [{"type": "object"}], "unevaluatedProperties": False},
    }
    schema = {"type": "object", "properties": objects}
    made = document(
        "t", {"x": msgspec.convert({"commands": {"go": {"args": schema}}}, Service)}, False
    )
    properties = made["components"]["schemas"]["x.go.args"]["properties"]
    assert properties.pop("plain") == {**objects.pop("plain"), "additionalProperties": True}
    assert properties == objects


# The gateway, which asks services of bytes.


def answer(result: Any) -> Callable[[bytes], bytes]:
    return lambda _: ok(msgspec.json.encode({"success": True, "result": result}))


VOLUME: dict[str, Any] = Volume().command({"cmd": "describe"})["result"]


class Site:
    """A gateway in memory, as another WSGI server would run it; and services of bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[str, Callable[[bytes], bytes | None]] = {"vol": answer(VOLUME)}
        self.settings: dict[str, Any] = {}
        #: Names in `ports` where nothing listens.
        self.down: tuple[str, ...] = ()
        self.running: dict[str, RawService] = {}

    def start(self, opened: ExitStack) -> Site:
        names = [*self.answers, *self.down]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        for name, each in self.answers.items():
            self.running[name] = opened.enter_context(RawService(ports[name], each))
        file = self.folder / "settings.json"
        static = self.folder / "static"
        static.mkdir(exist_ok=True)
        settings = {"ports": ports, "static_path": str(static), **self.settings}
        file.write_text(json.dumps(settings))
        self.gateway = Gateway(Settings.load({"SHMOOZE_SETTINGS": str(file)}))
        return self

    def get(self, path: str, **headers: str) -> tuple[int, Headers, bytes]:
        environ: dict[str, Any] = {"PATH_INFO": path, "HTTP_HOST": "localhost"}
        setup_testing_defaults(environ)
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        begun: list[Any] = []
        body = b"".join(self.gateway.app(environ, lambda *args: begun.extend(args)))
        return int(begun[0].split()[0]), Headers(begun[1]), body

    def document(self, path: str = "/openapi.json", **headers: str) -> Any:
        status, _, body = self.get(path, **headers)
        assert status == 200, body
        return json.loads(body)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield Site(tmp_path)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_the_gateway_describes_its_services_and_is_named_as_in_the_settings(
    site: Site, opened: ExitStack
) -> None:
    site.settings = {"name": "Jukebox"}
    made = site.start(opened).document()
    assert (made["info"]["title"], made["servers"][0]["url"]) == ("Jukebox", ".")
    assert list(made["paths"]) == ["/vol", "/settings.json"]


def test_a_service_with_no_usable_answer_is_left_out_with_a_note(
    site: Site, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "TIMEOUT", 1.5)
    monkeypatch.setattr(services, "MAX_DESCRIPTION", 10_000)
    over = threading.Event()
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000

    def never(_: bytes) -> None:
        over.wait(PATIENCE)

    site.answers |= {
        "old": lambda _: ok(b'{"success": false, "error": "unknown command \'describe\'"}'),
        "deaf": never,
        "large": lambda _: endless,
        "garbage": lambda _: ok(b"\xff\x00"),
        "nested": lambda _: ok(b"[" * 5000),
        "text": answer("a volume"),
        "wrong": answer({"commands": {"x": {"args": 5}}}),
        "hangs-up": lambda _: None,
    }
    site.down = ("down",)
    made = site.start(opened).document()
    over.set()
    assert list(made["paths"]) == ["/vol", "/settings.json"]
    notes = made["info"]["description"].partition("Not described here:\n\n")[2].splitlines()
    form = "describes itself in an unknown form: "
    assert notes == [
        "- `old` does not describe itself",
        "- `deaf` did not answer in time",
        "- `large` gave no answer that can be used: it is longer than 10000 bytes",
        "- `garbage` gave an answer that is not JSON",
        "- `nested` gave an answer that is not JSON",
        f"- `text` {form}Expected `object`, got `str`",
        f"- `wrong` {form}Expected `object`, got `int` - at `$.commands[...].args`",
        "- `hangs-up` gave no answer that can be used: the connection was closed",
        "- `down` is not running",
    ]


def test_what_a_service_says_anew_is_in_the_document(site: Site, opened: ExitStack) -> None:
    said = [{"commands": {"first": {}}}, {"commands": {"second": {}}}]
    site.answers = {"vol": lambda body: answer(said[0])(body)}
    site.start(opened)
    _, headers, before = site.get("/openapi.json")
    assert site.get("/openapi.json")[2] == before
    said.pop(0)
    status, _, after = site.get("/openapi.json", if_none_match=headers["ETag"])
    assert (status, b'"vol.first"' in before, b'"vol.first"' in after) == (200, True, False)
    assert b'"vol.second"' in after


def test_a_client_that_knows_the_document_does_not_get_it_again(
    site: Site, opened: ExitStack
) -> None:
    site.start(opened)
    _, headers, _ = site.get("/openapi.json")
    assert headers["Cache-Control"] == "private, no-cache"
    status, _, body = site.get("/openapi.json", if_none_match=headers["ETag"])
    assert (status, body) == (304, b"")


def test_a_token_sees_the_services_that_it_may_use_and_no_others(
    site: Site, opened: ExitStack
) -> None:
    tokens = TokenFile(str(site.folder / "tokens.json"))
    reader = tokens.add("reader", "read")
    narrow = tokens.add("narrow", scopes=["read", "service:other"])
    site.settings = {"tokens_path": str(tokens.path)}
    site.answers["other"] = answer(VOLUME)
    site.start(opened)
    for path in ("/openapi.json", "/docs"):
        assert site.get(path)[0] == 401
        assert site.get(path, accept="text/html")[0] == 303  # to the form
    made = site.document(authorization=f"Bearer {reader}")
    assert list(made["paths"]) == ["/vol", "/other", "/settings.json"]
    assert made["security"]
    asked = len(site.running["vol"].bodies)
    made = site.document(authorization=f"Bearer {narrow}")
    assert list(made["paths"]) == ["/other", "/settings.json"]
    assert "vol" not in made["info"]["description"]
    assert len(site.running["vol"].bodies) == asked


def test_services_get_the_token_of_the_client(
    site: Site, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = TokenFile(str(site.folder / "tokens.json"))
    token = tokens.add("reader", "read")
    site.settings = {"tokens_path": str(tokens.path)}
    site.start(opened)
    asked: list[Any] = []

    def ask_all(*args: Any) -> dict[str, Any]:
        asked.extend(args)
        return {}

    monkeypatch.setattr(pages, "ask_all", ask_all)
    site.document(authorization=f"Bearer {token}")
    assert asked[1]["Authorization"] == f"Bearer {token}"


@pytest.fixture
def viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with the files of the viewer, which must not be imported."""
    package = tmp_path / "packages" / "some_viewer"
    (package / "dist").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('it was imported')")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "other.html"):
        (package / "dist" / name).write_text(f"/* {name} */")
    monkeypatch.setattr(pages, "_PACKAGE", "some_viewer")
    monkeypatch.setattr(sys, "path", [*sys.path, str(package.parent)])
    return package / "dist"


def test_the_page_loads_only_files_of_the_gateway(
    site: Site, opened: ExitStack, viewer: Path
) -> None:
    site.settings = {"name": "<b>", "wsgi_prefix": "/app/"}
    site.start(opened)
    status, headers, body = site.get("/app/docs")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"<title>&lt;b&gt;: commands</title>" in body
    assert b"//" not in body
    assert b"http" not in site.get("/app/docs/page.js")[2]
    for file in ("swagger-ui-bundle.js", "swagger-ui.css", "page.js", "page.css"):
        assert f'"docs/{file}"'.encode() in body
        assert site.get(f"/app/docs/{file}")[0] == 200
    assert site.get("/app/docs/swagger-ui.css")[2] == b"/* swagger-ui.css */"
    assert site.get("/app/docs/")[1]["Location"] == "../docs"
    for path in ("/app/docs/other.html", "/app/docs/../dist/other.html", "/docs", "/openapi.json"):
        assert site.get(path)[0] == 404, path
    # That of other pages has not become weaker or stricter.
    assert site.get("/app/settings.json")[1]["Content-Security-Policy"] == "frame-ancestors 'self'"


def test_without_the_viewer_the_page_says_how_to_get_it(
    site: Site, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_PACKAGE", "nowhere")
    site.start(opened)
    status, _, body = site.get("/docs")
    error = "docs needs a package: pip install 'shmooze[docs]>=2'"
    assert (status, json.loads(body)["error"]) == (404, error)
    assert site.get("/docs/swagger-ui.css")[0] == 404


def test_files_of_the_application_come_before_ours(
    site: Site, opened: ExitStack, viewer: Path
) -> None:
    folder = site.folder / "static"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "index.html").write_text("theirs")
    (folder / "openapi.json").write_text("{}")
    site.start(opened)
    assert site.get("/openapi.json")[2] == b"{}"
    assert site.get("/docs/index.html")[2] == b"theirs"
    assert b"viewer" in site.get("/docs")[2]


def test_services_called_like_our_pages_come_before_them(
    site: Site, opened: ExitStack, viewer: Path
) -> None:
    site.answers = {"docs": answer(VOLUME), "openapi.json": answer(VOLUME)}
    site.start(opened)
    for name in site.answers:
        status, _, body = site.get(f"/{name}")
        assert status == 405
        assert json.loads(body)["error"] == f"commands are sent to /{name} by POST"
