"""The history of a service in the console."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from chromium import needs_chromium
from console import service, unfold
from playwright.sync_api import Locator, Page, expect
from support import Client, Refusal, Site, child

pytestmark = needs_chromium

#: A history with nothing in it. The test takes the part of the service, by `end` and `refusal`.
HISTORY = """async () => {
  const { History } = await import("./console/history.js");
  let items = [];
  window.sent = [];
  window.refusal = "";
  window.end = (count) => {
    for (let i = 0; i < count; i++)
      items.unshift({ number: items.length + 1, uid: `uid-${items.length + 1}`, type: "movie",
        state: "done", args: { title: `Movie ${items.length + 1}` }, by: "ada",
        added: "2026-11-24T13:00:00.000Z", ended: "2026-11-24T13:37:00.123Z", seconds: 200.4,
        reason: "ended by itself" });
    return shown.refresh();
  };
  const ask = async (cmd, { uid, limit, before = Infinity, state }) => {
    if (refusal) throw new Error(refusal);
    if (cmd === "item")
      return { ladder: "SIGKILL", state_at_end: "playing", stderr_tail: ["no sound card"] };
    if (cmd === "output") throw new Error("needs `log_path`");
    const found = items.filter((each) => each.number < before && (!state || each.state === state));
    const page = found.slice(0, limit);
    return { items: page, next: found.length > limit ? page.at(-1).number : null };
  };
  const perform = async (cmd, args, announcement) => Boolean(sent.push([cmd, args, announcement]));
  const shown = new History(ask, perform);
  document.getElementById("services").append(shown.element);
}"""


@pytest.fixture
def history(page: Page, site: Site) -> Locator:
    page.goto(site.url)
    expect(service(page, "queue").get_by_role("form", name="Add in queue")).to_be_visible()
    page.evaluate(HISTORY)
    return page.locator("main > .history")


def titles(history: Locator) -> list[str]:
    return history.locator(".title").all_inner_texts()


def movies(newest: int, oldest: int) -> list[str]:
    return [f"Movie {number}" for number in range(newest, oldest - 1, -1)]


def test_item_shows_title_type_state_time_client_duration_and_reason(
    history: Locator, page: Page
) -> None:
    page.evaluate("end(1)")
    history.get_by_text("History").click()
    item = history.get_by_role("listitem")
    for text in ("Movie 1", "movie", "done", "by ada, 3 min 20 s", "ended by itself"):
        expect(item).to_contain_text(text)
    expect(item.locator("time")).to_have_attribute("datetime", "2026-11-24T13:37:00.123Z")
    expect(item.locator("time")).to_contain_text(":00")  # seconds, as in all others


def test_older_items_are_loaded_on_demand(history: Locator, page: Page) -> None:
    page.evaluate("end(120)")
    assert history.get_by_role("listitem").count() == 0
    history.get_by_text("History").click()
    expect(history.get_by_role("listitem")).to_have_count(50)
    older = history.get_by_role("button", name="Show older")
    older.focus()
    page.keyboard.press("Enter")
    expect(history.get_by_role("listitem")).to_have_count(100)
    expect(page.locator("#announcer")).to_have_text("50 older ones are shown")
    expect(older).to_be_focused()
    page.keyboard.press("Enter")
    expect(history.get_by_role("listitem")).to_have_count(120)
    assert titles(history) == movies(120, 1)
    expect(older).to_be_hidden()
    expect(history.get_by_role("listitem").nth(100)).to_be_focused()


def test_new_items_appear_on_top_without_a_gap_and_the_focus_stays(
    history: Locator, page: Page
) -> None:
    page.evaluate("end(60)")
    history.get_by_text("History").click()
    history.get_by_role("button", name="Show older").click()
    expect(history.get_by_role("listitem")).to_have_count(60)
    again = history.get_by_role("button", name="Again: Movie 60", exact=True)
    again.focus()
    page.evaluate("end(3)")
    assert titles(history) == movies(63, 1)
    expect(again).to_be_focused()
    page.evaluate("end(80)")  # more than a page at once
    assert titles(history) == movies(143, 94)
    history.get_by_role("button", name="Show older").click()
    expect(history.get_by_role("listitem")).to_have_count(100)
    assert titles(history) == movies(143, 44)


def test_history_is_filtered_by_text_and_by_state_with_counts(history: Locator, page: Page) -> None:
    page.evaluate("end(60)")
    page.evaluate("end(0)")
    history.get_by_text("History").click()
    expect(history.get_by_role("listitem")).to_have_count(50)
    box = history.get_by_role("searchbox")
    box.fill("movie 1 ada")
    # As more than a page may have to be looked through, all are loaded.
    expect(history.locator(".filter output")).to_have_text("15 of 60")
    expect(history.get_by_role("listitem").filter(visible=True)).to_have_count(15)
    box.fill("")
    expect(history.get_by_role("listitem").filter(visible=True)).to_have_count(60)
    history.get_by_label("Show").select_option("failed")
    expect(history.locator("> .hint")).to_have_text("Nothing is failed.")
    history.get_by_label("Show").select_option("done")
    expect(history.get_by_role("listitem")).to_have_count(50)


def test_details_of_an_ended_item_have_its_arguments_and_last_errors(
    history: Locator, page: Page
) -> None:
    page.evaluate("end(1)")
    history.get_by_text("History").click()
    history.get_by_role("button", name="Details of Movie 1").focus()
    page.keyboard.press("Enter")
    past = history.locator(".past")
    for text in ('"title": "Movie 1"', "Last state: playing, ended with SIGKILL", "no sound card"):
        expect(past).to_contain_text(text)
    page.evaluate("end(1)")
    expect(past.last).to_be_visible()


def test_again_adds_the_item_again(history: Locator, page: Page) -> None:
    page.evaluate("end(2)")
    history.get_by_text("History").click()
    history.get_by_role("button", name="Again: Movie 1", exact=True).click()
    sent = page.evaluate("sent")
    assert sent == [["requeue", {"uids": ["uid-1"]}, "Movie 1 added again"]]


def test_refusal_is_shown_until_there_is_an_answer(history: Locator, page: Page) -> None:
    page.evaluate("refusal = 'history needs `state_path` in the settings'")
    history.get_by_text("History").click()
    hint = history.locator("> .hint")
    expect(hint).to_contain_text("history needs `state_path` in the settings")
    page.evaluate("refusal = ''; end(0)")
    expect(hint).to_contain_text("Nothing has ended yet.")
    page.evaluate("end(1)")
    expect(hint).to_be_hidden()


#: Args of an item of the type "movie", and its title.
TITLES = [
    ({}, "movie"),
    (None, "movie"),
    ({"seconds": 30, "name": "tea"}, "tea"),
    ({"url": "http://x/", "title": "Metropolis", "name": "x"}, "Metropolis"),
    ({"label": " ", "title": 3, "path": "/a/b.ogg"}, "/a/b.ogg"),
    ({"mood": "calm", "source": "https://example.org/film"}, "https://example.org/film"),
    ({"mood": "calm"}, "movie"),
]


def test_title_is_what_tells_people_most(page: Page, site: Site) -> None:
    page.goto(site.url)
    title_of = "async (item) => (await import('./console/title.js')).titleOf(item)"
    found = [page.evaluate(title_of, {"type": "movie", "args": args}) for args, _ in TITLES]
    assert found == [title for _, title in TITLES]
    assert page.evaluate(title_of, {"type": "movie"}) == "movie"


def test_service_without_a_state_file_says_what_its_history_needs(first_page: Page) -> None:
    history = service(first_page, "queue").locator(".history")
    unfold(history)
    expect(history).to_contain_text("history needs `state_path` in the settings")
    expect(service(first_page, "queue").get_by_role("alert").first).to_be_hidden()


def test_ended_module_appears_and_can_be_added_again(
    page: Page, make_site: Callable[..., Site]
) -> None:
    settings = {
        "state_path": "$HERE/state.db",
        "queue": {"modules": {"well": {"process": child("well")}}},
    }
    site = make_site(services=("wsgi", "queue"), settings=settings).start()
    queue = Client(site, "queue")
    page.goto(site.url)
    history = service(page, "queue").locator(".history")
    unfold(history)
    expect(history).to_contain_text("Nothing has ended yet.")
    uid = queue.add_settled(title="Metropolis")
    with pytest.raises(Refusal):
        queue.tell(uid, "exit", status=3)
    expect(history.get_by_role("listitem")).to_contain_text("exited with status 3")
    expect(history.locator(".outcome")).to_have_text("failed")
    history.get_by_role("button", name="Again: Metropolis").click()
    expect(page.locator("#announcer")).to_have_text("Metropolis added again")
    expect(service(page, "queue").locator(".roster .module")).to_have_count(1)
    assert queue("item", uid=queue.uids()[0])["args"] == {"title": "Metropolis"}
