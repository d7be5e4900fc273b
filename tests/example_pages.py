"""The pages of the examples: each HTML file below examples/, and where a running example has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import PurePosixPath

import example_folders
import pytest
from npm import installed
from support import Site, wait_until

#: Pages that the gateway does not serve as files, and where it has them.
_SERVED_BY_MODULES = {"terminal/index.html": "pool/on/terminal/"}
#: Folders of what an example has installed.
_INSTALLED = {"node_modules", ".venv"}


def names() -> list[str]:
    """Every page, as its path below examples/."""
    found = (
        each.relative_to(example_folders.HERE) for each in example_folders.HERE.rglob("*.html")
    )
    return sorted(each.as_posix() for each in found if not _INSTALLED & set(each.parts))


def address(page: str) -> str:
    """Where an example has a page, relative to its root."""
    if page in _SERVED_BY_MODULES:
        return _SERVED_BY_MODULES[page]
    name = PurePosixPath(page).parts[0]
    folder = example_folders.settings_of(name)["static_path"]
    return PurePosixPath(page).relative_to(f"{name}/{folder}").as_posix()


def start(name: str, make: Callable[..., Site]) -> Site:
    """Run an example. Returns when all of its services listen.

    Installs what its package.json names. Skips the test if something that it needs is missing.
    """
    if missing := example_folders.missing(name):
        pytest.skip(f"not installed: {', '.join(missing)}")
    site = example_folders.make(name, make)
    if (package := example_folders.HERE / name / "package.json").exists():
        wanted = json.loads(package.read_text())["dependencies"]
        modules = installed(*(f"{each}@{version}" for each, version in wanted.items()))
        (site.folder / "node_modules").symlink_to(modules)
    return run(site)


def run(site: Site) -> Site:
    """Start `shmooze run`. Returns when all services listen."""
    site.start("wsgi")
    for name in site.ports:
        wait_until(lambda n=name: site.listens(n), f"{name} listens")
    return site
