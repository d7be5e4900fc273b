"""The gateway's page `docs` in a browser: it shows the commands, and sends one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from chromium import needs_chromium
from conftest import EXAMPLES
from openapi_spec_validator import validate
from playwright.sync_api import Locator, Page, expect
from support import Site, http

from shmooze.access.token_file import TokenFile
from shmooze.gateway.pages import viewer_folder

pytestmark = [
    needs_chromium,
    pytest.mark.skipif(viewer_folder() is None, reason="the viewer is not installed"),
]


def commands_of(page: Page, service: str) -> Locator:
    """The part of the page for the commands of a service, opened."""
    part = page.locator(f"#operations-{service}-post_{service}")
    part.locator(".opblock-summary-control").click()
    return part


def execute(part: Locator, example: str) -> Locator:
    """Send the example of this name, and return the answer."""
    part.locator(".examples-select-element").first.select_option(example)
    part.get_by_role("button", name="Execute").click()
    return part.locator(".live-responses-table .response .response-col_description").first


def test_the_example_application_is_shown_and_a_command_can_be_tried(
    page: Page, site: Site
) -> None:
    validate(http(f"{site.url}openapi.json").json)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on(
        "request",
        lambda sent: sent.url.startswith((site.url, "data:")) or problems.append(sent.url),
    )
    page.goto(f"{site.url}docs")
    queue = commands_of(page, "queue")
    for cmd in ("add", "rm", "mv", "set_bg", "tell_module", "describe"):
        expect(queue.get_by_role("cell", name=cmd, exact=True)).to_be_visible()
    expect(queue.get_by_role("cell", name="Start a module and put it at the end.")).to_be_visible()
    answer = execute(queue, "modules_available")
    expect(answer).to_contain_text('"countdown"')
    assert problems == []


def test_it_works_below_a_prefix_for_those_who_have_logged_in(
    page: Page, make_site: Callable[..., Site]
) -> None:
    site = make_site(
        services=("wsgi", "vol"),
        settings={"wsgi_prefix": "/app/"},
        programs={"vol": EXAMPLES["vol"]},
    )
    tokens = TokenFile(str(site.folder / "tokens.json"))
    token = tokens.add("ada", "control")
    site.settings["tokens_path"] = str(tokens.path)
    site.settings_file.write_text(json.dumps(site.settings))
    site.start()
    page.goto(f"{site.url}docs")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.goto(f"{site.url}docs")
    volume = commands_of(page, "vol")
    expect(execute(volume, "get_vol")).to_contain_text('"result": 50')
