"""Fixtures: whole applications, ended and counted after each test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Site

EXAMPLES = {
    "queue": [sys.executable, str(ROOT / "examples" / "example_queue.py")],
    "pool": [sys.executable, str(ROOT / "examples" / "example_pool.py")],
    "vol": [sys.executable, str(ROOT / "examples" / "volume.py")],
}

#: What the example pool may run.
JOBS = {
    "hello": ["echo", "hello"],
    "fail": ["sh", "-c", "echo oops; exit 3"],
    "forever": ["sleep", "1000"],
}


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """A function that makes an application (see support.Site), not yet started."""
    made: list[Site] = []

    def make(**keywords: Any) -> Site:
        site = Site(tmp_path / f"site{len(made)}", **keywords)
        made.append(site)
        return site

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """The example application, running: gateway, example queue, example pool."""
    return make_site(settings={"jobs": JOBS}, programs=EXAMPLES).start()
