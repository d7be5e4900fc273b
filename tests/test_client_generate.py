"""Typed classes for an application: what is generated, and whether compilers accept it."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_service import RawService, ok
from support import PATIENCE, ROOT, Site, free_ports

from shmooze.client.__main__ import main
from shmooze.client.generate import python, typescript
from shmooze.client.generate.application import Application, read
from shmooze.client.generate.names import Names
from shmooze.client.generate.types import Schemas, Shape


def fields(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    """A schema of an object."""
    known = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**known, "required": list(required), **more}


# Schemas to types

NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
#: A schema, its type in Python and in TypeScript.
TYPES: list[tuple[Any, str, str]] = [
    ({"type": "string", "minLength": 3}, "str", "string"),
    ({"type": "integer", "minimum": 1}, "int", "number"),
    ({"type": "number"}, "float", "number"),
    ({"type": "boolean"}, "bool", "boolean"),
    ({"type": "null"}, "None", "null"),
    (True, "Any", "any"),
    ({}, "Any", "any"),
    ({"type": "nonsense"}, "Any", "any"),
    (False, "NoReturn", "never"),
    ({"type": "array"}, "list[Any]", "any[]"),
    ({"type": "array", "items": {"type": "string"}}, "list[str]", "string[]"),
    (
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}], "items": False},
        "list[str | None]",
        "(string | null)[]",
    ),
    ({"type": ["integer", "null"]}, "int | None", "number | null"),
    ({"anyOf": [{"type": "string"}, {"type": "boolean"}]}, "str | bool", "string | boolean"),
    ({"oneOf": [{"type": "string"}, True]}, "Any", "any"),
    ({"anyOf": [{"type": "string"}, {"type": "string"}]}, "str", "string"),
    ({"enum": ["a", 'b"', 3, None]}, 'Literal["a", "b\\"", 3] | None', '"a" | "b\\"" | 3 | null'),
    ({"enum": ["ä\n\u2028\ud83d\ude00"]}, 'Literal["\\xe4\\n\\u2028\\ud83d\\ude00"]', ...),
    ({"const": 1.5}, "float", "1.5"),
    ({"const": 2**60}, f"Literal[{2**60}]", "number"),
    ({"const": {"a": 1}}, "Any", "any"),
    ({"enum": []}, "NoReturn", "never"),
    ({"type": "object"}, "dict[str, Any]", "Record<string, any>"),
    (
        {"type": "object", "additionalProperties": {"type": "integer"}},
        "dict[str, int]",
        "Record<string, number>",
    ),
    (fields({"x": {"type": "string"}}), "It", "It"),
    ({"properties": {"x": True}}, "It", "It"),
    ({"allOf": [fields({"x": True}), fields({"y": True})]}, "It", "It"),
    ({"$ref": "#/$defs/id", "$defs": {"id": {"type": "string"}}}, "str", "string"),
    ({"$ref": "#/$defs/node", "$defs": {"node": NODE}}, "ItNode", "ItNode"),
    ({"$ref": "#/$defs/gone"}, "Any", "any"),
    ({"$ref": "https://example.com/other"}, "Any", "any"),
    ({"$ref": "#"}, "Any", "any"),
    ({"allOf": [{"$ref": "#"}]}, "Any", "any"),
]


@pytest.mark.parametrize(("schema", "in_python", "in_typescript"), TYPES)
def test_schema_becomes_a_type(schema: Any, in_python: str, in_typescript: Any) -> None:
    found = Schemas(schema, Names().of_class, []).type_of(schema, "it")
    assert python.type_text(found) == in_python
    if in_typescript is not ...:
        assert typescript.type_text(found) == in_typescript


def test_members_hide_no_name_that_the_code_after_them_needs() -> None:
    texts = {"type": "array", "items": {"type": "string"}}
    commands = {name: {"args": fields({}), "result": texts} for name in ("list", "search")}
    described = {"property": {"commands": commands}, "queue": {"commands": {}}}
    text = python.write(read(described, python.RESERVED), "made")
    exec(text, made := {"__name__": "made"})
    assert isinstance(vars(made["Application"])["queue"], property)
    assert [name for name in vars(made["PropertyService"]) if name.startswith(("list", "se"))] == [
        "list_",
        "search",
    ]


def test_shape_has_the_fields_of_all_parts_and_may_contain_itself() -> None:
    schema = {
        "allOf": [fields({"a": {"type": "string"}}, "a"), {"$ref": "#/$defs/more"}],
        "$defs": {"more": fields({"b": {"$ref": "#/$defs/node"}}), "node": NODE},
    }
    shapes: list[Shape] = []
    shape = Schemas(schema, Names().of_class, shapes).shape_of(schema, "it")
    assert [(each.key, each.is_required) for each in shape.fields] == [("a", True), ("b", False)]
    (node,) = (each for each in shapes if each is not shape)
    assert shape.fields[1].type is node is node.fields[0].type


#: JSON that is used as a schema, most of it nearly one.
KEYWORDS = ["type", "properties", "items", "anyOf", "allOf", "$ref", "enum", "const", "required"]
KEYWORDS += ["additionalProperties", "prefixItems", "description", "title", "$defs", "x"]
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["object", "string", "array", "#", "#/$defs/x", "#/properties/x", '"""', "*/"]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYWORDS), st.text(max_size=4)), inner),
    ),
    max_leaves=12,
)


