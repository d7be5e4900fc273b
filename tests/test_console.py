"""The console in Chromium, with real services."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from chromium import needs_chromium
from conftest import EXAMPLES
from console import (
    add_countdowns,
    form_of,
    module_list,
    open_details,
    rows,
    service,
    shown_uids,
    stop,
    stop_waiting_for_starts,
    submit,
    tell_form,
    unfold,
)
from events import Watcher
from playwright.sync_api import Browser, Locator, Page, Route, expect
from support import CHILDREN, ROOT, Client, Lender, Refusal, Site, child, wait_until

from shmooze.access.token_file import TokenFile

HOSTILE = "<img src=x onerror=\"document.title='hacked'\">"
CLOCK = {"process": [sys.executable, str(ROOT / "examples" / "modules" / "clock.py")]}

pytestmark = needs_chromium


def test_page_recognizes_queue_and_pool_by_their_answers_not_their_names(
    page: Page, make_site: Callable[..., Site]
) -> None:
    # Names do not matter: this pool is named queue, and this queue is named pool.
    types = {"modules": {"clock": CLOCK}}
    programs = {
        "queue": [sys.executable, "-m", "shmooze.pool", "queue"],
        "pool": [sys.executable, "-m", "shmooze.queue", "pool"],
        "vol": EXAMPLES["vol"],
    }
    site = make_site(
        services=("wsgi", *programs, "radio"),
        settings={"queue": types, "pool": {**types, "backgrounds": {"clock": CLOCK}}},
        programs=programs,
    ).start("wsgi", *programs)
    page.goto(site.url)
    expect(service(page, "queue").locator(".kind")).to_have_text("pool")
    expect(service(page, "pool").locator(".kind")).to_have_text("queue")
    expect(service(page, "pool").get_by_role("form", name="Set background")).to_be_visible()
    expect(service(page, "vol").get_by_role("status")).to_have_text("Alive")
    expect(service(page, "vol").get_by_role("form", name="Send")).to_be_visible()
    expect(service(page, "queue").get_by_role("form", name="Send")).to_be_hidden()
    stop_waiting_for_starts(page)
    expect(service(page, "radio").get_by_role("status")).to_have_text("Not responding")
    expect(service(page, "radio").get_by_role("alert")).to_contain_text("not running")


def test_added_module_is_shown_with_its_parameters(site: Site, first_page: Page) -> None:
    submit(first_page, "queue", "Add", "countdown", '{"seconds": 1000}')
    row = rows(first_page)
    expect(row.locator(".state")).to_have_text("playing")
    expect(row.locator(".glance")).to_contain_text("total 16:40")
    expect(parameter(open_details(row), "total")).to_have_text("16:40")
    uid = site.ask("queue", "queue")[0]["uid"]
    expect(row.locator(".uid")).to_have_text(uid[:8])


def test_job_added_to_the_pool_shows_its_output(first_page: Page) -> None:
    submit(first_page, "pool", "Add", "job", '{"name": "hello"}')
    expect(rows(first_page, "pool")).to_contain_text("hello")
    expect(rows(first_page, "pool")).to_contain_text("done")


def test_removed_module_disappears_from_the_page(site: Site, first_page: Page) -> None:
    (uid,) = add_countdowns(site, first_page, 1)
    site.ask("queue", "rm", uids=[uid])
    expect(rows(first_page)).to_have_count(0)
    expect(service(first_page, "queue")).to_contain_text("No modules yet.")


def test_background_is_set_and_replaced(site: Site, first_page: Page) -> None:
    background = service(first_page, "queue").locator(".background")
    expect(background).to_contain_text("No background set.")
    submit(first_page, "queue", "Set background", "clock", '{"format": "first"}')
    expect(open_details(background.locator(".module")).locator("dd")).to_have_text("first")
    submit(first_page, "queue", "Set background", "clock", '{"format": "second"}')
    expect(background.locator(".glance")).to_contain_text("second")
    expect(background.locator(".state")).to_have_text("playing")
    assert site.ask("queue", "bg")["type"] == "clock"


def test_queue_without_background_types_shows_no_background(
    page: Page, make_site: Callable[..., Site]
) -> None:
    types = {"clock": CLOCK}
    settings = {"queue": {"modules": types}, "stage": {"modules": types, "backgrounds": types}}
    programs = {"stage": [sys.executable, "-m", "shmooze.queue", "stage"]}
    site = make_site(services=("wsgi", "queue", "stage"), settings=settings, programs=programs)
    site.start()
    page.goto(site.url)
    for name in ("queue", "stage"):
        expect(form_of(page, name)).to_be_visible()
    expect(service(page, "stage").locator(".background")).to_be_visible()
    expect(service(page, "queue").locator(".background")).to_be_hidden()


def test_reordering_by_keyboard_keeps_the_focus(site: Site, first_page: Page) -> None:
    first, second, third = add_countdowns(site, first_page, 3)
    up = rows(first_page).nth(2).get_by_role("button", name="Move up countdown")
    up.focus()
    handle = up.element_handle()
    for expected in ([first, third, second], [third, first, second]):
        first_page.keyboard.press("Enter")
        expect(rows(first_page).nth(expected.index(third))).to_contain_text(third[:8])
        expect(module_list(first_page)).to_have_attribute("aria-busy", "false")
        assert shown_uids(first_page) == expected
        assert [module["uid"] for module in site.ask("queue", "queue")] == expected
        assert handle.evaluate("button => button === document.activeElement")
    expect(first_page.locator("#announcer")).to_have_text("countdown, 1000 s is now 1 of 3")
    expect(rows(first_page).first.locator(".state")).to_have_text("playing")
    first_page.keyboard.press("Tab")
    first_page.keyboard.press("Enter")
    expect(first_page.locator("#announcer")).to_have_text("countdown, 1000 s is now 2 of 3")
    assert [module["uid"] for module in site.ask("queue", "queue")] == [first, third, second]


def test_move_is_shown_as_pending_until_the_service_confirms_it(
    site: Site, first_page: Page
) -> None:
    first, second = add_countdowns(site, first_page, 2)
    held: list[Route] = []

    def hold(route: Route) -> None:
        if '"mv"' in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    first_page.route("**/queue", hold)
    rows(first_page).first.get_by_role("button", name="Move down countdown").click()
    expect(rows(first_page).nth(1)).to_contain_text(first[:8])
    expect(rows(first_page).nth(1)).to_have_attribute("data-moving", "")
    expect(module_list(first_page)).to_have_attribute("aria-busy", "true")
    assert Client(site, "queue").uids() == [first, second]
    wait_until(lambda: first_page.title() and held, "the page has sent the move")
    held[0].continue_()
    expect(module_list(first_page)).to_have_attribute("aria-busy", "false")
    assert Client(site, "queue").uids() == shown_uids(first_page) == [second, first]
    expect(rows(first_page).nth(1)).not_to_have_attribute("data-moving", "")


#: A roster of three rows, the first of which is moved down. The test takes the part of the service.
ROSTER = """async () => {
  const { Roster } = await import("./console/roster.js");
  const module = (uid) => ({ uid, type: "x", state: "playing", parameters: {} });
  window.say = (...uids) => roster.show(uids.map(module));
  window.seen = () => roster.rows.map((row) => row.uid).join("") + " " + roster.list.ariaBusy;
  const mv = () => new Promise((done) => { window.answer = done; });
  window.roster = new Roster("roster", { actions: {} }, mv);
  document.getElementById("services").append(roster.element);
  say("a", "b", "c");
  roster.move(roster.rows[0], 1);
}"""


def test_moved_row_does_not_jump_back_if_the_event_is_late(page: Page, site: Site) -> None:
    page.clock.install()  # timers and frames run only when told to
    page.goto(site.url)
    page.evaluate(ROSTER)
    seen = partial(page.evaluate, "seen()")
    wait_until(lambda: page.evaluate("Boolean(window.answer)"), "the move is sent")
    page.evaluate("answer(true)")
    page.clock.run_for(2_000)
    assert seen() == "bac true"
    page.evaluate("say('a', 'b', 'c', 'd')")  # an event from before the move
    page.clock.run_for(100)
    assert seen() == "bacd true"
    page.evaluate("say('b', 'a', 'c', 'd')")
    wait_until(lambda: seen() == "bacd false", "the order is confirmed")
    # If another client moves the module again, the service's order wins in the end.
    page.evaluate("() => { delete window.answer; roster.move(roster.rows[0], 1); }")
    wait_until(lambda: page.evaluate("Boolean(window.answer)"), "the move is sent")
    page.evaluate("answer(true)")
    page.evaluate("say('d', 'c', 'b', 'a')")
    page.clock.run_for(6_000)
    wait_until(lambda: seen() == "dcba false", "the page has the order of the service")


def test_focus_moves_to_the_next_row_after_a_removal(site: Site, first_page: Page) -> None:
    add_countdowns(site, first_page, 3)
    rows(first_page).nth(1).get_by_role("button", name="Remove countdown").focus()
    first_page.keyboard.press("Enter")
    expect(rows(first_page).nth(2).get_by_role("button", name="Remove")).to_be_focused()
    first_page.keyboard.press("Enter")
    expect(rows(first_page).first.get_by_role("button", name="Stop countdown")).to_be_focused()
    first_page.keyboard.press("Enter")
    expect(first_page.get_by_role("button", name="Cancel")).to_be_focused()
    first_page.keyboard.press("Shift+Tab")
    expect(first_page.get_by_role("button", name="Stop it")).to_be_focused()
    first_page.keyboard.press("Enter")
    expect(rows(first_page)).to_have_count(0)
    expect(service(first_page, "queue").get_by_role("heading", name="queue")).to_be_focused()
    assert site.ask("queue", "queue") == []


#: Arguments as typed, and as received.
TYPED = [
    ("", {}),
    ("seconds=30", {"seconds": 30}),
    (" name=tea ", {"name": "tea"}),
    ("title=Great Gate of Kiev left=2", {"title": "Great Gate of Kiev", "left": 2}),
    ("text='see a=b' n=1", {"text": "see a=b", "n": 1}),
    ('text="see a=b"', {"text": "see a=b"}),
    ('of=\'{"a": "x y=1"}\'', {"of": {"a": "x y=1"}}),
    ("argv=ls --color=auto x", {"argv": "ls --color=auto x"}),
    ("words=don't  worry=true ", {"words": "don't", "worry": True}),
    ("empty= after=[1, 2]", {"empty": "", "after": [1, 2]}),
    ("a=b=c ü=true", {"a": "b=c", "ü": True}),
    ("ü=true x=NaN __proto__=1", {"ü": True, "x": "NaN", "__proto__": 1}),
    ('{"seconds": 30}', {"seconds": 30}),
    (' {"a": {"b": "c=d"}}', {"a": {"b": "c=d"}}),
]


def answers(answer: Locator, wanted: object) -> bool:
    return bool(json.loads(answer.inner_text() or "null") == wanted)


def test_arguments_can_be_typed_as_for_shmz(page: Page, make_site: Callable[..., Site]) -> None:
    types = {"modules": {"well": {"process": child("well")}}}
    site = make_site(settings={"queue": types}, services=("wsgi", "queue")).start()
    uid = Client(site, "queue").add()
    page.goto(site.url)
    form = tell_form(rows(page))
    answer = form.locator(".answer")
    for typed, taken in TYPED:
        form.get_by_label("Command").fill("echo")
        form.get_by_label("Arguments").fill(typed)
        form.get_by_role("button").click()
        wait_until(partial(answers, answer, taken), f"{typed!r} is received")
    assert Client(site, "queue").uids() == [uid]


#: Arguments that the page rejects, and a part of the error. Neighbours have different ones.
MISTYPED = [
    ("30", "Enter arguments as seconds=30"),
    ('{"seconds": soon}', "not valid JSON"),
    ("seconds = 30", "Enter arguments as seconds=30"),
    ("[30]", "must be a JSON object"),
    ("seconds=1 seconds=2", "seconds is given twice"),
    ("seconds=12345678901234567890", "too large"),
]


def test_invalid_arguments_show_an_error_until_valid_ones_are_sent(
    site: Site, first_page: Page
) -> None:
    for args, said in MISTYPED:
        form = submit(first_page, "queue", "Add", "ticker", args)
        expect(form.get_by_role("alert")).to_contain_text(said)
    assert site.ask("queue", "queue") == []
    submit(first_page, "queue", "Add", "ticker", "{}")
    expect(rows(first_page)).to_have_count(1)
    expect(form.get_by_role("alert")).to_be_hidden()


def test_markup_in_types_and_parameters_is_shown_as_text(
    page: Page, make_site: Callable[..., Site]
) -> None:
    types = {"modules": {HOSTILE: CLOCK}, "backgrounds": {HOSTILE: CLOCK}}
    site = make_site(settings={"queue": types, "name": HOSTILE}, services=("wsgi", "queue")).start()
    page.goto(site.url)
    args = json.dumps({"format": HOSTILE})
    submit(page, "queue", "Add", HOSTILE, args)
    submit(page, "queue", "Set background", HOSTILE, args)
    for row in (rows(page), page.locator(".background .module")):
        expect(row.locator(".title")).to_have_text(HOSTILE)
    expect(open_details(rows(page)).locator("dd")).to_have_text(HOSTILE)
    stop(page, rows(page), HOSTILE)
    expect(page.locator("#announcer")).to_have_text(f"{HOSTILE} removed")
    form = submit(page, "queue", "Add", HOSTILE, json.dumps({HOSTILE: 1}))
    expect(form.get_by_role("alert")).to_contain_text(HOSTILE)
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(page.locator("img")).to_have_count(0)
    expect(page).to_have_title(HOSTILE)


def test_updates_keep_rows_focus_and_typed_text(site: Site, first_page: Page) -> None:
    add_countdowns(site, first_page, 2)
    form = form_of(first_page, "queue")
    form.get_by_label("Type").select_option("countdown")
    left = parameter(open_details(rows(first_page).first), "left")
    field = form.get_by_label("seconds")
    field.fill("77")
    row = rows(first_page).first.element_handle()
    before = left.inner_text()
    expect(left).not_to_have_text(before)
    expect(field).to_be_focused()
    expect(field).to_have_value("77")
    assert row.evaluate("row => row === document.querySelector('.roster .module')")


# Connection


def test_lost_connection_is_shown_and_recovers_automatically(site: Site, first_page: Page) -> None:
    lost = first_page.get_by_text("Connection lost")
    expect(lost).to_be_hidden()
    site.stop("wsgi")
    expect(lost).to_be_visible()
    expect(first_page.get_by_text("Connected")).to_be_hidden()
    site.start("wsgi")
    expect(first_page.get_by_text("Connected")).to_be_visible()
    expect(lost).to_be_hidden()
    add_countdowns(site, first_page, 1)


def test_service_that_has_not_answered_yet_is_starting_before_it_is_down(
    page: Page, make_site: Callable[..., Site]
) -> None:
    site = make_site(programs=EXAMPLES).start("wsgi")
    page.goto(site.url)
    status = service(page, "queue").get_by_role("status")
    expect(status).to_have_text("Starting…")
    expect(service(page, "queue").get_by_role("alert")).to_be_hidden()
    expect(page.get_by_text("Connected")).to_be_visible()
    stop_waiting_for_starts(page)
    expect(status).to_have_text("Not responding")
    expect(service(page, "queue").get_by_role("alert")).to_contain_text("not running")
    site.start("queue")
    expect(service(page, "queue").get_by_role("status")).to_have_text("Alive")
    expect(form_of(page, "queue")).to_be_visible()


def test_console_works_if_its_url_contains_a_password(site: Site, page: Page) -> None:
    page.goto(site.url.replace("//", "//ada:secret@"))
    submit(page, "queue", "Add", "countdown", '{"seconds": 1000}')
    expect(rows(page).first.locator(".state")).to_have_text("playing")
    expect(page.get_by_text("Connected")).to_be_visible()


@pytest.mark.parametrize("name", ["queue", "vol"])
def test_service_that_refuses_requests_is_shown_as_refused_with_the_reason(
    make_site: Callable[..., Site], page: Page, name: str
) -> None:
    site = make_site(services=("wsgi", name), programs=EXAMPLES).start()
    refusal = {"success": False, "error": "pages of 'http://x' may not talk to this server"}
    refuse = partial(Route.fulfill, status=403, json=refusal)
    page.route(f"**/{name}", refuse)
    page.goto(site.url)
    status = service(page, name).get_by_role("status").first
    alert = service(page, name).get_by_role("alert").first
    expect(status).to_have_text("Refused")
    expect(alert).to_have_text(refusal["error"])
    page.unroute(f"**/{name}")
    expect(status).to_have_text("Alive")
    expect(alert).to_be_hidden()
    page.route(f"**/{name}", refuse)
    expect(status).to_have_text("Refused")


# Prefixes


@pytest.mark.parametrize(
    ("wsgi_prefix", "static_prefix", "addresses"),
    [
        ("/app/", "/static/", ["/", "/app/", "/app/console/"]),
        ("/app/", "/app/files/", ["/app/files/index.html", "/app/console/"]),
        ("/", "/files/", ["/files/index.html", "/console/"]),
    ],
)
def test_page_works_with_other_prefixes(
    page: Page,
    make_site: Callable[..., Site],
    wsgi_prefix: str,
    static_prefix: str,
    addresses: list[str],
) -> None:
    settings = {"wsgi_prefix": wsgi_prefix, "static_prefix": static_prefix}
    site = make_site(settings=settings, services=("wsgi", "queue"), programs=EXAMPLES).start()
    for address in addresses:
        page.goto(f"http://127.0.0.1:{site.ports['wsgi']}{address}")
        expect(service(page, "queue").get_by_role("status")).to_have_text("Alive")
        assert page.evaluate("BASE_URL") == wsgi_prefix.rstrip("/")
        assert page.evaluate("endpoints.queue.url") == f"{wsgi_prefix}queue"


@pytest.mark.parametrize(
    ("ports", "public", "said"),
    [
        (["wsgi", "queue"], ["name"], '"ports" is not in "public"'),
        (["wsgi"], ["ports"], 'No services are configured. Add one to "ports" in the settings.'),
    ],
)
def test_page_without_services_says_why_at_the_top(
    page: Page, make_site: Callable[..., Site], ports: list[str], public: list[str], said: str
) -> None:
    site = make_site(settings={"public": public}, services=tuple(ports)).start("wsgi")
    page.goto(site.url)
    hint = page.locator("body > .hint:visible")
    expect(hint).to_have_count(1)
    expect(hint).to_contain_text(said)
    assert page.viewport_size is not None
    assert hint.bounding_box()["y"] < page.viewport_size["height"] / 4
    warned = "gateway: `ports` is not in `public`" in site.log("wsgi")
    assert warned == ("ports" not in public)


# Tokens


@pytest.fixture(scope="module")
def guarded_site(make_shared_site: Callable[..., Site]) -> tuple[Site, TokenFile]:
    """A gateway and the example queue with tokens."""
    site = make_shared_site(services=("wsgi", "queue"), programs=EXAMPLES)
    tokens = TokenFile(str(site.folder / "tokens.json"))
    site.settings["tokens_path"] = str(tokens.path)
    site.settings_file.write_text(json.dumps(site.settings))
    tokens.add("another", "read")
    return site.start(), tokens


@pytest.fixture
def guarded(guarded_site: tuple[Site, TokenFile]) -> Iterator[tuple[Site, str]]:
    """That site with a token of ada's, which is the second part."""
    site, tokens = guarded_site
    yield site, tokens.add("ada", "control")
    if "ada" in tokens.load():
        tokens.revoke("ada")


