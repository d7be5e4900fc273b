"""Who plays and when, in the console: what items wait for, the toolbar, and schedules.

The tests take the part of the service, except those at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chromium import needs_chromium
from console import add_countdowns, open_details, rows, service
from playwright.sync_api import Locator, Page, expect
from support import Client, Site, wait_until

pytestmark = needs_chromium

#: Parts of the console with a service that notes what it is sent.
PARTS = """async () => {
  window.sent = [];
  const place = document.createElement("section");
  place.id = "parts";
  place.className = "service";
  const heading = document.createElement("h2");
  heading.tabIndex = -1;
  place.append(heading);
  document.getElementById("services").prepend(place);
  window.perform = async (cmd, args, announcement) => Boolean(sent.push([cmd, args, announcement]));
  window.put = (part) => place.append(part.element);
}"""

ROSTER = """async (commands) => {
  const { Roster } = await import("./console/roster.js");
  const { perform } = window;
  const tools = {
    perform,
    offers: (cmd) => commands.includes(cmd),
    move: () => roster.isMovable ? (row, place) => roster.move(row, place) : null,
    count: () => roster.rows.length,
  };
  const act = () => {};
  window.roster = new Roster("roster",
    { actions: { up: act, down: act, remove: act }, tools, tell: "tell", ask: async () => [] },
    (uids, announcement) => perform("mv", { uids }, announcement));
  window.say = (...modules) => roster.show(modules.map((each, number) => (
    { uid: `${number}`.repeat(8), type: "job", state: "waiting", parameters: {}, ...each })));
  put(roster);
}"""

TOOLBAR = """async (commands) => {
  const { Toolbar } = await import("./console/toolbar.js");
  window.toolbar = new Toolbar("queue", perform);
  window.state = (more) => toolbar.show({ modules: [], background: null, ...more });
  toolbar.offer(Object.fromEntries(commands.map((cmd) => [cmd, {}])));
  put(toolbar);
}"""

SCHEDULES = """async ({ commands, types }) => {
  const { Schedules } = await import("./console/schedules.js");
  window.scheduled = [];
  const ask = async (cmd, args) => {
    if (cmd === "schedules") return scheduled;
    sent.push([cmd, args]);
  };
  window.schedules = new Schedules("queue", {
    ask, perform, describe: (type) => types[type] || {}, command: (cmd) => commands[cmd] || {} });
  schedules.form.setNames(Object.keys(types));
  schedules.element.hidden = false;
  put(schedules);
}"""


@pytest.fixture
def parts(first_page: Page) -> Iterator[Locator]:
    first_page.evaluate(PARTS)
    yield first_page.locator("#parts")
    first_page.evaluate("document.getElementById('parts').remove()")


def sent(page: Page) -> list[list[Any]]:
    """What the parts have sent since it was asked last."""
    return page.evaluate("window.sent.splice(0)")


# Items


def test_row_says_what_its_item_waits_for_and_with_which_terms(parts: Locator) -> None:
    page = parts.page
    page.evaluate(ROSTER, [])
    page.evaluate(
        """say(
            { waits: "needs gpu 1, used by sd 3f2a91c0", priority: 2.5, ups: 1, skips: 2 },
            { after: ["a", "b"], batch: "night", expires: "2031-03-01T08:00:30Z" },
            { window: { from: "08:00", to: "18:30", days: ["mon", "tue"], tz: "Europe/Berlin" } },
            { restarts: 2, next_attempt_at: Date.now() / 1000 + 60, schedule: "3f2a91c0-1" },
            { not_before: "2001-01-01T08:00:00Z" })"""
    )
    rows = parts.get_by_role("listitem")
    expect(rows.nth(0).locator(".waits")).to_have_text("waits: needs gpu 1, used by sd 3f2a91c0")
    expect(rows.nth(0).locator(".terms")).to_have_text("priority 2.5 · 1 vote · 2 votes to skip")
    expect(rows.nth(1).locator(".terms")).to_contain_text("2031")
    expect(rows.nth(1).locator(".terms")).to_contain_text("after 2 others · batch night")
    expect(rows.nth(2).locator(".terms")).to_have_text(
        "plays 08:00 to 18:30, mon, tue (Europe/Berlin)"
    )
    for text in ("of schedule 3f2a91c0", "restarted 2 times", "starts again at"):
        expect(rows.nth(3).locator(".terms")).to_contain_text(text)
    expect(rows.nth(4).locator(".terms")).to_be_hidden()  # what is over says nothing
    expect(rows.nth(4).locator(".waits")).to_have_text("waits for its turn")


def test_row_says_when_its_turn_comes_until_it_plays(parts: Locator) -> None:
    page = parts.page
    page.evaluate(ROSTER, [])
    page.evaluate("say({ priority: 3 })")
    terms = parts.locator(".terms")
    page.evaluate("roster.rows[0].setTurn({ place: 2, estimate: 200.4 })")
    expect(terms).to_have_text("place 2 in line · in about 3 min 20 s · priority 3")
    page.evaluate("roster.rows[0].setTurn({ place: 1 })")
    expect(terms).to_have_text("next in line · priority 3")
    page.evaluate("say({ priority: 3, state: 'playing' })")
    expect(terms).to_have_text("priority 3")


@pytest.mark.parametrize(
    ("role", "parameters", "estimates"),
    [
        ("time", {"left": 57}, [57, 87]),
        ("time", {"position": 40, "duration": 100}, [60, 90]),
        (None, {"left": 57}, [None, None]),  # of which it may not be said that these are seconds
        (None, {"left": 4}, [18, 48]),
        ("time", {}, [18, 48]),
    ],
)
def test_estimates_do_not_contradict_what_the_item_that_plays_reports(
    first_page: Page, role: str | None, parameters: dict[str, int], estimates: list[int | None]
) -> None:
    modules = [
        {"uid": "a", "type": "timer", "state": "playing"},
        {"uid": "b", "type": "timer", "state": "waiting", "place": 1, "estimate": 18},
        {"uid": "c", "type": "timer", "state": "waiting", "place": 2, "estimate": 48},
    ]
    described = {name: {"role": role} for name in ("left", "position", "duration")}
    found = first_page.evaluate(
        """async ([modules, described, reported]) => {
            const { Board } = await import("./console/board.js");
            const shown = [];
            const rows = modules.map(({ uid, type }, index) => ({
              uid,
              module: { uid, type, parameters: index ? {} : reported },
              setTurn: ({ estimate = null }) => shown.push(estimate),
            }));
            const describe = () => ({ parameters: described });
            const board = { kind: "queue", describe, roster: { rows } };
            Board.prototype.showTurns.call(board, modules);
            return shown.slice(1);
        }""",
        [modules, described, parameters],
    )
    assert found == estimates


def test_rows_can_be_moved_only_where_the_service_offers_it(parts: Locator) -> None:
    page = parts.page
    page.evaluate(ROSTER, [])
    page.evaluate("say({}, {})")
    expect(parts.get_by_role("button", name="Remove job")).to_have_count(2)
    expect(parts.get_by_role("button", name="Move up job")).to_have_count(0)
    page.evaluate("roster.setMovable(true)")
    up, down = (parts.get_by_role("button", name=f"Move {way} job") for way in ("up", "down"))
    expect(up.first).to_have_attribute("aria-disabled", "true")
    expect(down.last).to_have_attribute("aria-disabled", "true")
    expect(parts.locator(".grip")).to_have_count(2)
    page.evaluate("roster.setMovable(false)")
    expect(up).to_have_count(0)
    expect(parts.locator(".grip").first).to_be_hidden()


def test_item_is_held_released_skipped_and_moved_with_its_tools(parts: Locator) -> None:
    page = parts.page
    page.evaluate(ROSTER, ["hold", "release", "skip"])
    page.evaluate("say({ state: 'playing', label: 'Tea' }, {}, {}); roster.setMovable(true)")
    row = parts.get_by_role("listitem").first
    open_details(row)
    tools = row.locator(".tools")
    expect(tools.get_by_role("button", name="Vote")).to_have_count(0)  # is not offered
    tools.get_by_role("button", name="Skip Tea").click()
    tools.get_by_role("button", name="Hold Tea").click()
    assert sent(page) == [
        ["skip", {"uid": "00000000"}, "Tea skipped"],
        ["hold", {"uids": ["00000000"]}, "Tea held"],
    ]
    page.evaluate("say({ state: 'suspended', held: 'was held', label: 'Tea' }, {}, {})")
    release = tools.get_by_role("button", name="Release Tea")
    expect(release).to_be_focused()  # which has taken the place of "Hold"
    page.keyboard.press("Enter")
    expect(tools.get_by_role("button", name="Skip")).to_have_count(0)
    tools.get_by_label("Place").fill("9")
    page.keyboard.press("Enter")
    assert sent(page) == [
        ["release", {"uids": ["00000000"]}, "Tea released"],
        ["mv", {"uids": ["11111111", "22222222", "00000000"]}, "Tea is now 3 of 3"],
    ]


# The whole service


def test_toolbar_has_only_what_the_service_offers(parts: Locator) -> None:
    page = parts.page
    page.evaluate(TOOLBAR, [])
    expect(parts.locator(".toolbar")).to_be_hidden()
    page.evaluate("toolbar.offer({ pause: {}, resume: {}, skip: {} })")
    assert parts.get_by_role("button").all_inner_texts() == ["Pause", "Pause after this", "Skip"]
    expect(parts.get_by_label("Repeat")).to_be_hidden()


def test_service_is_paused_and_resumed(parts: Locator) -> None:
    page = parts.page
    page.evaluate(TOOLBAR, ["pause", "resume"])
    parts.get_by_role("button", name="Pause", exact=True).dblclick()  # the second is not meant
    parts.get_by_role("button", name="Pause after this").click()
    assert [each[:2] for each in sent(page)] == [["pause", {"suspend": True}], ["pause", {}]]
    page.evaluate("state({ paused: { suspend: false } })")
    expect(parts.get_by_role("status")).to_contain_text("nothing new begins")
    page.evaluate("state({ paused: { suspend: true } })")
    expect(parts.get_by_role("status")).to_have_text("Paused.")
    parts.get_by_role("button", name="Resume").click()
    assert [each[:2] for each in sent(page)] == [["resume", {}]]
    page.evaluate("state({ paused: null })")
    expect(parts.get_by_role("status")).to_be_hidden()


def test_clear_asks_first_and_a_second_key_cancels(parts: Locator) -> None:
    page = parts.page
    page.evaluate(TOOLBAR, ["clear", "history"])
    page.evaluate("state({ modules: [{ state: 'playing' }, { state: 'waiting' }, {}] })")
    clear = parts.get_by_role("button", name="Clear…")
    clear.focus()
    page.keyboard.press("Enter")
    question = parts.get_by_role("group", name="Remove all that wait (2)?")
    expect(question).to_contain_text("each can be added again")
    page.keyboard.press("Enter")
    expect(question).to_be_hidden()
    expect(clear).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert sent(page) == []
    page.keyboard.press("Enter")
    question.get_by_role("button", name="Remove them").click()
    assert sent(page) == [["clear", {}, "all that waited are removed"]]
    expect(clear).to_be_focused()


# Schedules

DESCRIBED: dict[str, Any] = {
    "commands": {
        "schedule": {
            "args": {
                "properties": {
                    "type": {"type": "string"},
                    "args": {"type": "object", "default": {}},
                    "tz": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
                    "cron": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
                    "missed": {"type": "string", "enum": ["skip", "once"], "default": "skip"},
                    "id": {"type": "string"},
                },
                "required": ["type"],
            }
        }
    },
    "types": {
        "slide": {"args": {"properties": {"text": {"$ref": "#/$defs/Text"}}, "required": ["text"]}},
        "other": {},
    },
}
DESCRIBED["types"]["slide"]["args"]["$defs"] = {"Text": {"type": "string"}}


def test_schedules_show_their_next_times_and_can_be_removed(parts: Locator) -> None:
    page = parts.page
    page.evaluate(SCHEDULES, DESCRIBED)
    page.evaluate(
        """(next) => scheduled.push({
            id: "news", type: "slide", args: { title: "News" }, cron: "0 8 * * mon",
            tz: "Asia/Tokyo", missed: "once", overlap: "skip", by: "ada", next,
            last: { time: "2027-02-22T08:00:00+09:00", uid: "3f2a91c0-1" },
          }, {
            id: "2", type: "slide", label: "Tea", every: 5400, missed: "skip", overlap: "queue",
            by: null, next: [], problem: "unknown module type 'slide'",
          })""",
        [f"2027-03-{day:02}T08:00:00+09:00" for day in (1, 8, 15, 22, 29)],
    )
    page.evaluate("schedules.refresh()")
    summary = parts.get_by_text("Schedules (2)")
    summary.click()
    expect(parts.locator(".schedule")).to_have_count(2)
    first, second = parts.locator(".schedule").all()
    expect(first.locator(".rule")).to_have_text(
        "cron 0 8 * * mon (Asia/Tokyo) · missed: once · by ada"
    )
    times = first.locator(".next time")
    expect(times).to_have_count(5)
    expect(times.first).to_contain_text("8:00")  # by the clocks of Tokyo
    expect(times.first).to_have_attribute("datetime", "2027-03-01T08:00:00+09:00")
    expect(first.locator(".last")).to_contain_text("added 3f2a91c0")
    expect(second.locator(".title")).to_have_text("Tea")
    expect(second.locator(".rule")).to_have_text("every 1 h 30 min · overlap: queue")
    expect(second.locator(".problem")).to_have_text("unknown module type 'slide'")
    first.get_by_role("button", name="Remove the schedule of News").click()
    expect(first.get_by_role("group")).to_contain_text("What it has added stays.")
    assert sent(page) == []
    page.evaluate("scheduled.shift()")
    first.get_by_role("button", name="Remove", exact=True).click()
    expect(parts.locator(".schedule")).to_have_count(1)
    assert sent(page) == [["unschedule", {"id": "news"}, "schedule of News removed"]]


def test_form_asks_for_the_arguments_of_the_type_and_for_times(parts: Locator) -> None:
    page = parts.page
    page.evaluate(SCHEDULES, DESCRIBED)
    parts.get_by_text("Schedules").first.click()
    parts.get_by_text("New schedule").click()
    form = parts.get_by_role("form", name="Schedule in queue")
    form.get_by_label("Type").select_option("slide")
    form.get_by_label("text").fill("Soup")
    form.get_by_label("cron").fill("0 11 * * *")
    form.get_by_role("button", name="Schedule").click()
    wanted = {"type": "slide", "args": {"text": "Soup"}, "cron": "0 11 * * *", "missed": "skip"}
    assert sent(page) == [["schedule", wanted]]
    form.get_by_label("Type").select_option("other")
    form.get_by_role("textbox", name="Arguments").fill('{"n": 1}')
    form.get_by_role("button", name="Schedule").click()
    assert sent(page)[0][1] == {"type": "other", "args": {"n": 1}, "missed": "skip"}


# A real service


def test_queue_is_paused_repeated_and_cleared_and_others_see_it(
    site: Site, first_page: Page
) -> None:
    queue = Client(site, "queue")
    playing, _ = add_countdowns(site, first_page, 2)
    part = service(first_page, "queue")
    part.get_by_role("button", name="Pause", exact=True).click()
    expect(rows(first_page).first.locator(".state")).to_have_text("suspended")
    expect(part.locator(".paused")).to_have_text("Paused.")
    assert queue("status")["paused"] == {"suspend": True}
    queue("resume")
    expect(rows(first_page).first.locator(".state")).to_have_text("playing")
    expect(part.locator(".paused")).to_be_hidden()
    part.get_by_label("Repeat").select_option("all")
    wait_until(lambda: queue("status")["repeat"] == "all", "it repeats")
    queue("repeat", mode="off")
    expect(part.get_by_label("Repeat")).to_have_value("off")
    part.get_by_role("button", name="Clear…").click()
    part.get_by_role("button", name="Remove them").click()
    expect(rows(first_page)).to_have_count(1)
    assert queue.uids() == [playing]
    part.get_by_role("button", name="Skip").click()
    expect(rows(first_page)).to_have_count(0)
    pool = service(first_page, "pool").locator(".toolbar")
    expect(pool.get_by_role("button", name="Shuffle")).to_have_count(0)  # all of them play
    expect(pool.get_by_label("Repeat")).to_be_hidden()