@settings(max_examples=50)
@given(TEXTS, VALUES, VALUES)
def test_any_description_becomes_code_that_can_be_read(name: str, some: Any, other: Any) -> None:
    described = {
        "description": name,
        "commands": {name: {"description": name, "args": some, "result": other}},
        "modules": {name: {"args": other, "commands": {name: some}, "parameters": {name: other}}},
        "backgrounds": {name: some},
    }
    for each in ({name: described}, {name: some if isinstance(some, dict) else {}}):
        ast.parse(text := python.write(read(each, python.RESERVED), name))
        assert text == python.write(read(each, python.RESERVED), name)
        assert typescript.write(read(each, typescript.RESERVED), name).isprintable() is False


# What compilers say

#: Text that would break out of strings and comments.
EVIL = '"""\n\\*/ `${x}` \\N{x} # type: ignore \u2028 \u202e'
ODD = fields({"self": {"type": "string"}, "type": {"type": "string"}, "str": {}, "__x": {}}, "self")
DESCRIBED: dict[str, Any] = {
    "queue": {
        "name": "queue",
        "description": EVIL,
        "commands": {
            "add": {
                "args": fields(
                    {
                        "type": {"type": "string"},
                        "args": {"type": "object"},
                        "key": {"type": ["string", "null"]},
                        "priority": {"type": "number"},
                        "after": {"type": "array", "items": {"type": "string"}},
                    },
                    "type",
                )
            },
            "rm": {"args": fields({"uids": {"type": "array"}}, "uids"), "result": {"type": "null"}},
            "import": {"description": EVIL, "args": fields({"a-b": {"type": "integer"}}, "a-b")},
            "constructor": {"args": fields({}), "result": {"type": "integer"}},
            "events": {},
            "odd name": {"args": fields({"key": {"enum": ["a", EVIL, 3, None, 1.5, True]}})},
        },
        "modules": {
            "countdown": {
                "title": "Countdown",
                "description": EVIL,
                "args": fields(
                    {"seconds": {"type": "number", "description": EVIL}, "name": {}}, "seconds"
                ),
                "commands": {
                    "add": {
                        "args": fields({"seconds": {"type": "number"}}, "seconds"),
                        "result": {"type": "number"},
                    },
                    "reset": {"args": fields({})},
                },
                "parameters": {"left": {"type": "number"}, "total": {"type": "number"}},
            },
            "plain": {},
            "odd-type 1": {"args": ODD, "commands": {"go": {"args": fields({"a b": {}}, "a b")}}},
            "tree": {
                "args": fields({"node": {"$ref": "#/$defs/node"}}, **{"$defs": {"node": NODE}})
            },
        },
        "backgrounds": {
            "clock": {"args": fields({"format": {"type": "string"}})},
            "plain": {},
        },
    },
    "vol": {
        "commands": {
            "set_vol": {
                "args": fields({"vol": {"type": "integer"}}, "vol"),
                "result": {"type": "null"},
            },
            "get_vol": {"args": fields({}), "result": {"type": "integer"}},
        }
    },
    "one": {"commands": {}, "modules": {"x": {"args": fields({"a b": {}}, "a b")}}},
    "url": {"commands": {}},
}

