"""The console as a person finds their way in it."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect
from support import Site


def service(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def rows(page: Page, name: str = "queue") -> Locator:
    return service(page, name).locator(".roster .module")


def shown_uids(page: Page) -> list[str]:
    return rows(page).locator(".uid").evaluate_all("codes => codes.map(code => code.title)")


def order_of(page: Page) -> Locator:
    """The list of the queue's modules, busy while the service has not confirmed its order."""
    return service(page, "queue").locator(".roster .modules")


def form_of(page: Page, name: str, button: str = "Add") -> Locator:
    """One of a service's forms: not one of a module whose uid has the same letters in it."""
    return service(page, name).get_by_role("form", name=f"{button} in {name}", exact=True)


def order(page: Page, name: str, button: str, type: str, args: str) -> Locator:
    """Fill in and send one of a service's forms, which is returned."""
    form = form_of(page, name, button)
    form.get_by_label("Type").select_option(type)
    form.get_by_label("Arguments").fill(args)
    form.get_by_role("button", name=button).click()
    return form


def add_countdowns(site: Site, page: Page, count: int) -> list[str]:
    """The uids of new countdowns, which the page shows in this order."""
    packet = {"type": "countdown", "args": {"seconds": 1000}}
    uids = [site.ask("queue", "add", **packet)["uid"] for _ in range(count)]
    expect(rows(page)).to_have_count(count)
    assert shown_uids(page) == uids
    return uids
