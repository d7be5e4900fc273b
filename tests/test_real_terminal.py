"""The example terminal in a browser: typed commands, its size, several pages, and its end."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from chromium import needs_chromium
from npm import installed
from playwright.sync_api import Browser, Page, expect
from recipes import recipe
from support import ROOT, Client, Site, http, wait_until

EXAMPLE = ROOT / "examples" / "terminal"

pytestmark = [
    needs_chromium,
    pytest.mark.skipif(find_spec("websockets") is None, reason="websockets is not installed"),
]

#: What the page has on its screen, line by line, without the spaces that fill lines.
SCREEN = """() => [...document.querySelectorAll(".xterm-rows > div")]
    .map((row) => row.textContent.replaceAll("\\u00a0", " ").trimEnd()).join("\\n")"""


def screen(page: Page) -> str:
    return page.evaluate(SCREEN)


def open_terminal(page: Page, url: str) -> None:
    """Open a page, and wait for the prompt of the shell."""
    page.goto(url)
    wait_until(lambda: screen(page).strip(), "the shell asks for a command")


def run(page: Page, line: str, printed: str) -> None:
    """Type a line, and wait until a line of the screen is what it prints."""
    page.keyboard.type(line)
    page.keyboard.press("Enter")
    found = re.compile(f"^{printed}$", re.MULTILINE)
    wait_until(lambda: found.search(screen(page)), f"{printed!r} is printed")


def resize(page: Page, width: int, height: int) -> int:
    """Change the size of the window. Returns the lines that the terminal has then."""
    before = screen(page).count("\n")
    page.set_viewport_size({"width": width, "height": height})
    wait_until(lambda: screen(page).count("\n") != before, "it has another number of lines")
    return screen(page).count("\n") + 1


@pytest.fixture(scope="module")
def site(make_shared_site: Callable[..., Site]) -> Site:
    """The example as it is, in a folder of its own, with what npm installs for it."""
    wanted = json.loads((EXAMPLE / "package.json").read_text())["dependencies"]
    modules = installed(*(f"{name}@{version}" for name, version in wanted.items()))
    pool = json.loads((EXAMPLE / "settings.json").read_text())["pool"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {"pool": pool}
    site = make_shared_site(services=("wsgi", "pool"), settings=settings, environ={"PATH": path})
    copy = site.folder / "terminal"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(modules)
    kind = pool["modules"]["terminal"]
    site.settings["pool"]["modules"]["terminal"] = {**kind, "cwd": str(copy)}
    site.settings_file.write_text(json.dumps(site.settings))
    site.environ |= {"PS1": "$ ", "HOME": str(site.folder)}
    return site.start()


@pytest.fixture
def pool(site: Site) -> Client:
    return Client(site, "pool")


def test_the_page_in_docs_shows_the_settings_of_the_example() -> None:
    assert json.loads((EXAMPLE / "settings.json").read_text())["pool"] == recipe("terminal")


def test_commands_are_typed_and_resized_and_shared_and_leave_nothing(
    browser: Browser, page: Page, site: Site, pool: Client
) -> None:
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    open_terminal(page, f"{site.url}pool/on/terminal/")
    run(page, "echo $((6 * 7))", "42")

    few = resize(page, 1000, 300)
    run(page, "stty size", rf"{few} \d+")
    many = resize(page, 500, 600)
    run(page, "clear; stty size", rf"{many} \d+")

    (uid,) = pool.uids()
    other = browser.new_page()
    open_terminal(other, f"{site.url}pool/at/{uid}/")
    run(other, "echo from $((1 + 1))", "from 2")
    wait_until(lambda: "\nfrom 2" in screen(page), "the first page shows it too")

    stubborn = "trap '' HUP TERM; sleep 1000"
    run(other, f'setsid sh -c "{stubborn}" & (nohup sleep 1000 &) 2>/dev/null; echo begun', "begun")
    wait_until(lambda: len(_sleepers(site)) == 2, "both run in the background")
    other.close()
    page.close()
    assert pool.roster()[0]["state"] == "playing"
    pool("rm", uids=[uid])
    pool.expect_no_children()
    assert problems == []


def test_exit_ends_the_item_and_the_page_says_so(page: Page, site: Site, pool: Client) -> None:
    open_terminal(page, f"{site.url}pool/on/terminal/")
    run(page, "echo $((6 * 7))", "42")
    page.keyboard.type("exit\n")
    expect(page.get_by_text("Disconnected.")).to_be_visible()
    wait_until(lambda: pool.roster() == [], "it has left")
    assert pool("gone")[-1]["state"] == "done"
    pool.expect_no_children()


def test_a_page_of_another_site_cannot_type(site: Site, pool: Client) -> None:
    http(f"{site.url}pool/on/terminal/")
    (uid,) = pool.uids()
    answer = http(f"{site.url}pool/at/{uid}/socket", headers={"Origin": "http://evil.example"})
    assert answer.status == 403
    pool.clear()


def _sleepers(site: Site) -> list[int]:
    def argv(pid: int) -> bytes:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return b""

    return [pid for pid in site.survivors() if argv(pid) == b"sleep\x001000\x00"]