def test_user_can_log_in_and_add_a_module(page: Page, guarded: tuple[Site, str]) -> None:
    site, token = guarded
    page.goto(site.url)
    expect(page).to_have_url(f"{site.url}login")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("The token is not valid.")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(site.url)
    submit(page, "queue", "Add", "countdown", '{"seconds": 1000}')
    expect(rows(page)).to_have_count(1)
    assert page.evaluate("document.cookie") == "", "no script can read the cookie"


def test_user_who_logged_out_needs_the_token_again(page: Page, guarded: tuple[Site, str]) -> None:
    site, token = guarded
    page.goto(site.url)
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.route("**/logout", lambda route: route.fulfill(status=503, body="{}"))
    page.get_by_role("button", name="Log out").click()
    refused = "Could not log out: the server answered with status 503"
    expect(page.locator("#announcer")).to_have_text(refused)
    page.unroute("**/logout")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{site.url}login")
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto(site.url)
    expect(page).to_have_url(f"{site.url}login")


def test_log_out_button_is_hidden_without_a_login(
    page: Page, browser: Browser, guarded: tuple[Site, str], well_site: Site
) -> None:
    site, token = guarded
    headers = {"Authorization": f"Bearer {token}"}  # as a proxy may add it
    context = browser.new_context(extra_http_headers=headers)
    for each, url in ((context.new_page(), site.url), (page, well_site.url)):
        each.goto(url)
        each.wait_for_function(
            "() => performance.getEntriesByType('resource')"
            ".filter(each => each.name.endsWith('/settings.json') && each.responseEnd).length === 2"
        )
        expect(each.get_by_role("button", name="Log out")).to_be_hidden()
    context.close()


