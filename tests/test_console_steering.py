"""Controlling queues and modules in the console, by mouse, touch and keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from chromium import needs_chromium
from conftest import EXAMPLES
from console import (
    add_countdowns,
    form_of,
    open_details,
    rows,
    service,
    shown_uids,
    stop,
    submit,
    tell_form,
    unfold,
)
from playwright.sync_api import Browser, Locator, Page, expect
from support import PATIENCE, Client, Site, child, wait_until

from shmooze.access.token_file import TokenFile

pytestmark = needs_chromium


def expect_order(site: Site, page: Page, uids: list[str]) -> None:
    """Wait until both service and page have the modules in this order."""
    wait_until(lambda: Client(site, "queue").uids() == uids, "the queue is in order")
    wait_until(lambda: shown_uids(page) == uids, "the page is in order")


def middle(place: Locator) -> tuple[float, float]:
    """The middle of something that has come to rest: a new row grows by what its module reports."""
    place.hover(trial=True)
    box = place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


#: Sets for how many milliseconds "Undo" is offered.
UNDO_TIME = """async (time) => {
  (await import("./console/removal.js")).Removals.undoTime = time;
}"""

# Order


def test_arrow_keys_move_the_row_whose_move_button_has_the_focus(
    site: Site, first_page: Page
) -> None:
    first, second, third = add_countdowns(site, first_page, 3)
    rows(first_page).first.get_by_role("button", name="Move down countdown").focus()
    first_page.keyboard.press("ArrowDown")
    first_page.keyboard.press("ArrowDown")
    expect_order(site, first_page, [second, third, first])
    expect(first_page.locator("#announcer")).to_have_text("countdown, 1000 s is now 3 of 3")
    button = rows(first_page).nth(2).get_by_role("button", name="Move down countdown")
    expect(button).to_be_focused()
    first_page.keyboard.press("Home")
    expect_order(site, first_page, [first, second, third])
    first_page.keyboard.press("ArrowUp")  # already the first
    first_page.keyboard.press("End")
    expect_order(site, first_page, [second, third, first])


def test_row_can_be_dragged_to_another_place(site: Site, first_page: Page) -> None:
    first, second, third = add_countdowns(site, first_page, 3)
    first_page.mouse.move(*middle(rows(first_page).nth(2).locator(".grip")))
    first_page.mouse.down()
    x, y = middle(rows(first_page).first)
    first_page.mouse.move(x, y - 5, steps=10)
    expect(rows(first_page).first).to_have_attribute("data-dragged", "")
    assert Client(site, "queue").uids() == [first, second, third], (
        "the move is sent when the row is dropped"
    )
    first_page.mouse.up()
    expect_order(site, first_page, [third, first, second])
    expect(rows(first_page).first.locator(".state")).to_have_text("playing")


def test_escape_cancels_dragging(site: Site, first_page: Page) -> None:
    uids = add_countdowns(site, first_page, 3)
    first_page.mouse.move(*middle(rows(first_page).nth(2).locator(".grip")))
    first_page.mouse.down()
    x, y = middle(rows(first_page).first)
    first_page.mouse.move(x, y - 5, steps=10)
    expect(rows(first_page).first).to_have_attribute("data-dragged", "")
    first_page.keyboard.press("Escape")
    first_page.mouse.up()
    expect_order(site, first_page, uids)


def test_changes_by_others_during_a_drag_are_shown_afterwards(site: Site, first_page: Page) -> None:
    first, second, third = add_countdowns(site, first_page, 3)
    first_page.mouse.move(*middle(rows(first_page).nth(2).locator(".grip")))
    first_page.mouse.down()
    site.ask("queue", "rm", uids=[first])
    new = site.ask("queue", "add", type="countdown", args={"seconds": 1000})["uid"]
    first_page.mouse.move(*middle(rows(first_page).first), steps=10)
    first_page.mouse.up()
    expect_order(site, first_page, [third, second, new])


def test_row_can_be_dragged_by_touch(site: Site, browser: Browser) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 1200}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(site.url)
    first, second, third = add_countdowns(site, page, 3)
    finger = context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y} for x, y in places]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    x, y = middle(rows(page).first.locator(".grip"))
    goal = middle(rows(page).nth(2))[1] + 20
    touch("touchStart", (x, y))
    for step in range(1, 11):
        touch("touchMove", (x, y + (goal - y) * step / 10))
    expect(rows(page).nth(2)).to_have_attribute("data-dragged", "")
    touch("touchEnd")
    expect_order(site, page, [second, third, first])
    context.close()


def test_failed_move_is_undone_and_shows_the_error(site: Site, first_page: Page) -> None:
    uids = add_countdowns(site, first_page, 2)
    refusal = json.dumps([{"success": False, "error": "not today"}])

    def refuse(route):
        if '"mv"' in (route.request.post_data or ""):
            route.fulfill(body=refusal, content_type="application/json")
        else:
            route.continue_()

    first_page.route("**/queue", refuse)
    rows(first_page).first.get_by_role("button", name="Move down countdown").click()
    expect(service(first_page, "queue").get_by_role("alert").first).to_have_text("not today")
    expect_order(site, first_page, uids)


def test_row_shows_whether_its_module_is_held_and_why(site: Site, first_page: Page) -> None:
    first, _ = add_countdowns(site, first_page, 2)
    state = rows(first_page).first.locator(".state")
    expect(state).to_have_text("playing")
    site.ask("queue", "hold", uids=[first])
    expect(state).to_have_text("held")
    expect(state).to_have_attribute("title", re.compile("."))
    site.ask("queue", "release", uids=[first])
    expect(state).to_have_text("playing")
    expect(state).to_have_attribute("title", "")


# Accidents that must not happen


def test_keys_typed_into_a_removed_row_do_not_act_on_another_row(
    site: Site, first_page: Page
) -> None:
    first, second, third = add_countdowns(site, first_page, 3)
    field = tell_form(rows(first_page).first).get_by_label("Arguments")
    field.focus()
    first_page.keyboard.type('{"me')
    site.ask("queue", "rm", uids=[first])
    expect(rows(first_page)).to_have_count(2)
    expect(rows(first_page).first).to_be_focused()
    first_page.keyboard.type('": "a b"} c')
    first_page.keyboard.press("Enter")
    first_page.keyboard.press("Space")
    add_countdown = submit(first_page, "queue", "Add", "countdown", '{"seconds": 1000}')
    expect(add_countdown.get_by_role("alert")).to_be_hidden()
    expect(rows(first_page)).to_have_count(3)
    assert Client(site, "queue").uids()[:2] == [second, third]


def test_what_is_added_while_a_button_is_pressed_does_not_move_it_away(
    site: Site, first_page: Page
) -> None:
    first_page.evaluate(
        """() => {
            endpoints.queue.subscribe(state => { window.told = state });
            addEventListener("click", ({ target }) => { window.clicked = target.textContent });
        }"""
    )
    first_page.mouse.move(*middle(form_of(first_page, "queue").locator(".send")))
    first_page.mouse.down()
    uid = site.ask("queue", "add", type="countdown", args={"seconds": 1000})["uid"]
    is_told = "uid => window.told?.modules.some(each => each.uid === uid)"
    first_page.wait_for_function(is_told, arg=uid)
    first_page.mouse.up()
    first_page.wait_for_function("window.clicked === 'Add'")
    expect(rows(first_page).locator(f'[title="{uid}"]')).to_be_visible()


def test_held_key_or_double_click_removes_only_one_row(site: Site, first_page: Page) -> None:
    uids = add_countdowns(site, first_page, 6)
    first_page.evaluate(UNDO_TIME, 1)
    rows(first_page).nth(1).get_by_role("button", name="Remove").dblclick()
    expect_order(site, first_page, [uids[0], *uids[2:]])
    first_page.evaluate(UNDO_TIME, 60_000)
    rows(first_page).nth(1).get_by_role("button", name="Remove").focus()
    first_page.keyboard.down("Enter")
    for _ in range(10):
        first_page.keyboard.down("Enter")  # key repeat
    first_page.keyboard.up("Enter")
    expect(rows(first_page).locator(".undo:visible")).to_have_count(1)


# Commands


def test_command_to_a_module_shows_its_answer(site: Site, first_page: Page) -> None:
    add_countdowns(site, first_page, 1)
    row = rows(first_page).first
    form = tell_form(row)
    form.get_by_label("Command").fill("add")
    form.get_by_label("Arguments").fill('{"seconds": 500}')
    form.get_by_role("button").click()
    expect(form.locator(".answer")).to_have_text(re.compile("1500|14.."))  # the seconds left
    total = row.locator(".parameters div", has=first_page.get_by_text("total")).locator("dd")
    expect(total).to_have_text("25:00")
    form.get_by_label("Command").fill("dance")
    form.get_by_role("button").click()
    expect(form.get_by_role("alert")).to_contain_text("dance")


def test_command_to_the_background_shows_its_answer(
    make_site: Callable[..., Site], page: Page
) -> None:
    types = {"well": {"process": child("well")}}
    settings = {"queue": {"modules": types, "backgrounds": types}}
    site = make_site(services=("wsgi", "queue"), settings=settings).start()
    site.ask("queue", "set_bg", type="well")
    page.goto(site.url)
    row = page.locator(".background .module")
    form = tell_form(row)
    form.get_by_label("Command").fill("echo")
    form.get_by_label("Arguments").fill('{"a": [1, "ä"]}')
    form.get_by_role("button").click()
    expect(form.locator(".answer")).to_contain_text('"ä"')


def test_output_is_shown_as_it_is_written(make_site: Callable[..., Site], page: Page) -> None:
    talk = "(echo one; echo two; until [ -e $HERE/more ]; do sleep 0.1; done; echo three) &"
    process = ["sh", "-c", f'{talk} exec {" ".join(child("well"))} "$@"', "talker"]
    settings = {"pool": {"modules": {"talker": {"process": process}}}}
    site = make_site(services=("wsgi", "pool"), settings=settings).start()
    site.ask("pool", "add", type="talker")
    page.goto(site.url)
    row = rows(page, "pool").first
    output = open_details(row).locator(".tail")
    expect(output).to_have_text("one\ntwo\n")
    (site.folder / "more").touch()
    expect(output).to_have_text("one\ntwo\nthree")


def test_any_command_can_be_sent_to_any_service(make_site: Callable[..., Site], page: Page) -> None:
    site = make_site(services=("wsgi", "vol"), programs=EXAMPLES).start()
    page.goto(site.url)
    form = service(page, "vol").get_by_role("form", name="Send")
    options = form.locator("datalist.choice option")
    expect(options).to_have_count(3)
    names = options.evaluate_all("all => all.map(each => each.value)")
    assert names == ["get_vol", "set_vol", "describe"]
    form.get_by_label("Command").fill("set_vol")
    form.get_by_label("Arguments").fill('{"vol": 7}')
    form.get_by_role("button").click()
    expect(form.locator(".answer")).to_have_text("null")
    assert site.ask("vol", "get_vol") == 7
    form.get_by_label("Arguments").fill('{"vol": "loud"}')
    form.get_by_role("button").click()
    expect(form.get_by_role("alert")).to_contain_text("vol")
    expect(form.locator(".answer")).to_be_hidden()


def test_last_arguments_are_remembered_after_a_reload(site: Site, first_page: Page) -> None:
    for args in ("{ }", "{}"):
        submit(first_page, "queue", "Add", "ticker", args)
        options = service(first_page, "queue").locator("datalist option")
        expect(options.filter(has_text=args)).to_have_count(1)
    first_page.reload()
    form = form_of(first_page, "queue")
    form.get_by_label("Type").select_option("ticker")
    expect(form.get_by_label("Arguments")).to_have_value("{}")
    options = form.locator("datalist.args option")
    expect(options).to_have_count(2)
    form.get_by_label("Arguments").fill('{"my": "own"}')
    form.get_by_label("Type").select_option("countdown")
    expect(form.get_by_label("Arguments")).to_be_hidden()
    form.get_by_label("Type").select_option("ticker")
    expect(form.get_by_label("Arguments")).to_have_value('{"my": "own"}')


def test_read_only_token_sees_no_controls_that_it_may_not_use_and_gets_a_clear_error(
    make_site: Callable[..., Site], browser: Browser
) -> None:
    site = make_site(services=("wsgi", "queue"), programs=EXAMPLES)
    tokens = TokenFile(str(site.folder / "tokens.json"))
    token = tokens.add("screen", "read")
    site.settings["tokens_path"] = str(tokens.path)
    site.settings_file.write_text(json.dumps(site.settings))
    site.start()
    context = browser.new_context()
    page = context.new_page()
    page.goto(site.url)
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    unfold(service(page, "queue").locator(".command-box"))
    form = service(page, "queue").get_by_role("form", name="Send to queue")
    form.get_by_label("Command").fill("add")
    form.get_by_label("Arguments").fill("type=countdown")
    form.get_by_role("button").click()
    expect(form.get_by_role("alert")).to_have_text("add: this token may only read")
    form.get_by_label("Command").fill("queue")
    form.get_by_label("Arguments").fill("")
    form.get_by_role("button").click()
    expect(form.locator(".answer")).to_have_text("[]")
    for kind in ("Add in queue", "Set background in queue"):
        expect(page.get_by_role("form", name=kind)).to_be_hidden()
    context.close()


# Two users


@pytest.fixture
def two_users(browser: Browser, site: Site) -> Iterator[list[Page]]:
    contexts = [browser.new_context(), browser.new_context()]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(site.url)
        expect(form_of(page, "queue")).to_be_visible()
    yield pages
    for context in contexts:
        context.close()


def test_two_users_see_each_others_changes(site: Site, two_users: list[Page]) -> None:
    ada, bob = two_users
    submit(ada, "queue", "Add", "countdown", '{"seconds": 1000}')
    expect(rows(bob).first.locator(".state")).to_have_text("playing")
    submit(bob, "queue", "Add", "countdown", '{"seconds": 2000}')
    for page in two_users:
        expect(rows(page).nth(1).locator(".state")).to_have_text("suspended")
    first, second = Client(site, "queue").uids()
    rows(bob).nth(1).get_by_role("button", name="Move up countdown").click()
    for page in two_users:
        expect_order(site, page, [second, first])
        expect(rows(page).first.locator(".state")).to_have_text("playing")
        expect(rows(page).nth(1).locator(".state")).to_have_text("suspended")
    stop(ada, rows(ada).first, "countdown")
    for page in two_users:
        expect_order(site, page, [first])
        expect(service(page, "queue").locator(".ended")).to_contain_text(
            "countdown, 2000 s was removed"
        )
