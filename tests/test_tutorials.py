"""The tutorials work as they are shown, and their pages in a browser."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chromium import needs_chromium
from playwright.sync_api import Browser, Page, expect
from support import PATIENCE, Client, Site, wait_until
from tutorials import Tutorial, run

pytestmark = needs_chromium

NAMES = ("jobs", "votes", "sign")
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def phone(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport=PHONE)  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE * 1000)
    yield page
    page.close()


def test_each_tutorial_shows_the_files_of_its_example() -> None:
    for name in NAMES:
        tutorial = Tutorial(name)
        files = {
            file.name: file.read_text()
            for file in tutorial.folder.iterdir()
            if file.suffix in (".py", ".json")
        }
        assert files == tutorial.files, name


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_jobs_end_with_results_and_wait_for_memory(
    make_shared_site: Callable[..., Site], phone: Page
) -> None:
    tutorial = Tutorial("jobs")
    site = tutorial.start(make_shared_site)
    jobs = Client(site, "jobs")
    phone.goto(f"{site.url}jobs.html")
    phone.get_by_label("limit").fill("100")
    phone.get_by_role("button", name="Add").click()
    done = phone.locator("#ended").get_by_role("listitem")
    expect(done).to_contain_text('{"primes":25,"largest":97}')
    expect(done).to_contain_text("primes up to 100")
    assert fits(phone)
    for line in tutorial.commands:
        run(site, line)
    ended = wait_until(lambda: jobs("history")["items"][3:], "all have ended")
    assert [each["state"] for each in ended] == ["done"]
    results = [each.get("result") for each in jobs("history", type="primes")["items"]]
    assert {"primes": 148933, "largest": 1999993} in results
    site.close()
