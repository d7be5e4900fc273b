"""The floors of the house: imports go down only, and a child loads only what it needs."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from support import ROOT, in_fresh_interpreter

from shmooze.modules.lifecycle import TRANSITIONS, State

PACKAGE = ROOT / "shmooze"
ALL_MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(PACKAGE.rglob("*.py"))
}
ARCHITECTURE = (ROOT / "docs" / "explanation" / "architecture.md").read_text()


def _floors() -> list[set[str]]:
    """The modules on each floor, lowest first: files, and folders less what is named elsewhere."""
    named = [
        re.findall(r"`([\w./]+)`", line)
        for line in ARCHITECTURE.splitlines()
        if line.startswith("- floor ")
    ]
    files = {name for names in named for name in names if name.endswith(".py")}

    def holds(name: str, file: str) -> bool:
        return file == name or (name.endswith("/") and file.startswith(name) and file not in files)

    return [
        {
            module
            for module, path in ALL_MODULES.items()
            if any(holds(name, str(path.relative_to(PACKAGE))) for name in names)
        }
        for names in named
    ]


FLOORS = _floors()
GROUND, GATEWAY, PROGRAMS = FLOORS[0], set().union(*FLOORS[:5]), FLOORS[-1]
#: What a child process loads, and may have to load under Python 3.8.
LOADED_BY_CHILD = [
    "shmooze",
    "shmooze.errors",
    "shmooze.lib",
    "shmooze.lib.packet",
    "shmooze.modules",
    "shmooze.modules.pymodule",
    "shmooze.modules.threads",
]


def floor(name: str) -> int:
    return next(number for number, names in enumerate(FLOORS) if name in names)


@cache
def parsed(name: str) -> ast.Module:
    return ast.parse(ALL_MODULES[name].read_text(), str(ALL_MODULES[name]))


@cache
def imports(name: str) -> set[str]:
    """What a module imports, wherever in its code, as full names of modules.

    In `shmooze.modules`, which exists to import late, only what is imported with it counts.
    """
    file, tree = ALL_MODULES[name], parsed(name)
    nodes = _run_at_import(tree.body) if name == "shmooze.modules" else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= _imported_from(node, name, file)
    return found


def _run_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _imported_from(node: ast.ImportFrom, importer: str, file: Path) -> set[str]:
    package = importer.split(".") if file.stem == "__init__" else importer.split(".")[:-1]
    above = package[: len(package) - node.level + 1] if node.level else []
    source = ".".join([*above, *([node.module] if node.module else [])])
    parts = {f"{source}.{alias.name}" for alias in node.names}
    submodules = parts & set(ALL_MODULES)
    # `from shmooze import settings` is an import of shmooze.settings, not of the version.
    return submodules or {source}


def ours(name: str) -> set[str]:
    """What it imports of the package."""
    return imports(name) & set(ALL_MODULES)


def test_every_file_has_one_floor() -> None:
    assert sorted(ALL_MODULES) == sorted(name for names in FLOORS for name in names)


def test_imports_of_the_package_are_found() -> None:
    """The other tests would hold for a house without stairs too."""
    assert {"shmooze.settings", "shmooze.web.limits"} <= ours("shmooze.gateway.gateway")
    assert {"shmooze.broker.broker", "shmooze.modules.module"} <= ours("shmooze.queue")
    assert "shmooze.errors" in ours("shmooze.lib.packet")


def test_imports_never_go_up() -> None:
    upwards = {
        (name, other) for name in ALL_MODULES for other in ours(name) if floor(other) > floor(name)
    }
    assert not upwards


def test_imports_make_no_circle() -> None:
    assert len(
        list(graphlib.TopologicalSorter({name: ours(name) for name in ALL_MODULES}).static_order())
    ) == len(ALL_MODULES)


def test_programs_know_nothing_of_each_other() -> None:
    assert not [name for name in PROGRAMS if ours(name) & PROGRAMS]


def test_gateway_knows_services_and_no_modules() -> None:
    assert ours("shmooze.wsgi") | ours("shmooze.gateway.gateway") <= GATEWAY


#: What may deal with processes of the operating system: their own package, the programs that are
#: such processes, and the child's side of a module.
KNOW_PROCESSES = ("shmooze.processes", "shmooze.run.", "shmooze.runtime")
KNOW_PROCESSES += ("shmooze.modules.pymodule", "shmooze.modules.player", "shmooze.cluster")
#: Where the launchers of a service are chosen.
CHOOSES_LAUNCHERS = "shmooze.broker.launchers"
PROCESS_FUNCTIONS = {"fork", "getpid", "getpgid", "kill", "killpg", "pidfd_open", "wait", "waitpid"}
PROCESS_LIBRARIES = {"gevent.os", "gevent.subprocess", "multiprocessing", "psutil", "subprocess"}
OTHERS = sorted(name for name in ALL_MODULES if not name.startswith(KNOW_PROCESSES))


def test_only_the_contract_of_processes_is_used_outside_their_package() -> None:
    for name in OTHERS:
        used = {each for each in ours(name) if each.startswith("shmooze.processes")}
        launchers = {"shmooze.processes.local"} if name == CHOOSES_LAUNCHERS else set()
        assert used <= {"shmooze.processes.contract", "shmooze.processes.limits"} | launchers, name
        assert not imports(name) & PROCESS_LIBRARIES, name


def test_no_pid_and_no_proc_is_used_outside_the_package_of_processes() -> None:
    uses = {name: _uses_of_processes(ALL_MODULES[name].read_text()) for name in OTHERS}
    assert {name: used for name, used in uses.items() if used} == {}


def test_uses_of_pids_and_proc_are_found() -> None:
    code = '"""/proc"""\nopen(f"/proc/{process.pid}/stat")\nos.kill(1, 9)\ngreenlet.kill()'
    assert sorted(_uses_of_processes(code)) == ["/proc/", "os.kill", "process.pid"]


def _uses_of_processes(code: str) -> list[str]:
    """Return all strings with /proc, except docstrings, and all uses of pids in some code."""
    tree = ast.parse(code)
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [use for node in ast.walk(tree) if id(node) not in docstrings for use in _use(node)]


def _use(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "/proc" in node.value:
        yield node.value
    if isinstance(node, ast.Attribute):
        text = ast.unparse(node)
        if node.attr == "pid" or text in {f"os.{name}" for name in PROCESS_FUNCTIONS}:
            yield text


@pytest.mark.parametrize("name", sorted(GROUND))
def test_ground_floor_stands_on_the_standard_library(name: str) -> None:
    foreign = {other for other in imports(name) if other.split(".")[0] != "shmooze"}
    assert {other.split(".")[0] for other in foreign} <= sys.stdlib_module_names
    assert ours(name) <= FLOORS[0]


#: What some child processes load.
LOADED_ON_DEMAND = [
    f"shmooze.modules.{name}"
    for name in ("arguments", "describing", "hints", "mistakes", "player", "worker")
]
LOADED_ON_DEMAND.append("shmooze.processes.template_main")


@pytest.mark.parametrize("name", [*LOADED_BY_CHILD, *LOADED_ON_DEMAND])
def test_what_a_child_loads_is_python_3_8(name: str) -> None:
    ast.parse(ALL_MODULES[name].read_text(), feature_version=(3, 8))


@pytest.mark.parametrize(
    "statement",
    ["import shmooze.modules.pymodule", "from shmooze.modules import JSONParentPoller"],
)
def test_a_child_loads_no_gevent_bottle_or_msgspec(statement: str) -> None:
    loaded = set(in_fresh_interpreter(f"{statement}; import sys; print(*sys.modules)").split())
    assert "shmooze.modules.pymodule" in loaded
    assert not {name.split(".")[0] for name in loaded} & {"gevent", "bottle", "msgspec"}
    assert {name for name in loaded if name.startswith("shmooze")} == set(LOADED_BY_CHILD)


#: What a program does not load unless it uses it: other launchers, command lines, mistakes in
#: settings, clients of TLS, restarted workers, a state file, descriptions.
UNUSED = {"importlib.metadata", "argparse", "difflib", "csv", "zipfile", "shmooze.runtime.workers"}
UNUSED |= {"shmooze.state.file", "shmooze.runtime.native_thread", "shmooze.lib.describe"}
UNUSED |= {"shmooze.gateway.pages", "shmooze.jobs.attach", "shmooze.processes.templates"}
UNUSED |= {"shmooze.schedules", "cronsim", "zoneinfo", "shmooze.cluster"}
UNUSED |= {"prometheus_client", "shmooze.metrics", "shmooze.gateway.counting", "mmap"}
UNUSED |= {"shmooze.gateway.health", "shmooze.gateway.metrics"}


@pytest.mark.parametrize(
    ("program", "unused"),
    [
        ("shmooze.queue", UNUSED | {"shmooze.web.client", "shmooze.access.login"}),
        ("shmooze.pool", UNUSED | {"shmooze.web.client", "shmooze.access.login"}),
        ("shmooze.wsgi", UNUSED | {"shmooze.access.login", "sqlite3"}),
        ("shmooze.lib.bot", UNUSED | {"gevent", "bottle", "msgspec", "ssl"}),
    ],
)
def test_a_program_loads_nothing_that_it_does_not_use(program: str, unused: set[str]) -> None:
    loaded = set(in_fresh_interpreter(f"import {program}, sys; print(*sys.modules)").split())
    assert program in loaded
    assert not loaded & unused


def test_both_sides_of_a_module_come_from_one_package() -> None:
    said = in_fresh_interpreter(
        "from shmooze.modules import Module, JSONParentPoller, ParentConnection\n"
        "print(Module.__module__, JSONParentPoller.__module__, ParentConnection.__module__)"
    )
    assert said.split() == ["shmooze.modules.module", *["shmooze.modules.pymodule"] * 2]


def test_a_name_that_modules_does_not_have_is_an_attribute_error() -> None:
    said = in_fresh_interpreter(
        "import shmooze.modules\n"
        "try: shmooze.modules.Modul\n"
        "except AttributeError as bad: print(bad)"
    )
    assert said == "module 'shmooze.modules' has no attribute 'Modul'\n"


def test_architecture_page_tells_what_every_file_owns() -> None:
    done = subprocess.run([ROOT / "scripts" / "architecture", "--check"], text=True)
    assert done.returncode == 0, "run scripts/architecture"


def test_architecture_page_says_why_a_file_is_long() -> None:
    files = {str(file.relative_to(PACKAGE)): file for file in ALL_MODULES.values()}
    long = {name for name, file in files.items() if len(file.read_text().splitlines()) > 300}
    excused = set(re.findall(r"^- `([\w./]+)`, over 300 lines: ", ARCHITECTURE, re.MULTILINE))
    assert long == excused


def test_architecture_page_has_the_transitions_of_the_lifecycle() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", ARCHITECTURE, re.MULTILINE)
    described = {State(state): set(re.findall(r"`(\w+)`", targets)) for state, targets in rows}
    assert described == {
        state: {target.value for target in targets} for state, targets in TRANSITIONS.items()
    }
