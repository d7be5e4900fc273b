"""Screenshots for the documentation, written to docs/images/ as NAME-DEVICE-SCHEME.png.

The console shows the example application, with some items that have been running for a while. The
jukebox plays silence, with tags and covers made here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import example_folders
import example_pages
import imageio_ffmpeg
from chromium import HEADLESS, chromium
from conftest import EXAMPLES
from console import rows
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, BrowserContext, Page, expect
from support import ROOT, Client, Site, http, wait_until

from shmooze.access.token_file import TokenFile

IMAGES = ROOT / "docs" / "images"

DEVICES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1120, "height": 640}},
    "phone": {
        "viewport": {"width": 390, "height": 720},
        "device_scale_factor": 1.5,
        "is_mobile": True,
        "has_touch": True,
    },
    "screen": {"viewport": {"width": 1280, "height": 720}},
}
LOOKS = [(device, scheme) for device in ("desktop", "phone") for scheme in ("light", "dark")]

#: Pictures that also have a name of their own.
COPIES = {"console-desktop-light": "console", "console-phone-dark": "console-phone"}

#: Milliseconds before the screenshots of the console, so that its plots show something.
WAIT = 20_000
COUNT = "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo line $i; sleep 0.5; done"
FAIL = "echo reading /srv/photos; echo disk full >&2; exit 1"

#: Who wrote a piece, and on which album it is; the colours of the album's cover.
PIECES = {
    "Gymnopédie No. 1": ("Erik Satie", "Gymnopédies"),
    "Clair de lune": ("Claude Debussy", "Suite bergamasque"),
    "The Entertainer": ("Scott Joplin", "Ragtime"),
    "Maple Leaf Rag": ("Scott Joplin", "Ragtime"),
    "In the Hall of the Mountain King": ("Edvard Grieg", "Peer Gynt"),
    "Spring": ("Antonio Vivaldi", "The Four Seasons"),
}
COVERS = {
    "Gymnopédies": ("#1d3557", "#e9c46a"),
    "Suite bergamasque": ("#264653", "#a8dadc"),
    "Ragtime": ("#7f1d1d", "#f4a261"),
    "Peer Gynt": ("#14532d", "#d9f99d"),
    "The Four Seasons": ("#5b21b6", "#fbcfe8"),
}
#: Who adds which piece to the jukebox, in this order.
ADDED = (
    ("ada", "Gymnopédie No. 1"),
    ("ada", "Clair de lune"),
    ("ben", "The Entertainer"),
    ("cleo", "Spring"),
    ("ben", "In the Hall of the Mountain King"),
)

#: What the page of the jukebox sends of a track of the library.
SHOWN = ("title", "artist", "album", "cover", "duration")
#: Where guests would find it.
URL = "http://192.168.1.5:8080/"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, chromium(HEADLESS) as browser:
        show_console(Path(folder) / "console", browser)
        show_login(Path(folder) / "login", browser)
        show_jukebox(Path(folder) / "jukebox", browser)


def save(page: Page, name: str) -> None:
    """Take a picture, with at most 256 colours, which is a third of the size."""
    file = IMAGES / f"{name}.png"
    page.screenshot(path=file, animations="disabled")
    with Image.open(file) as picture:
        small = picture.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT)
    small.save(file, optimize=True)
    if name in COPIES:
        shutil.copy(file, IMAGES / f"{COPIES[name]}.png")
    sys.stdout.write(f"{file.name}: {file.stat().st_size // 1024} KB\n")


@contextmanager
def running(site: Site) -> Iterator[Site]:
    try:
        yield site
    finally:
        site.close()


def contexts(
    browser: Browser, name: str, heights: dict[str, int] | None = None
) -> Iterator[tuple[str, BrowserContext]]:
    """For each look a browser of its own, and the name of its picture.

    `heights` are those of devices that are higher than usual, in CSS pixels.
    """
    for device, scheme in LOOKS:
        options = DEVICES[device]
        if height := (heights or {}).get(device):
            options = {**options, "viewport": {**options["viewport"], "height": height}}
        yield f"{name}-{device}-{scheme}", browser.new_context(color_scheme=scheme, **options)  # type: ignore[arg-type]


def show_console(folder: Path, browser: Browser) -> None:
    settings = {
        "name": "Example",
        "state_path": "$HERE/state.db",
        "app_jobs": {"count": ["sh", "-c", COUNT], "backup": ["sh", "-c", FAIL]},
    }
    with running(Site(folder, ("wsgi", "queue", "pool", "vol"), settings, EXAMPLES)) as site:
        site.start()
        queue, pool = Client(site, "queue"), Client(site, "pool")
        queue("rm", uids=[queue.add("countdown", seconds=60)])
        for seconds in (120, 45):
            queue.add("countdown", seconds=seconds)
        queue("set_bg", type="clock")
        for name in ("count", "backup"):
            pool.add("job", name=name)
        made = contexts(browser, "console", {"desktop": 960})
        pages = {name: context.new_page() for name, context in made}
        for page in pages.values():
            page.goto(site.url)
            expect(rows(page)).to_have_count(2)
        page.wait_for_timeout(WAIT)
        for name, page in pages.items():
            save(page, name)
            page.context.close()


def show_login(folder: Path, browser: Browser) -> None:
    settings = {"name": "Jukebox", "tokens_path": "$HERE/tokens.json"}
    with running(Site(folder, ("wsgi",), settings)) as site:
        TokenFile(str(folder / "tokens.json")).add("ada", "control")
        site.start()
        for name, context in contexts(browser, "login"):
            page = context.new_page()
            page.goto(f"{site.url}login")
            save(page, name)
            context.close()


def show_jukebox(folder: Path, browser: Browser) -> None:
    """The page for guests, and the screen in the room."""
    site = example_folders.make("jukebox", lambda **keywords: Site(folder, **keywords))
    site.settings |= {"tokens_path": "$HERE/tokens.json"}
    site.settings["app"] |= {"url": URL}
    site.settings_file.write_text(json.dumps(site.settings))
    site.environ |= {"JUKEBOX_MUSIC": str(folder / "Music")}
    with running(site):
        make_music(folder / "Music")
        tokens = TokenFile(str(folder / "tokens.json"))
        held = {name: tokens.add(name, "control") for name in ("ada", "ben", "cleo")}
        example_pages.run(site)

        def ask(who: str, service: str, cmd: str, **args: Any) -> Any:
            headers = {"Authorization": f"Bearer {held[who]}"}
            answer = http(f"{site.url}{service}", {"cmd": cmd, "args": args}, headers=headers).json
            assert answer["success"], answer
            return answer["result"]

        wait_until(lambda: ask("ada", "library", "status")["tracks"] == len(PIECES), "it is found")
        for who, title in ADDED:
            known = ask("ada", "library", "track", path=source_of(title))
            args = {"source": known["path"], **{key: known[key] for key in SHOWN if known.get(key)}}
            ask(who, "queue", "add", type="track", args=args)
        ask("ada", "guests", "invite", base=URL, on_screen=True)
        wait_until(lambda: plays(ask("ada", "queue", "queue", parameters=True)), "it plays")
        show_pages(site, browser, held["ada"])


def plays(items: list[dict[str, Any]]) -> bool:
    return any((each.get("parameters") or {}).get("position", 0) > 3 for each in items)


def show_pages(site: Site, browser: Browser, token: str) -> None:
    for name, context in contexts(browser, "jukebox"):
        page = log_in(context, site, token, "./")
        expect(page.get_by_text("The Entertainer").first).to_be_visible()
        save_with_pictures(page, name)
        context.close()
    context = browser.new_context(color_scheme="dark", **DEVICES["screen"])
    page = log_in(context, site, token, "kiosk.html")
    expect(page.get_by_text("The Entertainer").first).to_be_visible()
    save_with_pictures(page, "kiosk-desktop-dark")
    context.close()


def log_in(context: BrowserContext, site: Site, token: str, to: str) -> Page:
    page = context.new_page()
    page.goto(f"{site.url}login#token={token}&to={to}")
    page.wait_for_url(lambda url: "login" not in url)
    return page


def save_with_pictures(page: Page, name: str) -> None:
    """Take a picture once all covers are loaded."""
    page.wait_for_load_state("load")
    page.wait_for_function("[...document.images].every((each) => each.complete)")
    page.wait_for_timeout(1000)  # covers that are backgrounds do not tell when they are there
    save(page, name)


def source_of(title: str) -> str:
    """The path of a piece below the folder with the music."""
    artist, album = PIECES[title]
    return f"{artist}/{album}/{title}.ogg"


def make_music(folder: Path) -> None:
    """Three minutes of silence for each piece, with tags, and a cover for each album."""
    for title, (artist, album) in PIECES.items():
        file = folder / source_of(title)
        file.parent.mkdir(parents=True, exist_ok=True)
        tags = {"title": title, "artist": artist, "album": album}
        words = [word for key, text in tags.items() for word in ("-metadata", f"{key}={text}")]
        silence = ["-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono", "-t", "184"]
        argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *silence, *words]
        subprocess.run([*argv, "-c:a", "libopus", "-b:a", "8k", str(file)], check=True)
        draw_cover(file.with_name("cover.png"), *COVERS[album])


def draw_cover(file: Path, ground: str, ink: str) -> None:
    picture = Image.new("RGB", (480, 480), ground)
    draw = ImageDraw.Draw(picture)
    for radius in range(200, 20, -36):
        draw.ellipse(
            (240 - radius, 240 - radius, 240 + radius, 240 + radius), outline=ink, width=10
        )
    picture.save(file)


if __name__ == "__main__":
    main()