def test_page_goes_to_the_login_form_when_its_token_is_revoked(
    page: Page, guarded: tuple[Site, str]
) -> None:
    site, token = guarded
    page.goto(f"{site.url}login")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(service(page, "queue")).to_be_visible()
    TokenFile(str(site.folder / "tokens.json")).revoke("ada")
    expect(page).to_have_url(f"{site.url}login")


# How values are shown


#: A gateway and a pool of well-behaved modules.
WELL_SITE: dict[str, Any] = {
    "services": ("wsgi", "pool"),
    "settings": {
        "pool": {
            "modules": {
                "well": {"process": child("well")},
                "setter": {"process": ["bash", str(CHILDREN / "setter.sh")]},
            }
        }
    },
}


@pytest.fixture(scope="module")
def well_sites(lender: Callable[..., Lender]) -> Lender:
    return lender(**WELL_SITE)


@pytest.fixture
def well_site(well_sites: Lender) -> Iterator[Site]:
    with well_sites.lend() as site:
        yield site


def parameter(row: Locator, name: str) -> Locator:
    """The element that shows the value of a parameter."""
    return row.locator(f".parameters > div:has(dt:text-is('{name}')) dd")


def test_each_parameter_is_displayed_by_its_kind(well_site: Site, page: Page) -> None:
    pool = Client(well_site, "pool")
    uid = pool.add(name="x")
    page.goto(well_site.url)
    row = rows(page, "pool").first
    open_details(row)
    pool.tell(
        uid,
        "set",
        progress=0.5,
        number=1.23456789,
        url="/static/icon.svg",
        link="https://example.org/a?b=c#d",
        image="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=",
        trap="javascript:alert(1)",
        lines=["one", "two"],
        nested={"a": [1]},
        truth=True,
    )
    bar = parameter(row, "progress").locator("progress")
    expect(bar).to_have_js_property("value", 0.5)
    expect(parameter(row, "progress")).to_contain_text("50 %")
    for progress, percent in ((0.29, "29 %"), (0.999, "99 %")):
        pool.tell(uid, "set", progress=progress)
        expect(parameter(row, "progress").locator("span")).to_have_text(percent)
    expect(parameter(row, "number")).to_have_text("1.23457")
    expect(parameter(row, "url").get_by_role("link")).to_have_attribute("href", "/static/icon.svg")
    link = parameter(row, "link").get_by_role("link")
    expect(link).to_have_attribute("href", "https://example.org/a?b=c#d")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(parameter(row, "image").get_by_role("img", name="image")).to_be_visible()
    expect(parameter(row, "trap")).to_have_text("javascript:alert(1)")
    expect(parameter(row, "trap").locator("a")).to_have_count(0)
    expect(parameter(row, "lines")).to_have_text("one\ntwo")
    expect(parameter(row, "nested")).to_have_text('{"a":[1]}')
    expect(parameter(row, "truth")).to_have_text("true")
    pool.tell(uid, "set", progress=7, image="none", link=None)
    expect(parameter(row, "progress")).to_have_text("7")
    expect(parameter(row, "image")).to_have_text("none")
    expect(parameter(row, "link")).to_have_text("null")
    pool.tell(uid, "unset", names=["number", "lines"])
    expect(parameter(row, "number")).to_have_count(0)


