"""The gateway's page `docs` in a browser: it shows the commands, and sends one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

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


MOVIE: dict[str, Any] = {
    "process": ["true"],
    "schema": {"args": {"properties": {"title": {"type": "string"}}, "required": ["title"]}},
}


def operation(page: Page, service: str, cmd: str) -> Locator:
    """The part of the page for one command."""
    return page.locator(f"#operations-{service}-post_{service}_{cmd}")


def execute(part: Locator) -> Locator:
    """Send the command as it is proposed, and return the answer."""
    part.locator(".opblock-summary-control").click()
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
    for cmd in ("add", "rm", "mv", "set_bg", "tell_module", "describe"):
        expect(operation(page, "queue", cmd)).to_be_visible()
    expect(operation(page, "pool", "add")).to_contain_text("Start a module and put it at the end.")
    expect(execute(operation(page, "queue", "modules_available"))).to_contain_text('"countdown"')
    assert problems == []


def test_it_works_below_a_prefix_for_those_who_have_logged_in(
    page: Page, make_site: Callable[..., Site]
) -> None:
    site = make_site(
        services=("wsgi", "vol", "queue"),
        settings={"wsgi_prefix": "/app/", "queue": {"modules": {"movie": MOVIE}}},
        programs={"vol": EXAMPLES["vol"]},
    )
    tokens = TokenFile(str(site.folder / "tokens.json"))
    token = tokens.add("ada", "control")
    site.settings["tokens_path"] = str(tokens.path)
    site.settings_file.write_text(json.dumps(site.settings))
    site.start()
    made = http(f"{site.url}openapi.json", headers={"Authorization": f"Bearer {token}"}).json
    validate(made)
    args = made["components"]["schemas"]["queue.movie.args"]
    assert args["properties"] == MOVIE["schema"]["args"]["properties"]
    assert args["additionalProperties"] is False
    page.goto(f"{site.url}docs")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.goto(f"{site.url}docs")
    expect(execute(operation(page, "vol", "get_vol"))).to_contain_text('"result": 50')
