"""Helpers of the console tests: find and use the parts of the page as a user does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect
from support import PATIENCE, Site


def service(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def stop_waiting_for_starts(page: Page) -> None:
    """Have the console say at once that a service is down, even if it may just be starting."""
    page.evaluate("""async () => {
      (await import("./console/service.js")).Service.startTime = 0;
    }""")


def unfold(part: Locator) -> None:
    """Open a part of a service that is folded.

    The forms above it appear once their types are known. If they do so between the press and the
    release of the mouse, that is no click.
    """
    for _ in range(10):
        part.locator("summary").first.click()
        if part.evaluate("details => details.open"):
            return
    raise AssertionError("it does not open")


def rows(page: Page, name: str = "queue") -> Locator:
    return service(page, name).locator(".roster .module")


def open_details(row: Locator) -> Locator:
    """Open the details of an item, unless they are open, and return them."""
    if row.locator(".toggle").get_attribute("aria-expanded") == "false":
        row.locator(".toggle").click()
    return row.locator(".details")


def tell_form(row: Locator) -> Locator:
    """The form for any command to an item, once its details are open."""
    unfold(open_details(row).locator(".anything"))
    return row.get_by_role("form", name="Tell")


def stop(page: Page, row: Locator, name: str = "") -> None:
    """Remove an item that runs, which the page asks about."""
    row.get_by_role("button", name=f"Stop {name}").first.click()
    page.get_by_role("button", name="Stop it").click()


def shown_uids(page: Page) -> list[str]:
    return rows(page).locator(".uid").evaluate_all("codes => codes.map(code => code.title)")


def module_list(page: Page) -> Locator:
    """The list of the queue's modules, busy until the service has confirmed a move."""
    return service(page, "queue").locator(".roster .modules")


def form_of(page: Page, name: str, button: str = "Add") -> Locator:
    """A form of a service, and not one of its modules."""
    return service(page, name).get_by_role("form", name=f"{button} in {name}", exact=True)


def submit(page: Page, name: str, button: str, type: str, args: str) -> Locator:
    """Fill in and submit a form of a service, and return the form.

    `args` are for the box of a type that does not describe its arguments, or a JSON object of
    values for the fields of one that does.
    """
    form = form_of(page, name, button)
    form.get_by_label("Type").select_option(type)
    if form.locator(".fields").count():
        for field, value in json.loads(args).items():
            form.get_by_label(field).fill(str(value))
    else:
        form.get_by_label("Arguments").fill(args)
    form.get_by_role("button", name=button, exact=True).click()
    return form


def add_countdowns(site: Site, page: Page, count: int) -> list[str]:
    """Add countdowns, and return their uids when the page shows them."""
    packet = {"type": "countdown", "args": {"seconds": 1000}}
    uids = [site.ask("queue", "add", **packet)["uid"] for _ in range(count)]
    expect(rows(page)).to_have_count(count)
    assert shown_uids(page) == uids
    return uids


def page_without_services(
    browser: Browser, make_site: Callable[..., Site], **options: Any
) -> Iterator[Page]:
    """A page of the console that shows no service, since there is none."""
    page = browser.new_page(**options)
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(make_site(services=("wsgi",)).start().url)
    expect(page.get_by_text("No services are configured")).to_be_visible()
    yield page
    page.close()
