"""The console, in a real Chromium, against real services."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest
from chromium import needs_chromium
from conftest import EXAMPLES
from console import add_countdowns, order, rows, service, shown_uids
from playwright.sync_api import Page, expect
from support import ROOT, Site

from shmooze.lib.tokens import TokenFile

HOSTILE = "<img src=x onerror=\"document.title='hacked'\">"
CLOCK = {"process": [sys.executable, str(ROOT / "examples" / "modules" / "clock.py")]}

pytestmark = needs_chromium


def test_page_tells_queue_and_pool_by_what_they_answer(
    page: Page, make_site: Callable[..., Site]
) -> None:
    # Names tell nothing: here the pool is called queue, and the queue pool.
    types = {"modules": {"clock": CLOCK}}
    programs = {
        "queue": [sys.executable, "-m", "shmooze.pool", "queue"],
        "pool": [sys.executable, "-m", "shmooze.queue", "pool"],
        "vol": EXAMPLES["vol"],
    }
    site = make_site(
        services=("wsgi", *programs, "radio"),
        settings={"queue": types, "pool": {**types, "backgrounds": {"clock": CLOCK}}},
        programs=programs,
    ).start("wsgi", *programs)
    page.goto(site.url)
    expect(service(page, "queue").locator(".kind")).to_have_text("pool")
    expect(service(page, "pool").locator(".kind")).to_have_text("queue")
    expect(service(page, "pool").get_by_role("form", name="Set background")).to_be_visible()
    expect(service(page, "vol").get_by_role("status")).to_have_text("Alive")
    expect(service(page, "vol").get_by_role("form", name="Send")).to_be_visible()
    expect(service(page, "queue").get_by_role("form", name="Send")).to_be_hidden()
    expect(service(page, "radio").get_by_role("status")).to_have_text("Not answering")
    expect(service(page, "radio").get_by_role("alert")).to_contain_text("not running")


def test_added_module_is_shown_with_its_parameters(site: Site, first_page: Page) -> None:
    order(first_page, "queue", "Add", "countdown", '{"seconds": 1000}')
    row = rows(first_page)
    expect(row.locator(".state")).to_have_text("playing")
    expect(row.locator("div", has=first_page.get_by_text("total")).locator("dd")).to_have_text(
        "1000"
    )
    uid = site.ask("queue", "queue")[0]["uid"]
    expect(row.locator(".uid")).to_have_text(uid[:8])


def test_job_added_to_the_pool_shows_its_output(first_page: Page) -> None:
    order(first_page, "pool", "Add", "job", '{"name": "hello"}')
    expect(rows(first_page, "pool")).to_contain_text("hello")
    expect(rows(first_page, "pool")).to_contain_text("done")


def test_module_that_leaves_by_itself_leaves_the_page(site: Site, first_page: Page) -> None:
    (uid,) = add_countdowns(site, first_page, 1)
    site.ask("queue", "rm", uids=[uid])
    expect(rows(first_page)).to_have_count(0)
    expect(service(first_page, "queue")).to_contain_text("Nothing here yet.")


def test_background_is_set_and_replaced(site: Site, first_page: Page) -> None:
    background = service(first_page, "queue").locator(".background")
    expect(background).to_contain_text("None.")
    order(first_page, "queue", "Set background", "clock", '{"format": "first"}')
    expect(background.locator("dd")).to_have_text("first")
    order(first_page, "queue", "Set background", "clock", '{"format": "second"}')
    expect(background.locator("dd")).to_have_text("second")
    expect(background.locator(".state")).to_have_text("playing")
    assert site.ask("queue", "bg")["type"] == "clock"


def test_reordering_by_keyboard_keeps_the_focus(site: Site, first_page: Page) -> None:
    first, second, third = add_countdowns(site, first_page, 3)
    up = rows(first_page).nth(2).get_by_role("button", name="Move countdown up")
    up.focus()
    handle = up.element_handle()
    for expected in ([first, third, second], [third, first, second]):
        first_page.keyboard.press("Enter")
        first_page.wait_for_function(
            "uids => [...document.querySelectorAll('.roster .uid')]"
            ".map(code => code.title).slice(0, uids.length).join() === uids.join()",
            arg=expected,
        )
        assert [module["uid"] for module in site.ask("queue", "queue")] == expected
        assert handle.evaluate("button => button === document.activeElement")
    expect(first_page.locator("#announcer")).to_have_text("countdown is now 1 of 3")
    expect(rows(first_page).first.locator(".state")).to_have_text("playing")
    first_page.keyboard.press("Tab")
    first_page.keyboard.press("Enter")
    expect(first_page.locator("#announcer")).to_have_text("countdown is now 2 of 3")
    assert [module["uid"] for module in site.ask("queue", "queue")] == [first, third, second]


def test_removing_passes_the_focus_on(site: Site, first_page: Page) -> None:
    uids = add_countdowns(site, first_page, 2)
    rows(first_page).first.get_by_role("button", name="Remove countdown").focus()
    first_page.keyboard.press("Enter")
    expect(rows(first_page)).to_have_count(1)
    assert shown_uids(first_page) == uids[1:]
    last = rows(first_page).get_by_role("button", name="Remove countdown")
    expect(last).to_be_focused()
    first_page.keyboard.press("Enter")
    expect(rows(first_page)).to_have_count(0)
    form = service(first_page, "queue").get_by_role("form", name="Add")
    expect(form.get_by_label("Type")).to_be_focused()
    assert site.ask("queue", "queue") == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ('{"seconds": soon}', "not valid JSON"),
        ("[30]", "must be a JSON object"),
        ('{"seconds": -1}', "seconds must be a number above 0, not -1"),
    ],
)
def test_bad_arguments_are_said_and_the_next_good_ones_taken(
    site: Site, first_page: Page, args: str, said: str
) -> None:
    form = order(first_page, "queue", "Add", "countdown", args)
    expect(form.get_by_role("alert")).to_contain_text(said)
    assert site.ask("queue", "queue") == []
    order(first_page, "queue", "Add", "countdown", '{"seconds": 1000}')
    expect(rows(first_page)).to_have_count(1)
    expect(form.get_by_role("alert")).to_be_hidden()


def test_hostile_type_and_parameters_stay_text(page: Page, make_site: Callable[..., Site]) -> None:
    types = {"modules": {HOSTILE: CLOCK}, "backgrounds": {HOSTILE: CLOCK}}
    site = make_site(settings={"queue": types, "name": HOSTILE}, services=("wsgi", "queue")).start()
    page.goto(site.url)
    args = json.dumps({"format": HOSTILE})
    order(page, "queue", "Add", HOSTILE, args)
    order(page, "queue", "Set background", HOSTILE, args)
    for row in (rows(page), page.locator(".background .module")):
        expect(row.locator(".type")).to_have_text(HOSTILE)
    expect(rows(page).locator("dd")).to_have_text(HOSTILE)
    rows(page).get_by_role("button", name=f"Remove {HOSTILE}", exact=True).click()
    expect(page.locator("#announcer")).to_have_text(f"{HOSTILE} removed")
    form = order(page, "queue", "Add", HOSTILE, json.dumps({HOSTILE: 1}))
    expect(form.get_by_role("alert")).to_contain_text(HOSTILE)
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(page.locator("img")).to_have_count(0)
    expect(page).to_have_title(HOSTILE)


def test_polling_moves_nothing_and_keeps_what_is_typed(site: Site, first_page: Page) -> None:
    add_countdowns(site, first_page, 2)
    field = service(first_page, "queue").get_by_role("form", name="Add").get_by_label("Arguments")
    field.fill('{"sec')
    row = rows(first_page).first.element_handle()
    left = rows(first_page).first.locator("div", has=first_page.get_by_text("left")).locator("dd")
    before = left.inner_text()
    expect(left).not_to_have_text(before)
    expect(field).to_be_focused()
    expect(field).to_have_value('{"sec')
    assert row.evaluate("row => row === document.querySelector('.roster .module')")


# Connection


def test_lost_connection_is_shown_and_comes_back_by_itself(site: Site, first_page: Page) -> None:
    lost = first_page.get_by_text("Connection lost")
    expect(lost).to_be_hidden()
    site.stop("wsgi")
    expect(lost).to_be_visible()
    expect(first_page.get_by_text("Connected")).to_be_hidden()
    site.start("wsgi")
    expect(first_page.get_by_text("Connected")).to_be_visible()
    expect(lost).to_be_hidden()
    add_countdowns(site, first_page, 1)


def test_page_without_services_that_run_is_still_connected(
    page: Page, make_site: Callable[..., Site]
) -> None:
    site = make_site(programs=EXAMPLES).start("wsgi")
    page.goto(site.url)
    expect(service(page, "queue").get_by_role("alert")).to_contain_text("not running")
    expect(page.get_by_text("Connected")).to_be_visible()
    site.start("queue")
    expect(service(page, "queue").get_by_role("status")).to_have_text("Alive")
    expect(service(page, "queue").get_by_role("form", name="Add")).to_be_visible()


# Prefixes


@pytest.mark.parametrize(
    ("wsgi_prefix", "static_prefix", "address"),
    [
        ("/app/", "/static/", "/"),
        ("/app/", "/static/", "/app/"),
        ("/app/", "/app/files/", "/app/files/index.html"),
        ("/", "/files/", "/files/index.html"),
    ],
)
def test_page_works_under_other_prefixes(
    page: Page, make_site: Callable[..., Site], wsgi_prefix: str, static_prefix: str, address: str
) -> None:
    settings = {"wsgi_prefix": wsgi_prefix, "static_prefix": static_prefix}
    site = make_site(settings=settings, services=("wsgi", "queue"), programs=EXAMPLES).start()
    page.goto(f"http://127.0.0.1:{site.ports['wsgi']}{address}")
    expect(service(page, "queue").get_by_role("status")).to_have_text("Alive")
    assert page.evaluate("BASE_URL") == wsgi_prefix.rstrip("/")
    assert page.evaluate("endpoints.queue.url") == f"{wsgi_prefix}queue"


# Tokens


def test_a_person_logs_in_and_steers(page: Page, guarded: tuple[Site, str]) -> None:
    site, token = guarded
    page.goto(site.url)
    expect(page).to_have_url(f"{site.url}login")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("The token is not valid.")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(site.url)
    order(page, "queue", "Add", "countdown", '{"seconds": 1000}')
    expect(rows(page)).to_have_count(1)
    assert page.evaluate("document.cookie") == "", "no script can read it"


def test_a_page_whose_token_is_revoked_is_led_to_the_form(
    page: Page, guarded: tuple[Site, str]
) -> None:
    site, token = guarded
    page.goto(f"{site.url}login")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(service(page, "queue")).to_be_visible()
    TokenFile(str(site.folder / "tokens.json")).revoke("ada")
    expect(page).to_have_url(f"{site.url}login")