def test_number_that_changes_has_a_plot(well_site: Site, page: Page) -> None:
    pool = Client(well_site, "pool")
    uid = pool.add()
    page.goto(well_site.url)
    row = rows(page, "pool").first
    open_details(row)
    pool.tell(uid, "set", level=3, still=5)
    expect(parameter(row, "level")).to_have_text("3")
    plots = parameter(row, "level").get_by_role("img")
    expect(plots).to_have_count(0)
    pool.tell(uid, "set", level=8)
    expect(plots).to_be_visible()
    expect(plots).to_have_attribute("aria-label", "level over the last minutes: 3 to 8")
    inked = "canvas => canvas.getContext('2d').getImageData(0, 0, 80, 18).data.some((byte) => byte)"
    assert plots.evaluate(inked)
    expect(parameter(row, "still").get_by_role("img")).to_have_count(0)


def test_all_rows_are_updated_in_place_when_many_modules_change_at_once(
    well_site: Site, page: Page
) -> None:
    many = 60
    well_site.direct("pool", many * [{"cmd": "add", "args": {"type": "setter"}}])
    page.goto(well_site.url)
    expect(rows(page, "pool")).to_have_count(many)
    page.evaluate("first = document.querySelectorAll('.module')[0]")
    page.evaluate("last = [...document.querySelectorAll('.module')].at(-1)")
    uids = Client(well_site, "pool").uids()
    for value in (1, 2):
        tell = {"cmd": "set", "args": {"value": value}}
        commands = [{"cmd": "tell_module", "args": {"uid": uid, **tell}} for uid in uids]
        assert all(answer["success"] for answer in well_site.direct("pool", commands).json)
        # Including those out of view.
        shown = page.locator(".glance", has_text=f"value {value}")
        expect(shown).to_have_count(many)
    assert page.evaluate("first === document.querySelectorAll('.module')[0]")
    assert page.evaluate("last === [...document.querySelectorAll('.module')].at(-1)")


