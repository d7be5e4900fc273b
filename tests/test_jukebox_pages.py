"""The page of the jukebox, for its host and for guests, and its screen, in a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chromium import needs_chromium
from jukebox_pages import DESKTOP, HOSTILE, Jukebox, add, check, coming, join, now, start, view
from playwright.sync_api import Browser, Page, expect
from support import Site, wait_until

pytestmark = needs_chromium
pytest.importorskip("mutagen", reason="mutagen is not installed")


@pytest.fixture(scope="module")
def jukebox(make_shared_site: Callable[..., Site], browser: Browser) -> Iterator[Jukebox]:
    jukebox = start(make_shared_site, browser)
    yield jukebox
    for context in jukebox.contexts:
        context.close()


@pytest.fixture(scope="module")
def host(jukebox: Jukebox) -> Page:
    """The page of the host on a desktop, where queue and music are side by side."""
    page = jukebox.page(f"login#token={jukebox.tokens['ada']}", DESKTOP)
    expect(page.get_by_role("button", name="Invite")).to_be_visible()
    return page


@pytest.fixture(scope="module")
def guests(jukebox: Jukebox) -> tuple[Page, Page]:
    """The phones of two guests, who have come by the same invitation."""
    address = jukebox.address_of(jukebox.invite())
    return join(jukebox, address, "Jürgen"), join(jukebox, address, "Ольга")


@pytest.fixture(scope="module")
def kiosk(jukebox: Jukebox) -> Page:
    """The screen in the room."""
    token = jukebox.tokens["screen"]
    return jukebox.page(f"login#token={token}&to=kiosk.html%23token={token}", DESKTOP)


@pytest.fixture(autouse=True)
def _tidy(jukebox: Jukebox) -> Iterator[None]:
    yield
    jukebox.clear()
    assert jukebox.errors == []


def test_link_logs_in_and_its_token_is_not_left_in_the_address_bar(
    jukebox: Jukebox, host: Page
) -> None:
    assert host.url == jukebox.site.url
    assert host.evaluate("history.length") == 2  # the empty tab, and the page: no link
    assert host.evaluate("document.cookie") == ""


def test_link_logs_in_where_the_tab_shows_the_form_already(jukebox: Jukebox) -> None:
    page = jukebox.page("login")
    page.goto(f"{jukebox.site.url}login#token=wrong")
    expect(page.get_by_role("alert")).to_have_text("The token is not valid.")
    assert page.url == f"{jukebox.site.url}login"
    page.goto(f"{jukebox.site.url}login#token={jukebox.tokens['ada']}")
    expect(page.get_by_role("button", name="Invite")).to_be_visible()
    page.close()


def test_link_replaces_no_login(jukebox: Jukebox, host: Page) -> None:
    link = jukebox.invite()["link"]
    host.goto(link)
    expect(host.get_by_role("button", name="Invite")).to_be_visible()
    assert host.url == jukebox.site.url
    host.goto(f"{jukebox.site.url}login#token=x&to=https://example.org/")
    expect(host.get_by_role("button", name="Invite")).to_be_visible()
    assert host.url == jukebox.site.url


@pytest.mark.parametrize("to", ["http://[", "//example.org/", "javascript:x", "blob:ORIGIN/x"])
def test_link_logs_in_wherever_it_leads(jukebox: Jukebox, to: str) -> None:
    to = to.replace("ORIGIN", jukebox.site.url.rstrip("/"))
    page = jukebox.page(f"login#token={jukebox.tokens['ada']}&to={to}")
    expect(page.get_by_role("button", name="Invite")).to_be_visible()
    assert page.url == jukebox.site.url


def test_guest_whose_login_fails_tries_again_without_another_name(jukebox: Jukebox) -> None:
    page = jukebox.page(jukebox.address_of(jukebox.invite()))
    page.get_by_label("Your name").fill("Unlucky")
    page.route("**/login", lambda route: route.abort())
    page.get_by_role("button", name="Join").click()
    expect(page.locator("#join").get_by_role("alert")).not_to_be_empty()
    page.unroute("**/login")
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("button", name="Unlucky")).to_be_visible()


def test_track_that_is_found_is_added_by_a_tap_and_plays(jukebox: Jukebox, host: Page) -> None:
    expect(host.get_by_text("The queue is empty.")).to_be_visible()
    add(host, "miles WHAT", "So What")
    expect(now(host)).to_have_text("So What")
    expect(host.locator("#announced")).to_have_text("Now playing: So What")
    add(host, "blue", "Blue in Green")
    expect(coming(host).locator("b")).to_have_text(["Blue in Green"])
    host.get_by_role("button", name="Skip").click()
    expect(now(host)).to_have_text("Blue in Green")
    host.get_by_role("button", name="Pause").click()
    expect(host.get_by_role("button", name="Resume")).to_be_visible()
    host.get_by_role("button", name="Resume").click()
    expect(host.get_by_role("button", name="Pause")).to_be_visible()


def test_track_without_a_title_has_the_name_of_its_file(jukebox: Jukebox, host: Page) -> None:
    jukebox.add("First", duration=45)
    args = {"source": "Dave Brubeck/Time Out/Take Five.wav"}
    jukebox.ask("queue", "add", type="track", args=args)
    expect(coming(host).locator("b")).to_have_text(["Take Five"])
    expect(coming(host)).to_contain_text("in 45 s")


def test_folders_lead_to_tracks_and_back(host: Page) -> None:
    folders = host.locator("#folders")
    folders.get_by_role("button", name="Miles Davis").click()
    folders.get_by_role("button", name="Kind of Blue").click()
    expect(folders.get_by_role("heading")).to_be_focused()
    expect(folders.locator(".tracks b")).to_have_text(["Blue in Green", "So What"])
    for name in ("Miles Davis", "Folders"):
        folders.get_by_role("button", name="Back").click()
        expect(folders.get_by_role("heading")).to_have_text(name)


def test_guests_take_turns_and_remove_only_what_is_theirs(
    jukebox: Jukebox, guests: tuple[Page, Page]
) -> None:
    one, two = guests
    for title in ("So What", "Blue in Green", "Take Five"):
        add(one, title, title)
    add(two, "five", "Take Five")
    view(one, "Queue")
    expect(coming(one).locator("b")).to_have_text(["Take Five", "Blue in Green", "Take Five"])
    foreign, own = coming(one).first, coming(one).nth(1)
    expect(foreign).to_contain_text("added by Ольга")
    expect(own).to_contain_text("added by you")
    expect(foreign.get_by_role("button", name="Remove")).to_be_hidden()
    uid = foreign.get_attribute("data-key")
    refused = one.evaluate(
        "uid => endpoints.queue.forceQuery({cmd: 'rm', args: {uids: [uid]}}).catch(String)", uid
    )
    assert "this token may only change its own modules" in refused
    own.get_by_role("button", name="Remove").focus()
    one.keyboard.press("Enter")
    expect(coming(one).locator("b")).to_have_text(["Take Five", "Take Five"])
    expect(coming(one).last.get_by_role("button", name="Remove")).to_be_focused()


def test_two_votes_skip_a_track_and_a_vote_can_be_taken_back(
    jukebox: Jukebox, host: Page, guests: tuple[Page, Page]
) -> None:
    jukebox.add("Long")
    jukebox.add("Unloved")
    one, two = guests
    for page in guests:
        view(page, "Queue")
    against = one.get_by_role("button", name="Vote against Unloved")
    against.click()
    expect(two.get_by_role("button", name="Vote against Unloved, 1 vote")).to_be_visible()
    expect(coming(host)).to_contain_text("1 vote to skip it")
    against.click()
    expect(against).to_have_attribute("aria-pressed", "false")
    for page in guests:
        page.get_by_role("button", name="Vote against Unloved").click()
    expect(coming(one)).to_have_count(0)
    one.get_by_role("button", name="Vote to skip").click()
    expect(two.get_by_role("button", name="Vote to skip")).to_contain_text("1 vote")
    two.get_by_role("button", name="Vote to skip").click()
    expect(now(one)).to_have_text("Nothing is playing")


def test_volume_moves_on_every_page(host: Page, guests: tuple[Page, Page]) -> None:
    view(guests[0], "Queue")
    volume = guests[0].get_by_label("Volume for everybody")
    volume.fill("20")
    expect(host.get_by_label("Volume for everybody")).to_have_value("20")
    host.get_by_role("button", name="Mute").click()
    expect(guests[0].get_by_role("button", name="Mute")).to_have_attribute("aria-pressed", "true")
    host.get_by_role("button", name="Mute").click()
    expect(volume).to_have_attribute("aria-valuetext", "20 %")


def test_what_was_played_plays_again_by_a_tap(jukebox: Jukebox, host: Page) -> None:
    for _ in range(2):
        jukebox.add("Take Five", source="Dave Brubeck/Time Out/Take Five.wav", duration=0.01)
    wait_until(lambda: not jukebox.ask("queue", "queue"), "both were played")
    view(host, "Played")
    favourite = host.get_by_role("region", name="Most played").get_by_role("button").first
    expect(favourite).to_contain_text("played 2 times")
    favourite.click()
    expect(now(host)).to_have_text("Take Five")
    host.get_by_role("region", name="Recently played").get_by_role("button").first.click()
    expect(host.locator("#said")).to_contain_text("is in the queue again")


def test_what_was_added_without_a_title_is_named_by_its_source(
    jukebox: Jukebox, host: Page
) -> None:
    source = "Dave Brubeck/Time Out/Take Five.wav"
    args = {"source": source, "duration": 0.01}
    jukebox.ask("queue", "add", type="track", args=args)
    wait_until(lambda: not jukebox.ask("queue", "queue"), "it was played")
    view(host, "Played")
    again = host.get_by_role("region", name="Recently played").get_by_role("button")
    again.filter(has_text=source).first.click()
    expect(host.locator("#said")).to_have_text(f"“{source}” is in the queue again")


def test_link_of_the_web_is_added_and_what_cannot_be_played_says_so(host: Page) -> None:
    view(host, "Music")
    host.get_by_label("Search for music").fill("http://127.0.0.1:9/a%20song.mp3?x")
    host.get_by_role("button", name="Add this link").click()
    expect(now(host)).to_have_text("a song.mp3")
    host.get_by_role("button", name="Skip").click()
    taps = host.get_by_role("region", name="Results").get_by_role("button", name="refused")
    host.get_by_label("Search for music").fill("refused")
    taps.click()
    expect(host.locator("#problem")).to_contain_text("There is no such file.")
    add(host, "unplayable", "unplayable")
    host.get_by_label("Position").fill("9")
    problem = "“unplayable” could not be played: Nothing in this file can be played."
    expect(host.locator("#problem")).to_have_text(problem)


def test_hostile_titles_are_shown_as_text(
    jukebox: Jukebox, host: Page, guests: tuple[Page, Page], kiosk: Page
) -> None:
    add(host, "onerror", HOSTILE)
    jukebox.add(HOSTILE, artist=HOSTILE, album=HOSTILE)
    view(guests[0], "Queue")
    for page in (host, guests[0]):
        expect(now(page)).to_have_text(HOSTILE)
        expect(coming(page).locator("b")).to_have_text([HOSTILE])
    expect(kiosk.locator("#title")).to_have_text(HOSTILE)
    for page in (host, guests[0], kiosk):
        assert page.locator("img[onerror]").count() == 0
        assert "hacked" not in page.title()


def test_invitation_that_is_over_says_so_in_one_line(jukebox: Jukebox) -> None:
    expired = jukebox.invite(minutes=0.0001)
    page = jukebox.page(jukebox.address_of(expired))
    alert = page.locator("#join").get_by_role("alert")
    expect(alert).to_have_text("This invitation has expired. Ask for a new one.")
    expect(page.get_by_label("Your name")).to_have_count(0)
    fresh = jukebox.invite()
    page.goto(f"{jukebox.site.url}{jukebox.address_of(fresh)}")  # the same phone can come again
    expect(page.get_by_label("Your name")).to_be_visible()
    jukebox.ask("guests", "withdraw", id=fresh["id"])
    page.get_by_label("Your name").fill("Too late")
    page.get_by_role("button", name="Join").click()
    expect(alert).to_have_text("This invitation was withdrawn. Ask for a new one.")


def test_host_invites_and_sends_away(jukebox: Jukebox, host: Page) -> None:
    pytest.importorskip("segno", reason="segno is not installed")
    host.get_by_role("button", name="Invite").click()
    people = host.get_by_role("dialog", name="People")
    people.get_by_role("spinbutton", name="Guests").fill("3")
    people.get_by_role("button", name="Make an invitation").click()
    invitation = people.locator(".invitation").first
    expect(invitation).to_contain_text("0 of 3 guests")
    expect(invitation.get_by_role("img")).to_have_js_property("complete", True)
    assert invitation.get_by_role("img").evaluate("image => image.naturalWidth") > 100
    link = invitation.locator(".link").inner_text()
    page = join(jukebox, link.removeprefix(jukebox.site.url), "Eve")
    expect(invitation).to_contain_text("1 of 3 guests")  # the dialog is still open
    people.get_by_role("button", name="Send Eve away").click()
    expect(people.get_by_role("button", name="Send Eve away")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()
    host.keyboard.press("Escape")


def test_screen_shows_what_comes_and_recovers_from_a_restart(
    jukebox: Jukebox, host: Page, kiosk: Page
) -> None:
    for number in range(7):
        jukebox.add(f"Track {number}")
    expect(kiosk.locator("#title")).to_have_text("Track 0")
    expect(kiosk.locator("li b")).to_have_text([f"Track {number}" for number in range(1, 6)])
    jukebox.site.stop("queue")
    expect(kiosk.locator("#state")).to_have_text("Not connected. Trying again…")
    expect(host.locator("#banner")).to_contain_text("The queue is not running.")
    jukebox.site.start("queue")
    expect(kiosk.locator("#state")).to_be_empty()
    expect(host.locator("#banner")).to_be_empty()
    first = jukebox.ask("queue", "queue")[0]["uid"]
    jukebox.ask("queue", "rm", uids=[first])
    expect(kiosk.locator("#title")).to_have_text("Track 1")
    expect(now(host)).to_have_text("Track 1")


def test_screen_shows_a_code_that_leads_phones_to_the_jukebox(
    jukebox: Jukebox, kiosk: Page
) -> None:
    pytest.importorskip("segno", reason="segno is not installed")
    jukebox.invite(on_screen=True)
    kiosk.reload()
    expect(kiosk.locator("#join")).to_contain_text("No code: “app.url” in the settings must be")
    expect(kiosk.get_by_role("img", name="QR code to join")).to_be_hidden()
    settings = {**jukebox.site.settings, "app": {"url": "http://jukebox.example:8080"}}
    jukebox.site.settings_file.write_text(json.dumps(settings))
    jukebox.site.stop("guests")
    jukebox.site.start("guests")
    for each in jukebox.ask("guests", "invitations", base=jukebox.site.url):
        jukebox.ask("guests", "withdraw", id=each["id"])
    assert jukebox.ask("guests", "screen", base=jukebox.site.url) is None
    jukebox.invite(on_screen=True)
    shown = jukebox.ask("guests", "screen", jukebox.tokens["screen"], base=jukebox.site.url)
    assert shown["link"].startswith("http://jukebox.example:8080/login#token=")
    kiosk.reload()
    expect(kiosk.get_by_role("img", name="QR code to join")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_and_phones_need_no_scrolling_to_the_side(
    jukebox: Jukebox, host: Page, guests: tuple[Page, Page], kiosk: Page, theme: Any
) -> None:
    jukebox.add("x" * 300, artist="A long name " * 20)
    jukebox.add("A title of many words " * 10, artist="y" * 300)
    joining = jukebox.page(jukebox.address_of(jukebox.invite()))
    expect(joining.get_by_label("Your name")).to_be_visible()
    pages = [guests[0], host, kiosk, joining]
    for page in pages:
        page.emulate_media(color_scheme=theme)
    expect(kiosk.locator("li")).to_have_count(1)
    for name in ("Queue", "Music", "Played"):
        view(guests[0], name)
        expect(guests[0].locator(".view:visible")).to_have_count(1)
        expect(guests[0].locator(".view:visible .track:visible").first).to_be_visible()
        check(guests[0])
    view(host, "Music")
    expect(coming(host)).to_have_count(1)
    host.get_by_role("button", name="Invite").click()
    expect(host.locator(".invitation").first).to_be_visible()
    for page in pages[1:]:
        check(page)
    host.keyboard.press("Escape")
    check(host)
