"""The jukebox as people use it: the running application, and what they do on its pages.

The tracks make no sound here, so mpv is not needed. The other programs are those of the example.
"""

from __future__ import annotations

import json
import shutil
import sys
import wave
from collections.abc import Callable
from typing import Any

from accessibility import violations
from playwright.sync_api import Browser, Locator, Page, expect
from support import CHILDREN, PATIENCE, ROOT, Site, http, wait_until

from shmooze.access.token_file import TokenFile

EXAMPLE = ROOT / "examples" / "jukebox"
SERVICES = ("wsgi", "queue", "volume", "library", "guests")
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}

#: What would run if a page took it for HTML.
HOSTILE = "<img src=x onerror=document.title='hacked'>"
MUSIC = (
    "Miles Davis/Kind of Blue/So What.wav",
    "Miles Davis/Kind of Blue/Blue in Green.wav",
    "Dave Brubeck/Time Out/Take Five.wav",
    f"Odd/{HOSTILE}.wav",
    "Odd/unplayable.wav",
    "Odd/refused.wav",
)


class Jukebox:
    """The running application, the pages of those who use it, and the tokens of host and screen."""

    def __init__(self, site: Site, browser: Browser, tokens: dict[str, str]) -> None:
        self.site, self.browser, self.tokens = site, browser, tokens
        self.contexts: list[Any] = []
        self.errors: list[str] = []

    def ask(self, service: str, cmd: str, token: str | None = None, /, **args: Any) -> Any:
        """The result of a command, by default the host's."""
        headers = {"Authorization": f"Bearer {token or self.tokens['ada']}"}
        answer = http(f"{self.site.url}{service}", {"cmd": cmd, "args": args}, headers=headers)
        assert answer.json["success"], answer.json
        return answer.json["result"]

    def page(self, address: str, viewport: dict[str, int] = PHONE) -> Page:
        """The page at this address of the site, in a browser of its own."""
        context = self.browser.new_context(viewport=viewport)  # type: ignore[arg-type]
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(f"{self.site.url}{address}")
        return page

    def invite(self, **args: Any) -> dict[str, Any]:
        invitation: dict[str, Any] = self.ask("guests", "invite", base=self.site.url, **args)
        return invitation

    def address_of(self, invitation: dict[str, Any]) -> str:
        return str(invitation["link"]).removeprefix(self.site.url)

    def add(self, title: str, **args: Any) -> str:
        track = {"source": f"Odd/{title}", "title": title, **args}
        return str(self.ask("queue", "add", type="track", args=track)["uid"])

    def clear(self) -> None:
        self.ask("queue", "clear", playing=True)
        wait_until(lambda: not self.ask("queue", "queue"), "the queue is empty")


def start(make: Callable[..., Site], browser: Browser) -> Jukebox:
    """The jukebox with some tracks in its library."""
    settings = json.loads((EXAMPLE / "settings.json").read_text())
    del settings["ports"]
    settings |= {"tokens_path": "$HERE/tokens.json", "state_path": "$HERE/jukebox.db"}
    modules = {
        name: ["sh", "-c", f'cd "$HERE" && exec {sys.executable} {what}']
        for name, what in {
            **{name: f"-m shmooze.{name}" for name in ("wsgi", "queue")},
            **{name: f"{name}.py" for name in ("volume", "library", "guests")},
        }.items()
    }
    site = make(services=SERVICES, settings=settings, programs=modules)
    shutil.copytree(EXAMPLE, site.folder, dirs_exist_ok=True, ignore=lambda *_: {"settings.json"})
    shutil.copy(CHILDREN / "jukebox_track.py", site.folder / "track.py")
    for name in MUSIC:
        file = site.folder / "music" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(file), "wb") as opened:
            opened.setparams((1, 1, 1000, 0, "NONE", ""))
            opened.writeframes(b"\x80" * 1000 * 300)
    site.environ["JUKEBOX_MUSIC"] = str(site.folder / "music")
    file = TokenFile(str(site.folder / "tokens.json"))
    tokens = {"ada": file.add("ada", "control"), "screen": file.add("screen", "read")}
    site.start()
    jukebox = Jukebox(site, browser, tokens)
    assert jukebox.ask("library", "scan", wait=PATIENCE)["tracks"] == len(MUSIC)
    return jukebox


def join(jukebox: Jukebox, address: str, name: str) -> Page:
    page = jukebox.page(address)
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("button", name=name)).to_be_visible()
    return page


def coming(page: Page) -> Locator:
    return page.get_by_role("region", name="Up next").get_by_role("listitem")


def now(page: Page) -> Locator:
    return page.locator("#now-title")


def view(page: Page, name: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=name).click()


def add(page: Page, words: str, title: str) -> None:
    """Search for words, and tap a track that is found."""
    view(page, "Music")
    page.get_by_label("Search for music").fill(words)
    page.get_by_role("region", name="Results").get_by_role("button", name=title).click()
    expect(page.locator("#said")).to_contain_text(f"“{title}” is in the queue")
    page.get_by_label("Search for music").fill("")


def check(page: Page) -> None:
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
