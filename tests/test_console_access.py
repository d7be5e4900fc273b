"""The accessibility of the console: screen sizes, themes, keyboard, screen readers, print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from accessibility import violations
from chromium import needs_chromium
from conftest import EXAMPLES
from console import form_of, open_details, rows, service
from playwright.sync_api import Browser, Page, expect
from support import PATIENCE, Client, Site, child

pytestmark = needs_chromium

SCREENS = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}
WELL = {"modules": {"well": {"process": child("well")}}}


@pytest.fixture(scope="module")
def busy_site(make_shared_site: Callable[..., Site]) -> Site:
    """A site with a queue that shows everything, other services, and one that is down."""
    settings: dict[str, Any] = {
        "queue": {**WELL, "backgrounds": WELL["modules"]},
        "name": "A jukebox",
        "state_path": "$HERE/state.db",
    }
    settings["pool"] = WELL
    site = make_shared_site(
        services=("wsgi", "queue", "pool", "vol", "radio"),
        settings=settings,
        programs={"vol": EXAMPLES["vol"]},
    )
    site.start("wsgi", "queue", "pool", "vol")
    Client(site, "pool").add()
    queue = Client(site, "queue")
    queue("set_bg", type="well")
    uids = [queue.add() for _ in range(3)]
    queue("rm", uids=uids[2:])
    queue.tell(
        uids[0],
        "set",
        progress=0.3,
        level=1,
        long="word " * 100,
        unbroken="x" * 500,
        url="https://example.org/",
        lines=[f"line {number}" for number in range(30)],
    )
    queue.tell(uids[0], "set", level=2)
    return site


def open_all(page: Page, site: Site) -> None:
    """Open the console with all its details open, and an error in a form."""
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(site.url)
    expect(rows(page)).to_have_count(2)
    expect(service(page, "radio").get_by_role("alert")).to_contain_text("not running")
    expect(service(page, "queue").locator(".schedules")).to_be_visible()
    expect(open_details(rows(page).first).locator(".usage")).to_be_visible()
    closed = page.locator("details:not([open]) > summary:visible")
    while closed.count():
        closed.first.click()
    expect(service(page, "queue").locator(".history-item")).to_have_count(1)
    toggles = page.locator(".toggle[aria-expanded=false]:visible")
    while toggles.count():
        toggles.first.click()
    while closed.count():
        closed.first.click()
    form = form_of(page, "queue")
    if form.is_hidden():  # on a small screen
        page.get_by_role("button", name="Add to queue").click()
    form.get_by_role("button", name="More options").click()
    expect(form.get_by_label("Not before")).to_be_visible()
    form.get_by_label("Arguments").fill("[")
    form.get_by_role("button", name="Add", exact=True).click()
    expect(form.get_by_role("alert")).to_be_visible()


@pytest.fixture(scope="module")
def opened_page(busy_site: Site, browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport=SCREENS["desktop"])
    open_all(page, busy_site)
    yield page
    page.close()


@pytest.fixture
def page(opened_page: Page) -> Page:
    """The console with all its details open, on a desktop. Tests may choose screen and media."""
    opened_page.set_viewport_size(SCREENS["desktop"])  # type: ignore[arg-type]
    opened_page.emulate_media(media="null", color_scheme="null")
    return opened_page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_no_violations(page: Page, screen: str, theme: Any) -> None:
    page.set_viewport_size(SCREENS[screen])  # type: ignore[arg-type]
    page.emulate_media(color_scheme=theme)
    assert violations(page) == []


@pytest.mark.parametrize("screen", SCREENS)
def test_page_does_not_scroll_horizontally(page: Page, screen: str) -> None:
    page.set_viewport_size(SCREENS[screen])  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth") == SCREENS[screen]["width"]


def test_focus_outlines_of_buttons_are_not_clipped(page: Page) -> None:
    assert clipped_outlines(page) == []


def test_focus_outlines_of_buttons_are_not_clipped_on_a_phone(
    busy_site: Site, browser: Browser
) -> None:
    context = browser.new_context(viewport=SCREENS["phone"], has_touch=True)
    page = context.new_page()
    open_all(page, busy_site)
    assert clipped_outlines(page) == []
    context.close()


def clipped_outlines(page: Page) -> list[str]:
    return page.locator(".module").evaluate_all(
        """rows => rows.flatMap((row) => {
            const room = row.getBoundingClientRect();
            return [...row.querySelectorAll("button, summary")].filter((each) => {
                const { left, right, top, bottom } = each.getBoundingClientRect();
                const sides = [left - room.left, room.right - right];
                const needed = 2 + (parseFloat(getComputedStyle(each).outlineOffset) || 2);
                const space = Math.min(...sides, top - room.top, room.bottom - bottom);
                return right > left && bottom > top && space < needed;
            }).map((each) => each.outerHTML);
        })"""
    )


def test_printed_page_is_complete_and_has_no_controls(page: Page) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    row = rows(page).first
    assert row.evaluate("row => getComputedStyle(row).contentVisibility") == "visible"
    assert page.locator("button:visible, input:visible, select:visible").count() == 0
    long = row.locator("dd", has_text="line 29")
    assert long.evaluate("dd => dd.scrollHeight === dd.clientHeight"), "nothing is cut off"
    colour = "element => getComputedStyle(element).backgroundColor"
    assert page.locator(".service").first.evaluate(colour) == "rgb(255, 255, 255)"


def test_every_control_is_reachable_with_the_tab_key(page: Page) -> None:
    page.evaluate("document.activeElement.blur(); document.body.focus()")
    wanted = page.locator(
        ":is(button, input, select, textarea, summary, a[href], [tabindex='0']):visible"
    ).count()
    reached = set()
    for number in range(wanted + 30):  # a field for a time takes several
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "number => document.activeElement === document.body ? -1"
                " : (document.activeElement.reached ??= number)",
                number,
            )
        )
    assert len(reached - {-1}) == wanted


def test_no_animations_run_if_reduced_motion_is_preferred(
    busy_site: Site, browser: Browser
) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    open_all(page, busy_site)
    assert page.evaluate("document.getAnimations().length") == 0
    assert page.evaluate("getComputedStyle(document.querySelector('main')).transitionDuration") in (
        "0s",
        "",
    )
    context.close()
