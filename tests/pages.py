"""Pages of examples in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accessibility import violations
from playwright.sync_api import Browser, Page
from support import PATIENCE

PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1200, "height": 800}


@contextmanager
def open_page(browser: Browser, url: str, size: Any = PHONE, **options: Any) -> Iterator[Page]:
    """A page, which must have no error in the end."""
    page = browser.new_page(viewport=size, **options)
    page.set_default_timeout(PATIENCE * 1000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    yield page
    page.close()
    assert errors == []


def fits(page: Page) -> bool:
    """Whether it is as wide as the screen, and not wider."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def assert_accessible(page: Page) -> None:
    """Have axe look at the page, in light and in dark."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        assert violations(page) == []