RIGHT_PYTHON = """
from application import Application

def right(app: Application) -> None:
    item = app.queue.add("countdown", seconds=30)
    same = app.queue.add("countdown", {"seconds": 30, "name": 1}, key="tea")
    app.queue.add("countdown", {"seconds": 30}, priority=2.5, after=[same.uid])
    left: float = same.tell("add", seconds=5) + item.tell("add", {"seconds": 5})
    item.tell("reset")
    left = item.parameters["left"]
    app.queue.add("odd-type 1", {"self": "x"}).tell("go", {"a b": 1})
    app.queue.add("plain", x=1)
    app.queue.add("tree", node={"next": {"next": {}}})
    app.queue.set_bg("clock", format="%H").remove()
    app.queue.import_({"a-b": 1})
    app.vol.set_vol(vol=app.vol.get_vol() + app.queue.constructor())
    app.one.add("x", {"a b": 1}, key="k")
    app.url_.events()
    with app as same_app:
        same_app.vol.get_vol()
"""

WRONG_PYTHON = """\
from application import Application

def wrong(app: Application) -> None:
    app.queue.add("countdown")
    app.queue.add("countdown", seconds="x")
    app.queue.add("countdown", seconds=1, x=1)
    app.queue.add("countdown", {"second": 1})
    app.queue.add("nix")
    app.queue.add("countdown", {"seconds": 1}, priority="high")
    app.queue.add("countdown", seconds=1).tell("fly")
    app.queue.add("countdown", seconds=1).parameters["nope"]
    app.queue.set_bg("countdown", seconds=1)
    app.vol.set_vol(volume=3)
    app.vol.set_volume(vol=3)
    app.nix.queue()
"""

RIGHT_TYPESCRIPT = """
import { Application } from "./application.mjs";
import { endpoints, ready } from "./shmooze.mjs";

export async function right(): Promise<number> {
  await ready;
  const app = new Application(endpoints);
  const item = await app.queue.add("countdown", { seconds: 30 });
  const left: number = await item.tell("add", { seconds: 5 });
  await item.tell("reset");
  await app.queue.add("plain");
  await app.queue.add("plain", { x: 1 }, { key: "tea", priority: 2.5, after: [item.uid] });
  await (await app.queue.add("odd-type 1", { self: "x" })).tell("go", { "a b": 1 });
  await app.queue.add("tree", { node: { next: { next: {} } } });
  await (await app.queue.set_bg("clock")).remove();
  await app.queue.import({ "a-b": 1 });
  await app.vol.set_vol({ vol: (await app.vol.get_vol()) + (await app.queue.constructor_()) });
  app.queue.subscribe(({ modules, background }, gone) => {
    for (const each of modules)
      if (each.type === "countdown") each.args?.seconds.toFixed(each.parameters.left);
    return background?.type === "clock" ? background.args?.format : gone["u"]?.reason;
  });
  return left;
}
"""

WRONG_TYPESCRIPT = """\
import { Application } from "./application.mjs";
declare const app: Application;
app.queue.add("countdown");
app.queue.add("countdown", { seconds: "x" });
app.queue.add("countdown", { seconds: 1, x: 1 });
app.queue.add("nix", {});
app.queue.add("countdown", { seconds: 1 }, { priority: "high" });
app.queue.add("countdown", { seconds: 1 }).then((item) => item.tell("fly"));
app.queue.add("countdown", { seconds: 1 }).then((item) => item.tell("reset", { a: 1 }));
app.queue.set_bg("countdown", { seconds: 1 });
app.vol.set_vol({});
app.vol.get_vol().then((vol: string) => vol);
app.queue.subscribe(({ modules }) => modules.map((m) => m.type === "countdown" && m.args?.nope));
"""


def application(reserved: frozenset[str]) -> Application:
    return read(DESCRIBED, reserved)


def complaints(output: str, file: str) -> set[int]:
    """The lines of a file that a compiler complains of."""
    lines = [line for line in output.splitlines() if line.startswith(file) and "error" in line]
    return {int(line.replace("(", ":").split(":")[1].split(",")[0]) for line in lines}


