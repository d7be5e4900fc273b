"""Lists of the console: lines, details, filters, removal and undo, output, navigation."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from accessibility import violations
from chromium import needs_chromium
from console import (
    add_countdowns,
    form_of,
    open_details,
    page_without_services,
    rows,
    service,
    shown_uids,
    stop,
    stop_waiting_for_starts,
    unfold,
)
from playwright.sync_api import Browser, Locator, Page, expect
from support import Client, Site, child, wait_until

pytestmark = needs_chromium

#: A queue in place of the services, with items that the test shows by `say`.
LIST = """async () => {
  const { Roster } = await import("./console/roster.js");
  const { Filter } = await import("./console/filter.js");
  const act = () => {};
  window.roster = new Roster("roster", {
    actions: { up: act, down: act, remove: act }, tell: "tell_module", ask: async () => [],
    describe: (type) => type === "film" ? { parameters: { now: { role: "status" } } } : {},
  }, async () => true);
  roster.setMovable(true);
  window.filter = new Filter("Filter queue", (words) => {
    roster.filter(words);
    filter.count(roster.fitting, roster.rows.length);
  });
  window.say = (...modules) => {
    roster.show(modules.map((each, number) => (
      { uid: `${number}`.repeat(8), type: "job", state: "waiting", parameters: {}, ...each })));
    filter.count(roster.fitting, roster.rows.length);
  };
  const place = document.createElement("section");
  place.className = "service";
  const heading = document.createElement("h2");
  heading.textContent = "queue";
  place.append(heading, filter.element, roster.element);
  document.getElementById("services").replaceChildren(place);
}"""

#: One item for each state that people can see.
STATES = [
    {"state": "playing", "label": "Metropolis", "parameters": {"progress": 0.4, "left": 12}},
    {"state": "suspended", "label": "Faust"},
    {"state": "waiting", "label": "Sunrise", "waits": "needs gpu 1, used by sd 3f2a91c0"},
    {"state": "held", "held": "held by a client"},
    {"state": "starting"},
    {"state": "starting", "next_attempt_at": 4e9, "restarts": 2},
    {"state": "ending"},
]


@pytest.fixture(scope="module")
def lone_page(browser: Browser, make_shared_site: Callable[..., Site]) -> Iterator[Page]:
    size = {"width": 1280, "height": 800}
    yield from page_without_services(browser, make_shared_site, viewport=size)


@pytest.fixture
def lines(lone_page: Page) -> Iterator[Locator]:
    """The lines of a list that has no items yet."""
    lone_page.evaluate(LIST)
    yield lone_page.locator(".module")
    lone_page.emulate_media(color_scheme="null")
    lone_page.evaluate("localStorage.clear()")


# Lines and details


def test_each_item_is_one_line_whose_height_no_update_changes(lines: Locator) -> None:
    page = lines.page
    page.evaluate("say(...Array(60).fill({ state: 'playing' }))")
    expect(lines).to_have_count(60)
    height = "() => document.querySelector('.modules').getBoundingClientRect().height"
    before = page.evaluate(height)
    assert before <= 60 * 26
    long = {"label": "word " * 50, "waits": "for ever " * 50, "by": "ada", "priority": 3}
    page.evaluate(
        "long => say(...Array(60).fill({ ...long, parameters: { progress: 0.5, now: 'x' } }))",
        long,
    )
    expect(lines.last.locator("progress")).to_have_js_property("value", 0.5)
    assert page.evaluate(height) == before


def test_details_open_by_keyboard_and_stay_open_over_updates(site: Site, first_page: Page) -> None:
    add_countdowns(site, first_page, 2)
    row = rows(first_page).first
    expect(row.locator(".details")).to_have_count(0)  # they are made when they are opened
    row.locator(".toggle").focus()
    first_page.keyboard.press("Enter")
    expect(row.locator(".toggle")).to_have_attribute("aria-expanded", "true")
    left = row.locator(".parameters > div", has=first_page.get_by_text("left")).locator("dd")
    before = left.inner_text()
    expect(left).not_to_have_text(before)
    site.ask("queue", "add", type="countdown", args={"seconds": 1000})
    expect(rows(first_page)).to_have_count(3)
    expect(row.locator(".details")).to_be_visible()
    expect(row.locator(".toggle")).to_be_focused()
    first_page.keyboard.press("Enter")
    expect(row.locator(".details")).to_be_hidden()
    row.locator(".title").click()
    expect(row.locator(".details")).to_be_visible()


def test_every_state_has_a_word_an_icon_and_a_reason(lines: Locator) -> None:
    page = lines.page
    page.evaluate("states => say(...states)", STATES)
    words = ["playing", "suspended", "waiting", "held", "starting", "restarting", "ending"]
    expect(lines.locator(".state")).to_have_text(words)
    icons = page.evaluate(
        "() => [...document.querySelectorAll('.state use')].map(use =>"
        " document.querySelector(use.getAttribute('href')).tagName)"
    )
    assert icons == ["symbol"] * len(words)
    reasons = lines.locator(".waits").all_inner_texts()
    assert reasons[:5] == [
        "",
        "waits for its turn",
        "waits: needs gpu 1, used by sd 3f2a91c0",
        "held by a client until it is released",
        "its process is starting",
    ]
    assert reasons[5].startswith("failed, starts again at ")
    page.evaluate("roster.setPaused(true)")
    expect(lines.nth(1).locator(".waits")).to_have_text("waits: everything is paused")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_states_and_outcomes_have_enough_contrast(lines: Locator, theme: Any) -> None:
    page = lines.page
    page.emulate_media(color_scheme=theme)
    page.evaluate("states => say(...states)", STATES)
    page.evaluate(
        """async () => {
            const { PastItem } = await import("./console/past.js");
            const list = document.createElement("ol");
            for (const state of ["done", "failed", "removed", "lost"])
                list.append(new PastItem({ uid: "1", type: "film", state, reason: "because",
                    ended: "2026-11-24T13:37:00.123Z", seconds: 3 }).element);
            document.querySelector(".service").append(list);
        }"""
    )
    expect(page.locator(".outcome")).to_have_text(["done", "failed", "removed", "lost"])
    assert violations(page, "main") == []


# Filters


def test_filter_looks_at_label_type_owner_and_state_and_counts(lines: Locator) -> None:
    page = lines.page
    page.evaluate(
        """say({ label: "Tea", by: "ada" }, { type: "film", by: "bob", state: "playing" },
               { label: "Coffee" })"""
    )
    box = page.get_by_role("searchbox", name="Filter queue")
    count = page.locator(".filter output")
    for typed, places in (("TEA", [0]), ("film", [1]), ("bob", [1]), ("waiting", [0, 2])):
        box.fill(typed)
        expect(lines.filter(visible=True)).to_have_count(len(places))
        for place in places:
            expect(lines.nth(place)).to_be_visible()
        expect(count).to_have_text(f"{len(places)} of 3")
    expect(lines.first.get_by_role("button", name="Move up")).to_have_count(0)
    box.fill("ada waiting")
    expect(lines.filter(visible=True)).to_have_count(1)
    # What is added or changed meanwhile is filtered, too.
    page.evaluate("say({ label: 'Tea', by: 'ada' }, {}, {}, { by: 'ada' }, { by: 'carl' })")
    expect(count).to_have_text("2 of 5")
    page.evaluate("say({ label: 'Tea', by: 'ada', state: 'playing' })")
    expect(count).to_have_text("0 of 1")
    box.press("Escape")
    expect(box).to_have_value("")
    expect(lines.filter(visible=True)).to_have_count(1)
    expect(count).to_be_hidden()
    expect(lines.first.get_by_role("button", name="Move up")).to_have_count(1)


# Adding


def test_options_of_an_item_are_those_that_the_service_describes(
    site: Site, first_page: Page
) -> None:
    first, second = add_countdowns(site, first_page, 2)
    form = form_of(first_page, "queue")
    form.get_by_label("Type").select_option("countdown")
    form.get_by_role("button", name="More options").click()
    names = form.locator(".options .field").evaluate_all(
        "all => all.map(each => each.dataset.name)"
    )
    wanted = ["label", "priority", "at", "not_before", "expires", "after", "batch", "window"]
    assert names == wanted
    form.get_by_label("Label").fill("Tea")
    form.get_by_label("Place").fill("2")
    form.get_by_role("button", name="Add", exact=True).click()
    expect(rows(first_page).nth(1).get_by_role("heading")).to_have_text("Tea")
    uid = site.ask("queue", "queue")[1]["uid"]
    assert Client(site, "queue").uids() == [first, uid, second]
    expect(form.get_by_label("Label")).to_have_value("")  # the next one is not called Tea, too
    form.get_by_label("Expires").fill("2001-01-01T08:00:00")
    form.get_by_role("button", name="Add", exact=True).click()
    expires = form.locator(".options .field[data-name=expires]")
    expect(expires.locator(".error")).to_have_text("is in the past")
    form.get_by_role("button", name="Fewer options").click()
    form.get_by_role("button", name="Add", exact=True).click()
    expect(rows(first_page)).to_have_count(4)


def test_item_can_be_added_after_others_that_are_chosen_by_their_labels(
    site: Site, first_page: Page
) -> None:
    first, _ = add_countdowns(site, first_page, 2)
    form = form_of(first_page, "queue")
    form.get_by_label("Type").select_option("countdown")
    form.get_by_role("button", name="More options").click()
    form.get_by_label(f"countdown, 1000 s ({first[:8]})").check()
    form.get_by_role("button", name="Add", exact=True).click()
    expect(rows(first_page)).to_have_count(3)
    assert site.ask("queue", "queue")[2]["after"] == [first]
    form.get_by_role("button", name="Fewer options").click()


def test_form_stays_in_view_below_a_long_list(site: Site, first_page: Page) -> None:
    add_countdowns(site, first_page, 6)
    first_page.set_viewport_size({"width": 1280, "height": 360})
    first_page.evaluate("scrollTo(0, 0)")
    expect(
        form_of(first_page, "queue").get_by_role("button", name="Add", exact=True)
    ).to_be_in_viewport()
    first = rows(first_page).first
    end = first.evaluate("row => Math.ceil(row.getBoundingClientRect().bottom)")
    first_page.set_viewport_size({"width": 1280, "height": end})
    at = "each => each.contains(document.elementFromPoint(200, innerHeight - 8))"
    assert first.evaluate(at)  # not covered where only the beginning of the list is in view
    first_page.set_viewport_size({"width": 1280, "height": 720})


def test_button_that_closes_the_form_on_a_phone_is_unlike_the_one_that_adds(
    first_page: Page,
) -> None:
    first_page.set_viewport_size({"width": 360, "height": 740})
    part = service(first_page, "queue")
    opens = part.get_by_role("button", name="Add to queue")
    if opens.count():
        opens.click()
    close = part.get_by_role("button", name="Close the form of queue")
    look = "each => [getComputedStyle(each).backgroundColor, each.offsetHeight]"
    closing, adding = close.evaluate(look), part.locator(".adder .send").evaluate(look)
    first_page.set_viewport_size({"width": 1280, "height": 720})
    assert closing[0] != adding[0]
    assert closing[1] == adding[1]


# Removing, and taking that back

#: Sets for how many milliseconds "Undo" is offered.
UNDO_TIME = """async (time) => {
  (await import("./console/removal.js")).Removals.undoTime = time;
}"""


@pytest.fixture
def patient(first_page: Page) -> Iterator[Page]:
    """The console, which offers to take a removal back for as long as a test takes."""
    first_page.evaluate(UNDO_TIME, 600_000)
    yield first_page
    first_page.evaluate(UNDO_TIME, 1)


def test_removal_of_what_waits_can_be_taken_back(site: Site, patient: Page) -> None:
    uids = add_countdowns(site, patient, 3)
    row = rows(patient).nth(1)
    row.get_by_role("button", name="Remove").click()
    expect(row).to_contain_text("Removed")
    expect(patient.locator("#announcer")).to_contain_text("Control+Z brings it back")
    assert Client(site, "queue").uids() == uids
    row.get_by_role("button", name="Undo").click()
    expect(row.get_by_role("button", name="Undo")).to_have_count(0)
    rows(patient).nth(2).get_by_role("button", name="Remove").focus()
    patient.keyboard.press("Enter")
    expect(rows(patient).nth(2)).to_have_attribute("data-leaving", "")
    patient.keyboard.press("Control+z")
    expect(rows(patient).nth(2)).not_to_have_attribute("data-leaving", "")
    assert Client(site, "queue").uids() == shown_uids(patient) == uids


def test_removal_is_sent_when_its_time_is_over(site: Site, first_page: Page) -> None:
    first, _ = add_countdowns(site, first_page, 2)
    first_page.evaluate(UNDO_TIME, 1)
    rows(first_page).nth(1).get_by_role("button", name="Remove").click()
    expect(rows(first_page)).to_have_count(1)
    assert Client(site, "queue").uids() == [first]


def test_removal_is_sent_at_once_when_the_item_begins_to_play(site: Site, patient: Page) -> None:
    first, _ = add_countdowns(site, patient, 2)
    rows(patient).nth(1).get_by_role("button", name="Remove").click()
    site.ask("queue", "rm", uids=[first])
    wait_until(lambda: Client(site, "queue").uids() == [], "both are removed")


def test_removal_is_sent_when_the_user_leaves_the_page(site: Site, patient: Page) -> None:
    first, _ = add_countdowns(site, patient, 2)
    rows(patient).nth(1).get_by_role("button", name="Remove").click()
    patient.goto("about:blank")
    wait_until(lambda: Client(site, "queue").uids() == [first], "the second one is removed")
    patient.goto(site.url)
    expect(rows(patient)).to_have_count(1)


def test_refused_removal_brings_the_row_back_with_the_reason(site: Site, first_page: Page) -> None:
    add_countdowns(site, first_page, 2)
    first_page.evaluate(UNDO_TIME, 1)
    refusal = json.dumps([{"success": False, "error": "not today"}])

    def refuse(route: Any) -> None:
        if '"rm"' in (route.request.post_data or ""):
            route.fulfill(body=refusal, content_type="application/json")
        else:
            route.continue_()

    first_page.route("**/queue", refuse)
    row = rows(first_page).nth(1)
    row.get_by_role("button", name="Remove").click()
    expect(service(first_page, "queue").get_by_role("alert").first).to_have_text("not today")
    expect(row).not_to_have_attribute("data-leaving", "")
    expect(row.get_by_role("button", name="Remove")).to_be_visible()


def test_rows_are_back_if_the_removal_fails_when_the_page_is_hidden(
    site: Site, patient: Page
) -> None:
    uids = add_countdowns(site, patient, 3)

    def refuse(route: Any) -> None:
        if '"rm"' in (route.request.post_data or ""):
            route.fulfill(json={"success": False, "error": "not today"})
        else:
            route.continue_()

    patient.route("**/queue", refuse)
    for row in rows(patient).all()[1:]:
        row.get_by_role("button", name="Remove").click()
    patient.evaluate("dispatchEvent(new Event('pagehide'))")
    expect(patient.locator("#announcer")).to_have_text("2 items were not removed")
    for row in rows(patient).all():
        expect(row).not_to_have_attribute("data-leaving", "")
    patient.unroute("**/queue")
    rows(patient).nth(1).get_by_role("button", name="Remove").click()
    patient.evaluate("dispatchEvent(new Event('pagehide'))")
    expect(rows(patient)).to_have_count(2)
    assert Client(site, "queue").uids() == [uids[0], uids[2]]


def test_page_asks_before_it_stops_what_runs(site: Site, first_page: Page) -> None:
    (uid,) = add_countdowns(site, first_page, 1)
    row = rows(first_page).first
    row.get_by_role("button", name="Stop countdown").click()
    question = row.get_by_role("group", name="Stop countdown, 1000 s?")
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    first_page.keyboard.press("Enter")
    expect(question).to_be_hidden()
    assert Client(site, "queue").uids() == [uid]
    stop(first_page, row)
    expect(rows(first_page)).to_have_count(0)


# Output

OUTPUT = """async () => {
  const { Output } = await import("./console/output.js");
  window.all = Array.from({ length: 1500 }, (_, i) => `line ${i}`);
  window.partial = "";
  const ask = async (cmd, { since = 0, limit, grep }) => {
    const lines = [...all, ...partial ? [partial] : []];
    if (cmd === "output") return lines.filter((each) => !grep || each.includes(grep)).slice(-limit);
    const first = Math.max(since, all.length - 1000);
    return { lines: all.slice(first), missed: first - since, next: all.length, end: null };
  };
  navigator.clipboard.writeText = async (text) => { window.copied = text; };
  window.output = new Output("0", "Tea", ask);
  document.querySelector(".service").append(output.element);
  output.open();
}"""


@pytest.fixture
def output(lines: Locator) -> Iterator[Locator]:
    lines.page.evaluate(OUTPUT)
    yield lines.page.get_by_role("group", name="Output of Tea")
    lines.page.evaluate("output.close()")


def test_output_is_followed_line_by_line_and_its_incomplete_end_is_shown(output: Locator) -> None:
    page, text = output.page, output.locator(".tail")
    expect(output.locator(".seen")).to_have_text("1000 lines")
    at_end = "tail => tail.scrollTop + tail.clientHeight >= tail.scrollHeight - 4"
    wait_until(lambda: text.evaluate(at_end), "it is scrolled to the end")
    page.evaluate("all.push('one more'); partial = '12 %'")
    expect(output.locator(".seen")).to_have_text("1002 lines")
    assert text.inner_text().endswith("line 1499\none more\n12 %")
    assert text.evaluate(at_end)
    page.evaluate("partial = ''; all.push('100 %')")
    expect(output.locator(".seen")).to_have_text("1002 lines")
    wait_until(lambda: text.inner_text().endswith("one more\n100 %\n"), "the line is complete")


def test_output_stops_following_where_the_user_scrolls_back(output: Locator) -> None:
    page, text = output.page, output.locator(".tail")
    follow = output.get_by_role("button", name="Follow")
    expect(output.locator(".seen")).to_have_text("1000 lines")
    expect(follow).to_have_attribute("aria-pressed", "true")
    text.evaluate("tail => { tail.scrollTop = 100; }")
    expect(follow).to_have_attribute("aria-pressed", "false")
    page.evaluate("all.push('unseen')")
    expect(output.locator(".seen")).to_have_text("1001 lines")
    assert text.evaluate("tail => tail.scrollTop") == 100
    follow.click()
    expect(follow).to_have_attribute("aria-pressed", "true")
    assert text.evaluate("tail => tail.scrollTop + tail.clientHeight >= tail.scrollHeight - 4")


def test_whole_output_can_be_searched_loaded_and_copied(output: Locator) -> None:
    page, text = output.page, output.locator(".tail")
    expect(output.locator(".seen")).to_have_text("1000 lines")
    find = output.get_by_role("searchbox", name="Find in the output")
    find.fill("line 12")
    expect(output.locator(".seen")).to_have_text("111 lines with “line 12”")
    expect(text.locator("mark")).to_have_count(111)
    assert text.inner_text().startswith("line 12\nline 120\n")
    find.fill("nothing like it")
    expect(output.locator(".seen")).to_have_text("No line has “nothing like it”.")
    find.fill("")
    expect(output.locator(".seen")).to_have_text("1000 lines")
    output.get_by_role("button", name="Load earlier").click()
    expect(output.locator(".seen")).to_have_text("1500 lines")
    expect(output.get_by_role("button", name="Load earlier")).to_be_hidden()
    output.get_by_role("button", name="Copy").click()
    expect(output.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("copied").splitlines() == [f"line {number}" for number in range(1500)]


# Votes


def test_only_kinds_of_votes_that_the_settings_have_are_offered(
    page: Page, make_site: Callable[..., Site]
) -> None:
    types = {"well": {"process": child("well")}}
    settings = {"queue": {"modules": types, "votes": {"skip": 2}}}
    site = make_site(services=("wsgi", "queue"), settings=settings).start()
    described = site.ask("queue", "describe")["commands"]["vote"]["args"]["properties"]["kind"]
    assert described["enum"] == ["skip"]
    uids = [site.ask("queue", "add", type="well")["uid"] for _ in range(2)]
    page.goto(site.url)
    tools = open_details(rows(page).nth(1)).locator(".tools")
    tools.get_by_role("button", name="Vote to skip").click()
    expect(rows(page).nth(1).locator(".terms")).to_contain_text("1 vote to skip")
    expect(tools.get_by_role("button", name="Vote up")).to_have_count(0)
    assert Client(site, "queue").uids() == uids


# Many services, and none of anything


@pytest.fixture(scope="module")
def house(make_shared_site: Callable[..., Site]) -> Site:
    """Six services, two of which run."""
    names = ["hall", "kitchen", "roof", "cellar", "stairs", "attic"]
    types = {"modules": {"well": {"process": child("well")}}}
    site = make_shared_site(
        services=("wsgi", *names),
        settings=dict.fromkeys(names, types),
        programs={name: [sys.executable, "-m", "shmooze.queue", name] for name in names},
    )
    return site.start("wsgi", "hall", "kitchen")


def test_many_services_are_an_overview_with_counts_that_is_remembered(
    house: Site, page: Page
) -> None:
    site = house
    for _ in range(2):
        site.ask("kitchen", "add", type="well")
    page.goto(site.url)
    kitchen = service(page, "kitchen")
    expect(kitchen.locator(".counts")).to_have_text("1 playing · 1 suspended")
    links = page.get_by_role("navigation", name="Services").get_by_role("link")
    expect(links).to_have_count(6)
    expect(links.nth(1)).to_have_attribute("title", "kitchen: 1 playing, 1 suspended")
    stop_waiting_for_starts(page)
    expect(links.nth(2)).to_have_attribute("title", "roof: Not responding")
    expect(form_of(page, "kitchen")).to_be_hidden()
    links.nth(1).focus()
    page.keyboard.press("Enter")
    expect(form_of(page, "kitchen")).to_be_visible()
    expect(kitchen.get_by_role("heading", name="kitchen")).to_be_focused()
    page.reload()
    expect(form_of(page, "kitchen")).to_be_visible()
    expect(form_of(page, "hall")).to_be_hidden()
    page.get_by_role("button", name="Show all").click()
    expect(form_of(page, "hall")).to_be_visible()
    page.get_by_role("button", name="Fold kitchen").click()
    expect(form_of(page, "kitchen")).to_be_hidden()
    expect(kitchen.get_by_role("heading", name="kitchen")).to_be_visible()


def test_few_services_are_unfolded_and_can_be_folded(first_page: Page) -> None:
    expect(first_page.get_by_role("navigation").get_by_role("link")).to_have_count(2)
    first_page.get_by_role("button", name="Fold pool").click()
    expect(form_of(first_page, "pool")).to_be_hidden()
    first_page.get_by_role("button", name="Show pool").click()
    expect(form_of(first_page, "pool")).to_be_visible()


def test_empty_lists_say_what_to_do_with_a_command_to_copy(first_page: Page) -> None:
    hint = service(first_page, "queue").locator(".roster > .hint")
    expect(hint).to_contain_text("Add one with the form, or in a shell:")
    first_page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    hint.get_by_role("button", name="Copy shmz").click()
    expect(hint.get_by_text("Copied")).to_be_visible()
    assert first_page.evaluate("copied").startswith("shmz -e queue add ")
    history = service(first_page, "queue").locator(".history")
    unfold(history)
    expect(history.get_by_role("button", name="Copy")).to_be_visible()
    expect(history.locator(".copyable code")).to_have_text('"state_path": "$HERE/state.db"')
