"""All pages of shmooze look alike: their colours and their font are set in one place."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT, Site, http

from shmooze.access.token_file import TokenFile

THEME = ROOT / "static" / "theme.css"
PAGES = (
    "static/index.css",
    "static/console/items.css",
    "shmooze/access/login.html",
    "shmooze/gateway/docs/page.css",
)


def set_in(file: Path) -> set[str]:
    """The names of the custom properties that a file sets."""
    return set(re.findall(r"(--[\w-]+):", file.read_text()))


@pytest.mark.parametrize("page", PAGES)
def test_pages_take_their_colours_from_the_theme(page: str) -> None:
    text = (ROOT / page).read_text()
    used = set(re.findall(r"var\((--[\w-]+)", text))
    of_theme = set_in(THEME)
    assert not of_theme & set_in(ROOT / page)
    assert used & of_theme
    assert "font: 1rem" not in text


def test_each_page_gets_the_theme(make_site: Callable[..., Site]) -> None:
    site = make_site(services=("wsgi",), settings={"tokens_path": "$HERE/tokens.json"})
    token = TokenFile(str(site.folder / "tokens.json")).add("ada", "control")
    site.start()
    theme = THEME.read_bytes()
    assert theme in http(f"{site.url}login").body
    for name in ("theme.css", "console/theme.css", "docs/theme.css"):
        found = http(f"{site.url}{name}", headers={"Authorization": f"Bearer {token}"})
        assert (found.status, found.body) == (200, theme), name