@pytest.mark.slow
def test_mypy_accepts_correct_use_of_the_python_classes_and_rejects_mistakes(
    tmp_path: Path,
) -> None:
    (tmp_path / "application.py").write_text(python.write(application(python.RESERVED), EVIL))
    (tmp_path / "right.py").write_text(RIGHT_PYTHON)
    (tmp_path / "wrong.py").write_text(WRONG_PYTHON)
    options = ["--strict", "--config-file=", f"--cache-dir={ROOT / '.mypy_cache' / 'generated'}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "application.py", "right.py", "wrong.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
    )
    assert not complaints(done.stdout, "application.py") | complaints(done.stdout, "right.py")
    assert complaints(done.stdout, "wrong.py") == set(range(4, 16)), done.stdout
    subprocess.run(
        [sys.executable, "-W", "error", "-c", "import application, right"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        check=True,
    )


needs_tsc = pytest.mark.skipif(shutil.which("tsc") is None, reason="tsc is not installed")


@pytest.fixture(scope="module")
def typescript_folder(site: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with compiled programs, and what tsc says. One run, since each takes seconds."""
    folder = tmp_path_factory.mktemp("typescript")
    for name in ("shmooze.js", "shmooze.mjs", "shmooze.d.mts"):
        shutil.copy(ROOT / "static" / name, folder)
    text = typescript.write(application(typescript.RESERVED), EVIL)
    (folder / "application.mts").write_text(text)
    (folder / "right.mts").write_text(RIGHT_TYPESCRIPT)
    (folder / "wrong.mts").write_text(WRONG_TYPESCRIPT)
    assert main(["generate", "--typescript", site.url, "-o", str(folder / "running.mts")]) == 0
    (folder / "uses.mts").write_text(USES_TYPESCRIPT)
    (folder / "browser.mjs").write_text(BROWSER)
    options = ["--strict", "--noUncheckedIndexedAccess", "--skipLibCheck"]
    options += ["--target", "es2022", "--module", "node16"]
    argv = ["tsc", *options, "right.mts", "wrong.mts", "uses.mts"]
    return folder, subprocess.run(argv, cwd=folder, text=True, stdout=subprocess.PIPE).stdout


@needs_tsc
@pytest.mark.slow
def test_tsc_accepts_correct_use_of_the_typescript_classes_and_rejects_mistakes(
    typescript_folder: tuple[Path, str],
) -> None:
    _, said = typescript_folder
    for file in ("application.mts", "right.mts", "running.mts", "uses.mts"):
        assert not complaints(said, file), said
    assert complaints(said, "wrong.mts") == set(range(3, 14)), said


# The command


@pytest.fixture
def described() -> Iterator[str]:
    """The URL of a gateway that is made of bytes."""

    def answer(body: bytes) -> bytes:
        result: Any = {"ports": dict.fromkeys(DESCRIBED, 1), "wsgi": 2}
        if body:
            assert json.loads(body)["cmd"] == "describe"
            return ok(json.dumps({"success": True, "result": DESCRIBED["vol"]}).encode())
        return ok(json.dumps(result).encode())

    (port,) = free_ports(1)
    with RawService(port, answer):
        yield f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize("language", ["python", "typescript"])
def test_command_writes_the_same_each_time_and_says_how_it_was_made(
    described: str, language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "application"
    argv = ["generate", f"--{language}", described, "--token", "secret", "-o", str(file)]
    assert main(argv) == 0
    first = file.stat()
    assert main(argv) == 0
    now = file.stat()  # whose time of access changes when it is read
    is_same = (now.st_ino, now.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    assert is_same, "a file that is up to date is not touched"
    assert main(argv[:5]) == 0
    assert capsys.readouterr().out == (text := file.read_text())
    assert f"`python -m shmooze.client generate --{language} {described}`" in " ".join(text.split())
    assert "secret" not in text


@pytest.mark.parametrize(
    ("argv", "status", "line"),
    [
        (["generate", "--python", "localhost"], 1, "'localhost' is not a URL such as"),
        (["generate", "--python", "http://127.0.0.1:1/"], 1, "no answer from http://127.0.0.1:1/"),
        (["generate", "http://127.0.0.1:1/"], 2, "one of the arguments --python --typescript"),
        ([], 2, "the following arguments are required: command"),
    ],
)
def test_command_says_in_one_line_what_is_wrong(
    argv: list[str], status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        found = main(argv)
    except SystemExit as end:
        found = int(str(end.code))
    said = capsys.readouterr()
    assert (found, said.out, said.err.count("\n")) == (status, "", 1)
    assert said.err.startswith(f"shmooze.client: {line}")


def test_command_that_cannot_write_says_so(
    described: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "--python", described, "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().err.endswith("Is a directory\n")


# A running application

COUNTDOWN = {
    "title": "Countdown",
    "args": fields({"seconds": {"type": "number", "default": 10}}),
    "commands": {
        "add": {
            "args": fields({"seconds": {"type": "number"}}, "seconds"),
            "result": {"type": "number"},
        }
    },
    "parameters": {"left": {"type": "number", "unit": "s"}, "total": {"type": "number"}},
}


@pytest.fixture(scope="module")
def site(make_shared_site: Callable[..., Site]) -> Site:
    modules = ROOT / "examples" / "modules"
    types = {
        "modules": {
            "countdown": {
                "process": [sys.executable, str(modules / "countdown.py")],
                "schema": COUNTDOWN,
            }
        },
        "backgrounds": {"clock": {"process": [sys.executable, str(modules / "clock.py")]}},
    }
    site = make_shared_site(
        settings={"queue": types},
        programs={"vol": EXAMPLES["vol"]},
        services=("wsgi", "queue", "vol"),
    )
    return site.start()


USES_PYTHON = """
import sys
from application import Application

with Application(sys.argv[1]) as app:
    app.vol.set_vol(vol=30)
    item = app.queue.add("countdown", seconds=60)
    left: float = item.tell("add", seconds=5)
    print(app.vol.get_vol(), left, item.parameters["total"], type(item).__name__)
    item.remove()
    print(item.wait()["state"], app.queue.set_bg("clock").state)
"""

USES_TYPESCRIPT = """
import { Application } from "./running.mjs";
import { endpoints, ready } from "./shmooze.mjs";
declare const process: any;

await ready;
const app = new Application(endpoints);
await app.vol.set_vol({ vol: 30 });
const item = await app.queue.add("countdown", { seconds: 60 });
const left: number = await item.tell("add", { seconds: 5 });
const total = await new Promise<number | undefined>((resolve) =>
  app.queue.subscribe(({ modules: [first] }) => {
    if (first?.type === "countdown" && first.uid === item.uid && first.parameters.total === 65)
      resolve(first.parameters.total);
  }),
);
console.log(await app.vol.get_vol(), left, total, await item.remove());
process.exit();
"""

#: What shmooze.js needs of a browser, beside what Node has.
BROWSER = """
globalThis.window = globalThis;
globalThis.BASE_URL = process.env.GATEWAY.slice(0, -1);
globalThis.location = { origin: "null" };
globalThis.addEventListener = () => {};
globalThis.MutationObserver = class { observe() {} };
globalThis.CSSStyleSheet = class { replaceSync() {} };
globalThis.document = {
  documentElement: { dataset: {}, style: {}, baseURI: process.env.GATEWAY },
  adoptedStyleSheets: [],
  querySelectorAll: () => [],
};
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((...both) => { [resolve, reject] = both; });
  return { promise, resolve, reject };
};
"""


@pytest.mark.slow
def test_python_classes_of_a_running_application_work(site: Site, tmp_path: Path) -> None:
    assert main(["generate", "--python", site.url, "-o", str(tmp_path / "application.py")]) == 0
    (tmp_path / "uses.py").write_text(USES_PYTHON)
    done = subprocess.run(
        [sys.executable, "-W", "error", "uses.py", site.url],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
    )
    assert done.stdout.splitlines() == ["30 65 65 QueueCountdownItem", "removed playing"]


@needs_tsc
@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
@pytest.mark.slow
def test_typescript_classes_of_a_running_application_work(
    site: Site, typescript_folder: tuple[Path, str]
) -> None:
    done = subprocess.run(
        ["node", "--import", "./browser.mjs", "uses.mjs"],
        cwd=typescript_folder[0],
        env={**site.environ, "GATEWAY": site.url},
        text=True,
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
    )
    assert done.stdout == "30 65 65 null\n"
