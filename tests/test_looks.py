"""The gateway's own pages have the look of the console, whose stylesheet they may not load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import ROOT

PAGES = ("shmooze/access/login.html", "shmooze/gateway/docs/page.css")


def colours(file: Path) -> dict[str, list[str]]:
    """What each custom property is set to: in a light scheme, and in a dark one."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"(--[\w-]+): *([^;]+);", file.read_text()):
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_own_pages_have_the_colours_of_the_console(page: str) -> None:
    console, own = colours(ROOT / "static" / "index.css"), colours(ROOT / page)
    assert len(own) >= 8
    assert own == {name: console.get(name) for name in own}


@pytest.mark.parametrize("page", PAGES)
def test_own_pages_have_the_font_of_the_console(page: str) -> None:
    fonts = [
        re.search(r"font: 1rem/1.5 (.+);", (ROOT / each).read_text())
        for each in (page, "static/index.css")
    ]
    assert fonts[0] and fonts[1] and fonts[0][1] == fonts[1][1]