def test_ended_modules_are_listed_and_unexpected_ends_announced(
    well_site: Site, page: Page
) -> None:
    pool = Client(well_site, "pool")
    page.goto(well_site.url)
    uid = pool.add()
    expect(rows(page, "pool")).to_have_count(1)
    with pytest.raises(Refusal):
        pool.tell(uid, "exit", status=7)
    ended = service(page, "pool").locator(".ended")
    expect(ended).to_contain_text("ended. Latest: well exited with status 7")
    expect(page.locator("#announcer")).to_have_text("well exited with status 7")
    ended.locator("summary").click()
    item = ended.get_by_role("listitem").first
    expect(item).to_contain_text("exited with status 7")
    expect(item).to_contain_text("Last state: playing")


def test_an_end_is_announced_that_comes_before_the_first_answer_on_ends(
    well_site: Site, page: Page
) -> None:
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        is_first = not held and '"gone"' in (route.request.post_data or "")
        held.append(route) if is_first else route.continue_()

    page.route("**/pool", hold_first)
    pool = Client(well_site, "pool")
    page.goto(well_site.url)
    uid = pool.add()
    expect(rows(page, "pool")).to_have_count(1)
    with pytest.raises(Refusal):
        pool.tell(uid, "exit", status=7)
    expect(page.locator("#announcer")).to_have_text("well exited with status 7")
    assert held
    held[0].continue_()


