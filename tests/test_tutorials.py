"""The tutorials work as they are shown, and their pages in a browser."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chromium import needs_chromium
from pages import PHONE, assert_accessible, fits, open_page
from playwright.sync_api import Browser, Page, expect
from support import Client, Site
from support import http as get
from tutorials import Tutorial, run

pytestmark = needs_chromium

NAMES = ("jobs", "votes", "sign", "model-server", "lab-instrument")
#: Programs of the user, which are shown but are not part of an example.
CLIENTS = ("curve.py",)


@pytest.fixture(scope="module")
def phone(browser: Browser) -> Iterator[Page]:
    with open_page(browser, "about:blank", PHONE) as page:
        yield page


@pytest.mark.parametrize("name", NAMES)
def test_tutorial_shows_or_copies_each_file_of_its_example(name: str) -> None:
    tutorial = Tutorial(name)
    files = {
        file.name: file.read_text()
        for file in tutorial.folder.iterdir()
        if file.suffix in (".py", ".json") and file.name not in tutorial.copied
    }
    shown = {file: text for file, text in tutorial.files.items() if file not in CLIENTS}
    assert files == shown


def guest(site: Site, address: str, cmd: str, **args: Any) -> Any:
    """Send a command as somebody else: without tokens, a guest is an address."""
    source = (address, 0)
    gateway = http.client.HTTPConnection("127.0.0.1", site.ports["wsgi"], source_address=source)
    headers = {"Content-Type": "application/json"}
    gateway.request("POST", "/queue", json.dumps({"cmd": cmd, "args": args}), headers)
    answer = json.loads(gateway.getresponse().read())
    gateway.close()
    assert answer["success"], answer
    return answer["result"]


def test_guests_take_turns_and_two_votes_end_a_song(
    make_shared_site: Callable[..., Site], phone: Page
) -> None:
    tutorial = Tutorial("votes")
    site = tutorial.start(make_shared_site)
    queue = Client(site, "queue")
    schemas = get(f"{site.url}openapi.json").json["components"]["schemas"]
    for cmd in ("vote", "pause", "skip", "repeat", "schedule", "unschedule"):
        assert f"queue.{cmd}" in schemas, cmd
    phone.goto(site.url)
    for line in tutorial.commands[:3]:
        run(site, line)
    guest(site, "127.0.0.2", "add", type="song", args={"title": "Blue in Green"})
    coming = phone.get_by_role("listitem")
    expect(coming.locator("b")).to_have_text(["Blue in Green", "So What", "Naima"])
    now = phone.get_by_role("region", name="Now playing")
    expect(now).to_contain_text("Take Five")
    phone.get_by_role("button", name="Vote against Naima").click()
    expect(coming.last).to_contain_text("1 vote against it")
    phone.get_by_role("button", name="Skip this").click()
    expect(now).to_contain_text("1 vote to skip it")
    assert fits(phone)
    assert_accessible(phone)
    for uid in (queue.uids()[0], queue.uids()[3]):
        guest(site, "127.0.0.2", "vote", uid=uid, kind="skip")
    expect(coming.locator("b")).to_have_text(["So What"])
    expect(now).to_contain_text("Blue in Green")
    for line in tutorial.commands[3:]:
        run(site, line)
    expect(now).to_contain_text("So What")
    phone.get_by_label("Song").fill("Flamenco Sketches")
    phone.get_by_role("button", name="Add").click()
    expect(coming.locator("b")).to_have_text(["Flamenco Sketches"])
    site.close()


def test_sign_shows_slides_and_one_alone_in_its_window(
    make_shared_site: Callable[..., Site], phone: Page
) -> None:
    tutorial = Tutorial("sign")
    site = tutorial.start(make_shared_site)
    queue = Client(site, "queue")
    phone.goto(site.url)
    *clock_and_slides, lunch, news, schedules = tutorial.commands
    for line in clock_and_slides:
        run(site, line)
    shown = phone.get_by_role("heading")
    expect(shown).to_have_text("Welcome")
    assert fits(phone)
    assert_accessible(phone)
    for line in (lunch, news):
        run(site, line)
    (schedule,) = json.loads(run(site, schedules))
    assert schedule["args"]["text"].startswith("Good morning")
    assert len(schedule["next"]) == 5
    soup = next(each for each in queue("queue") if each.get("window"))
    assert (soup["window"]["from"], soup["window"]["to"]) == ("11:30", "14:00")  # maybe it is open
    queue("rm", uids=queue.uids())
    notice = queue.add("slide", text="Lift out of order", seconds=0)
    expect(shown).to_have_text("Lift out of order")
    all_day = {"from": "00:00", "to": "00:00"}
    drill = queue("add", type="slide", args={"text": "Fire drill", "seconds": 0}, window=all_day)
    expect(shown).to_have_text("Fire drill")
    assert queue("item", uid=notice)["waits"].endswith("plays alone")
    run(site, f"shmz rm {drill['uid']}")
    expect(shown).to_have_text("Lift out of order")
    run(site, f"shmz rm {notice}")
    expect(shown).to_have_text(re.compile(r"^\d\d:\d\d$"))  # the clock in the background
    phone.goto(f"{site.url}?queue=gym")
    expect(shown).to_have_text("There is no queue “gym”")
    phone.goto(f"{site.url}?queue=queue")
    expect(shown).to_have_text(re.compile(r"^\d\d:\d\d$"))
    site.close()
