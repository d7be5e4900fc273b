"""axe finds nothing on the empty console, login, commands, and the pages of all examples.

All tests share one browser. Each example runs once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import example_pages
import pytest
from accessibility import EACH_ONCE, findings
from chromium import needs_chromium
from conftest import EXAMPLES
from console import service
from playwright.sync_api import Browser, Page, expect
from support import PATIENCE, Client, Site, http

from shmooze.access.token_file import TokenFile
from shmooze.gateway.pages import viewer_folder

pytestmark = needs_chromium

#: Something to show on the page of an example: a service, a type, its arguments, and what the
#: page then says.
SHOWN: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "jobs/page/index.html": ("jobs", "primes", {"limit": 100}, "primes up to 100"),
    "sign/page/index.html": ("queue", "slide", {"text": "Welcome", "seconds": 1000}, "Welcome"),
    "votes/page/index.html": ("queue", "song", {"title": "Waltz", "seconds": 1000}, "Waltz"),
}


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(reduced_motion="reduce")
    page.set_default_timeout(PATIENCE * 1000)
    yield page
    page.close()


@pytest.fixture(scope="module")
def guarded(make_shared_site: Callable[..., Site]) -> tuple[Site, str]:
    """An application with tokens, and a token for it."""
    settings = {"name": "Jukebox", "tokens_path": "$HERE/tokens.json", "state_path": "$HERE/s.db"}
    programs = {"queue": EXAMPLES["queue"]}
    site = make_shared_site(
        services=("wsgi", "queue", "away"), settings=settings, programs=programs
    )
    token = TokenFile(str(site.folder / "tokens.json")).add("ada", "control")
    return site.start("wsgi", "queue"), token


@pytest.fixture
def ask(guarded: tuple[Site, str]) -> Callable[..., Any]:
    """A function that sends the queue a command and returns its result."""
    site, token = guarded

    def ask(cmd: str, **args: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        answer = http(f"{site.url}queue", {"cmd": cmd, "args": args}, headers=headers).json
        assert answer["success"], answer
        return answer["result"]

    return ask


@pytest.fixture
def logged_in(page: Page, guarded: tuple[Site, str]) -> Page:
    site, token = guarded
    page.goto(f"{site.url}login")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(service(page, "queue")).to_contain_text("Alive")
    return page


def test_login_page_before_and_after_a_wrong_token(page: Page, guarded: tuple[Site, str]) -> None:
    page.goto(f"{guarded[0].url}login")
    expect(page.get_by_label("Token")).to_be_focused()
    assert findings(page) == []
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The token is not valid.")
    expect(page).to_have_title("Error: Log in to Jukebox")
    field = page.get_by_label("Token")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("^The token is not valid. No token"))
    assert findings(page) == []


def open_all(page: Page) -> None:
    """Open everything that is closed; what that closes again stays closed."""
    closed = page.locator(
        "main :is(details:not([open]) > summary, [aria-expanded='false']):visible"
    )
    for _ in range(100):
        if not closed.count():
            break
        closed.first.click()


def test_console_without_items(logged_in: Page) -> None:
    expect(service(logged_in, "away").get_by_role("alert")).to_contain_text("not running")
    assert findings(logged_in) == []


@pytest.mark.skipif(viewer_folder() is None, reason="the viewer is not installed")
def test_commands_page_with_an_answer_and_a_dialog(
    logged_in: Page, guarded: tuple[Site, str]
) -> None:
    page = logged_in
    page.goto(f"{guarded[0].url}docs")
    add = page.locator("#operations-queue-post_queue_add")
    add.locator(".opblock-summary-control").click()
    add.get_by_role("button", name="Execute").click()
    expect(add.locator(".live-responses-table")).to_be_visible()
    assert findings(page, looks=EACH_ONCE) == []
    page.get_by_role("button", name="Authorize").click()
    expect(page.locator(".dialog-ux")).to_be_visible()
    assert findings(page, ".dialog-ux", EACH_ONCE) == []


@pytest.fixture(scope="module")
def example(
    request: pytest.FixtureRequest, make_shared_site: Callable[..., Site]
) -> Iterator[Site]:
    """An example that runs. Those after it wait until it has ended."""
    site = example_pages.start(request.param, make_shared_site)
    yield site
    site.close()


@pytest.mark.parametrize(
    ("example", "file"),
    [(each.partition("/")[0], each) for each in example_pages.names()],
    indirect=["example"],
    ids=example_pages.names(),
)
def test_page_of_each_example(example: Site, file: str, page: Page) -> None:
    page.goto(f"{example.url}{example_pages.address(file)}")
    if file in SHOWN:
        name, kind, args, words = SHOWN[file]
        Client(example, name).add(kind, **args)
        expect(page.get_by_text(words).first).to_be_visible()
    expect(page.get_by_role("main")).to_be_visible()
    assert findings(page) == []