def test_resource_usage_is_polled_only_while_the_page_is_visible(
    well_site: Site, page: Page
) -> None:
    Client(well_site, "pool").add()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or ""))
    page.goto(well_site.url)
    usage = open_details(rows(page, "pool").first).locator(".usage")
    expect(usage).to_contain_text("% CPU")
    expect(usage).to_contain_text("MB")
    page.clock.install()
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
    page.clock.run_for(5_000)  # requests already under way
    asked.clear()
    page.clock.run_for(60_000)
    assert not any("usage" in each for each in asked)


def test_inline_scripts_are_blocked(first_page: Page) -> None:
    refused = first_page.evaluate(
        """() => new Promise((resolve) => {
            addEventListener("securitypolicyviolation", (event) =>
                resolve(event.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "window.hacked = true";
            document.body.append(script);
        })"""
    )
    assert refused == "script-src-elem"
    assert first_page.evaluate("window.hacked") is None


def test_service_that_comes_back_as_another_kind_is_shown_as_that_kind(
    make_site: Callable[..., Site], page: Page
) -> None:
    well_site = make_site(**WELL_SITE).start()
    page.goto(well_site.url)
    expect(service(page, "pool").locator(".kind")).to_have_text("pool")
    well_site.stop("pool")
    expect(service(page, "pool").get_by_role("status").first).to_have_text("Not responding")
    well_site.programs["pool"] = [sys.executable, "-m", "shmooze.queue", "pool"]
    well_site.start("pool")
    expect(service(page, "pool").locator(".kind")).to_have_text("queue")
    expect(service(page, "pool").locator(".background")).to_be_attached()


