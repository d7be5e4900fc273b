"""The folders of examples/ that have settings, as applications that run, and their pages."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from npm import installed
from support import ROOT, Site, wait_until

FOLDER = ROOT / "examples"

#: Folders of what an example has installed.
_INSTALLED = ("node_modules", ".venv")

#: Pages that the gateway does not serve as files, and where it has them.
_SERVED_BY_MODULES = {"terminal/index.html": "pool/on/terminal/"}


def pages() -> list[str]:
    """Every page below examples/, as its path there."""
    found = (each.relative_to(FOLDER) for each in FOLDER.rglob("*.html"))
    return sorted(each.as_posix() for each in found if not set(_INSTALLED) & set(each.parts))


def address(page: str) -> str:
    """Where an example has a page, relative to its root."""
    if page in _SERVED_BY_MODULES:
        return _SERVED_BY_MODULES[page]
    name = PurePosixPath(page).parts[0]
    settings = json.loads((FOLDER / name / "settings.json").read_text())
    return PurePosixPath(page).relative_to(f"{name}/{settings['static_path']}").as_posix()


def make_example(make: Callable[..., Site], name: str, **changes: Any) -> Site:
    """A copy of an example that `start` runs, on free ports, and with changed settings.

    Its home is its folder, so that it finds no files of the user who runs the tests. What its
    package.json names is installed; if that is not possible, the test is skipped.
    """
    settings = json.loads((FOLDER / name / "settings.json").read_text()) | changes
    services = tuple(settings.pop("ports"))
    run = f'cd "$HERE" && exec "{sys.executable}" -m shmooze run'
    site = make(services=services, settings=settings, programs={"wsgi": ["sh", "-c", run]})
    ignored = shutil.ignore_patterns("settings.json", *_INSTALLED)
    shutil.copytree(FOLDER / name, site.folder, dirs_exist_ok=True, ignore=ignored)
    if (package := FOLDER / name / "package.json").exists():
        wanted = json.loads(package.read_text())["dependencies"]
        modules = installed(*(f"{each}@{version}" for each, version in wanted.items()))
        (site.folder / "node_modules").symlink_to(modules)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    site.environ |= {"HOME": str(site.folder), "PATH": path}
    return site


def start(site: Site) -> Site:
    """Run it with `shmooze run`. Returns when all of its services listen."""
    site.start("wsgi")
    for name in site.ports:
        wait_until(lambda n=name: site.listens(n), f"{name} listens")
    return site
