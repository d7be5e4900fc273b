"""What axe finds on a page: on a phone and a desktop, in a light and a dark scheme."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SCREENS = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}

#: Screens and schemes. A large page takes seconds for each, so it is seen in each once.
ALL = tuple((screen, scheme) for scheme in ("light", "dark") for screen in SCREENS)
EACH_ONCE = (("desktop", "light"), ("phone", "dark"))

#: WCAG 2.2 at the levels A and AA, and what axe calls good practice.
_TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_OPTIONS = {"runOnly": {"type": "tag", "values": _TAGS}, "resultTypes": ["violations"]}

#: Waits until no colour is on its way to another one; a plot or a spinner may go on.
_SETTLED = """() => Promise.allSettled(
    document.getAnimations()
        .filter((each) => Number.isFinite(each.effect.getComputedTiming().endTime))
        .map((each) => each.finished)
)"""


def violations(page: Page, part: str | None = None) -> list[str]:
    """One line for each violation on a page as it is, or in the part that a selector names."""
    return [_words(each) for each in Axe().run(page, part, _OPTIONS).response["violations"]]


def findings(
    page: Page, part: str | None = None, looks: tuple[tuple[str, str], ...] = ALL
) -> list[str]:
    """One line for each violation, with the first elements that it is about.

    `part` is a selector of what is looked at, in place of the whole page.
    """
    found: list[str] = []
    for screen, scheme in looks:
        size = SCREENS[screen]
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.evaluate(_SETTLED)
        found += [f"{screen}, {scheme}: {each}" for each in violations(page, part)]
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            found.append(f"{screen}, {scheme}: the page is {width} pixels wide")
    return found


def _words(violation: dict[str, Any]) -> str:
    places = [f"{each['html']} ({each['failureSummary']})" for each in violation["nodes"][:3]]
    return f"{violation['id']}: {violation['help']}: " + "; ".join(places)