def test_page_is_correct_again_after_missing_more_events_than_are_kept(
    make_site: Callable[..., Site], page: Page
) -> None:
    site = make_site(
        services=("wsgi", "pool"),
        settings={"pool": {"modules": {"well": {"process": child("well")}}}},
        programs={"pool": [sys.executable, str(CHILDREN / "forgetful_pool.py")]},
    ).start()
    pool = Client(site, "pool")
    uid = pool.add()
    page.goto(site.url)
    open_details(rows(page, "pool").first)
    pool.tell(uid, "set", x=0, old=0)
    expect(parameter(rows(page, "pool").first, "x")).to_have_text("0")
    site.stop("wsgi")
    watcher = Watcher(site.ports["pool"], "/events")
    for number in range(1, 10):
        pool.tell(uid, "set", x=number)
        watcher.wait_for(pool)
    pool.tell(uid, "unset", names=["old"])
    watcher.close()
    site.start("wsgi")
    expect(parameter(rows(page, "pool").first, "x")).to_contain_text("9")
    expect(parameter(rows(page, "pool").first, "old")).to_have_count(0)


def test_restart_of_a_service_keeps_text_and_focus_of_a_form(well_site: Site, page: Page) -> None:
    page.goto(well_site.url)
    Client(well_site, "pool").add()
    expect(rows(page, "pool")).to_have_count(1)
    field = form_of(page, "pool").get_by_label("Arguments")
    field.fill('{"half')
    well_site.stop("pool")
    expect(service(page, "pool").get_by_role("status").first).to_have_text("Not responding")
    well_site.start("pool")
    expect(service(page, "pool").get_by_role("status").first).to_have_text("Alive")
    expect(rows(page, "pool")).to_have_count(0)
    expect(field).to_have_value('{"half')
    expect(field).to_be_focused()


