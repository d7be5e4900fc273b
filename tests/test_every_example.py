"""Every example starts, and every module of every example keeps to the protocol.

Examples and their modules are found by their settings files, so a new one is tested without being
named here. All of it happens at the same time, before the first test, since it mostly waits.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import example_folders
import pytest
from example_folders import Type
from support import PATIENCE, ROOT, Site, http, is_listening, wait_until

pytestmark = pytest.mark.slow

#: The modules that are checked, by what they are called in the results.
CHECKED = {str(each): each for each in example_folders.types() if each.speaks_the_protocol}
#: Seconds for whatever a module has to do, on a busy machine.
TIMEOUTS = ("--connect-timeout", "--command-timeout", "--natural-death-timeout")
#: Words in the log that tell of a fault.
FAULTS = ("until this is fixed", "Traceback", " ERROR ", "is not a known")


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Any]]]:
    """What came of each example, and the report on each module that could be checked."""
    root = tmp_path_factory.mktemp("examples")
    with ThreadPoolExecutor(4) as pool:
        found: dict[str, Future[Any]] = {}
        for number, name in enumerate(example_folders.names()):
            if example_folders.missing(name):
                continue
            folder = root / f"checked{number}"
            example_folders.copy(name, folder)
            environ = example_folders.environment(name, folder)
            found[name] = pool.submit(try_out, name, root / f"site{number}")
            for key, each in CHECKED.items():
                if each.example == name and shutil.which(each.keys["process"][0]):
                    found[key] = pool.submit(check, each, folder, environ)
        yield found


def try_out(name: str, folder: Path) -> None:
    """Start an example, compare it with its settings, and end it."""
    site = example_folders.make(name, lambda **keywords: Site(folder, **keywords))
    try:
        site.start("wsgi")
        for service, port in site.ports.items():
            wait_until(lambda p=port: is_listening(p), f"{service} listens")
        assert http(site.url).status == 200
        for each in example_folders.types():
            if each.example == name:
                described = site.ask(each.service, "describe", type=each.name)
                assert described, each
                assert "args" in described or not each.keys.get("describe"), each
        log = site.log("wsgi")
        assert [words for words in FAULTS if words in log] == [], log
    finally:
        site.close()


def check(each: Type, folder: Path, environ: dict[str, str]) -> dict[str, Any]:
    """Check one module in its folder."""
    program, *arguments = each.keys["process"]
    argv = [sys.executable if program in ("python", "python3") else program, *arguments]
    options = ["--json", "--quiet", "0.1", "--watch", "0.3"]
    options += [word for name in TIMEOUTS for word in (name, "15")]
    options += ["--describe"] if each.keys.get("describe") else []
    options += ["--stdio"] if each.keys.get("adapter") == "stdio" else []
    if args := example_folders.ARGS.get(str(each)):
        options += ["--args", json.dumps(args)]
    own = {"PYTHONPATH": str(ROOT), "SHMOOZE_SETTINGS": str(folder / "settings.json")}
    done = subprocess.run(
        [sys.executable, "-m", "shmooze.check_module", *options, *argv],
        cwd=folder,
        env={**os.environ, **own, **each.keys.get("environment", {}), **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE * 3,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def came_of(trials: dict[str, Future[Any]], name: str, example: str, program: str = "") -> Any:
    """What came of it; skips the test if something is not installed."""
    if name not in trials:
        lacks = example_folders.missing(example) or [program]
        pytest.skip(f"not installed: {', '.join(lacks)}")
    return trials[name].result()


@pytest.mark.parametrize("name", example_folders.names())
def test_example_starts_and_offers_what_its_settings_name(
    trials: dict[str, Future[Any]], name: str
) -> None:
    came_of(trials, name, name)


@pytest.mark.parametrize("name", CHECKED)
def test_module_of_an_example_keeps_to_the_protocol(
    trials: dict[str, Future[Any]], name: str
) -> None:
    each = CHECKED[name]
    checks = came_of(trials, name, each.example, each.keys["process"][0])["checks"]
    failed = {each["check"]: each["got"] for each in checks if each["result"] == "FAILED"}
    assert failed == {}
    assert {each["result"] for each in checks if each["check"] in ("init", "play")} == {"ok"}


def test_readme_of_the_examples_names_each_of_them() -> None:
    text = (ROOT / "examples" / "README.md").read_text()
    assert [
        name for name in example_folders.names() if name != "." and f"]({name})" not in text
    ] == []