def test_parameters_named_like_object_members_and_huge_values_are_shown(
    well_site: Site, page: Page
) -> None:
    pool = Client(well_site, "pool")
    uid = pool.add()
    page.goto(well_site.url)
    row = rows(page, "pool").first
    open_details(row)
    pool.tell(uid, "set", toString=1, constructor="x", huge="y" * 500_000)
    expect(parameter(row, "toString")).to_have_text("1")
    expect(parameter(row, "constructor")).to_have_text("x")
    expect(parameter(row, "huge")).to_contain_text("… 480000 more characters")
    pool.tell(uid, "unset", names=["toString"])
    expect(parameter(row, "toString")).to_have_count(0)
    pool.tell(uid, "set", **{f"p{number}": number for number in range(300)})
    expect(row.locator(".not-shown")).to_contain_text("more parameters")
    expect(row.locator(".parameters > div")).to_have_count(200)
    pool.tell(uid, "set", stamp=1764000000123456, lines=["z"] * 600)
    expect(row.locator(".not-shown")).to_contain_text("more parameters")


def test_integers_beyond_the_safe_range_are_shown_with_all_digits(
    well_site: Site, page: Page
) -> None:
    pool = Client(well_site, "pool")
    uid = pool.add()
    page.goto(well_site.url)
    row = rows(page, "pool").first
    open_details(row)
    big, small = 9007199254740993, -9223372036854775807
    pool.tell(uid, "set", big=big, nested={"a": [small, 1]}, exact=9007199254740991)
    expect(parameter(row, "big")).to_have_text(str(big))
    expect(parameter(row, "nested")).to_have_text(f'{{"a":[{small},1]}}')
    expect(parameter(row, "exact")).to_have_text("9007199254740991")
    pool.tell(uid, "set", big=big + 2)
    expect(parameter(row, "big")).to_have_text(str(big + 2))
    expect(parameter(row, "big").get_by_role("img")).to_be_visible()
    unfold(service(page, "pool").locator(".command-box"))
    form = service(page, "pool").get_by_role("form", name="Send to pool")
    form.get_by_label("Command").fill("pool")
    form.get_by_label("Arguments").fill('{"parameters": {"well": ["big", "nested"]}}')
    form.get_by_role("button").click()
    expect(form.locator(".answer")).to_contain_text(f'"big": {big + 2}')
    expect(form.locator(".answer")).to_contain_text(f"{small},")


def test_numbers_that_cannot_be_sent_exactly_are_rejected(well_site: Site, page: Page) -> None:
    page.goto(well_site.url)
    form = submit(page, "pool", "Add", "well", '{"id": 9007199254740993}')
    expect(form.get_by_role("alert")).to_contain_text("id is too large to be sent exactly")


def test_web_server_of_a_module_can_be_opened_while_it_answers(
    page: Page, make_site: Callable[..., Site]
) -> None:
    argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "{port}"]
    types = {"files": {"adapter": "command", "process": argv, "http": {}}}
    site = make_site(settings={"pool": {"modules": types}}, services=("wsgi", "pool")).start()
    page.goto(site.url)
    uid = site.ask("pool", "add", type="files")["uid"]
    row = rows(page, "pool")
    link = row.get_by_role("link", name="Open files")
    with page.expect_popup() as opened:
        link.click()
    assert opened.value.url == f"{site.url}pool/at/{uid}/"
    expect(opened.value).to_have_title("Directory listing for /")
    site.ask("pool", "hold", uids=[uid])
    expect(row.locator(".state")).to_have_text("held")
    expect(link).to_be_hidden()
