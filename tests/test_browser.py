"""shmooze.js and the first page, in a real Chromium, against real services."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import chromium, needs_chromium
from conftest import EXAMPLES
from events import asked
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect
from support import PATIENCE, ROOT, Client, Site, free_ports, is_listening, wait_until

from shmooze.lib.tokens import TokenFile

HOSTILE = "<img src=x onerror=\"document.title='hacked'\">"
CLOCK = {"process": [sys.executable, str(ROOT / "examples" / "modules" / "clock.py")]}

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE * 1000)
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    yield page
    page.close()


@pytest.fixture
def first_page(page: Page, site: Site) -> Page:
    """The first page of the example application, which knows its queue and its pool."""
    page.goto(site.url)
    expect(service(page, "queue").get_by_role("form", name="Add")).to_be_visible()
    expect(service(page, "pool").get_by_role("form", name="Add")).to_be_visible()
    return page


def service(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def rows(page: Page, name: str = "queue") -> Locator:
    return service(page, name).locator(".roster .module")


def shown_uids(page: Page) -> list[str]:
    return rows(page).locator(".uid").evaluate_all("codes => codes.map(code => code.title)")


def order(page: Page, name: str, button: str, type: str, args: str) -> Locator:
    """Fill in and send one of a service's forms, which is returned."""
    form = service(page, name).get_by_role("form", name=button)
    form.get_by_label("Type").select_option(type)
    form.get_by_label("Arguments").fill(args)
    form.get_by_role("button", name=button).click()
    return form


def add_countdowns(site: Site, page: Page, count: int) -> list[str]:
    """The uids of new countdowns, which the page shows in this order."""
    packet = {"type": "countdown", "args": {"seconds": 1000}}
    uids = [site.ask("queue", "add", **packet)["uid"] for _ in range(count)]
    expect(rows(page)).to_have_count(count)
    assert shown_uids(page) == uids
    return uids


def open_bare(page: Page, site: Site, html: str = "", before: str = "") -> list[Request]:
    """Open a page of nothing but shmooze.js and `html`; the POST requests of it, growing."""
    script = '<!doctype html><script src="shmooze.js"></script>'
    body = f"<!doctype html><script>{before}</script>{script}{html}"
    page.route("**/bare.html", lambda route: route.fulfill(body=body, content_type="text/html"))
    posts: list[Request] = []
    page.on("request", lambda request: posts.append(request) if request.method == "POST" else None)
    page.goto(f"{site.url}bare.html")
    page.evaluate("() => shmooze_ready")
    return posts


# The first page


def test_page_tells_queue_and_pool_by_what_they_answer(
    page: Page, make_site: Callable[..., Site]
) -> None:
    # Names tell nothing: here the pool is called queue, and the queue pool.
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
    expect(service(page, "vol").get_by_role("form")).to_have_count(0)
    expect(service(page, "radio").get_by_role("status")).to_have_text("Not answering")
    expect(service(page, "radio").get_by_role("alert")).to_contain_text("not running")


def test_added_module_is_shown_with_its_parameters(site: Site, first_page: Page) -> None:
    order(first_page, "queue", "Add", "countdown", '{"seconds": 1000}')
    row = rows(first_page)
    expect(row.locator(".state")).to_have_text("playing")
    expect(row.locator("div", has=first_page.get_by_text("total")).locator("dd")).to_have_text(
        "1000"
    )
    uid = site.ask("queue", "queue")[0]["uid"]
    expect(row.locator(".uid")).to_have_text(uid[:8])


def test_job_added_to_the_pool_shows_its_output(first_page: Page) -> None:
    order(first_page, "pool", "Add", "job", '{"name": "hello"}')
    expect(rows(first_page, "pool")).to_contain_text("hello")
    expect(rows(first_page, "pool")).to_contain_text("done")


def test_module_that_leaves_by_itself_leaves_the_page(site: Site, first_page: Page) -> None:
    (uid,) = add_countdowns(site, first_page, 1)
    site.ask("queue", "rm", uids=[uid])
    expect(rows(first_page)).to_have_count(0)
    expect(service(first_page, "queue")).to_contain_text("Nothing here yet.")


def test_background_is_set_and_replaced(site: Site, first_page: Page) -> None:
    background = service(first_page, "queue").locator(".background")
    expect(background).to_contain_text("None.")
    order(first_page, "queue", "Set background", "clock", '{"format": "first"}')
    expect(background.locator("dd")).to_have_text("first")
    order(first_page, "queue", "Set background", "clock", '{"format": "second"}')
    expect(background.locator("dd")).to_have_text("second")
    expect(background.locator(".state")).to_have_text("playing")
    assert site.ask("queue", "bg")["type"] == "clock"


def test_reordering_by_keyboard_keeps_the_focus(site: Site, first_page: Page) -> None:
    first, second, third = add_countdowns(site, first_page, 3)
    up = rows(first_page).nth(2).get_by_role("button", name="Move countdown up")
    up.focus()
    handle = up.element_handle()
    for expected in ([first, third, second], [third, first, second]):
        first_page.keyboard.press("Enter")
        first_page.wait_for_function(
            "uids => [...document.querySelectorAll('.roster .uid')]"
            ".map(code => code.title).slice(0, uids.length).join() === uids.join()",
            arg=expected,
        )
        assert [module["uid"] for module in site.ask("queue", "queue")] == expected
        assert handle.evaluate("button => button === document.activeElement")
    expect(first_page.locator("#announcer")).to_have_text("countdown is now 1 of 3")
    expect(rows(first_page).first.locator(".state")).to_have_text("playing")
    first_page.keyboard.press("Tab")
    first_page.keyboard.press("Enter")
    expect(first_page.locator("#announcer")).to_have_text("countdown is now 2 of 3")
    assert [module["uid"] for module in site.ask("queue", "queue")] == [first, third, second]


def test_removing_passes_the_focus_on(site: Site, first_page: Page) -> None:
    uids = add_countdowns(site, first_page, 2)
    rows(first_page).first.get_by_role("button", name="Remove countdown").focus()
    first_page.keyboard.press("Enter")
    expect(rows(first_page)).to_have_count(1)
    assert shown_uids(first_page) == uids[1:]
    last = rows(first_page).get_by_role("button", name="Remove countdown")
    expect(last).to_be_focused()
    first_page.keyboard.press("Enter")
    expect(rows(first_page)).to_have_count(0)
    form = service(first_page, "queue").get_by_role("form", name="Add")
    expect(form.get_by_label("Type")).to_be_focused()
    assert site.ask("queue", "queue") == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ('{"seconds": soon}', "not valid JSON"),
        ("[30]", "must be a JSON object"),
        ('{"seconds": -1}', "seconds must be a number above 0, not -1"),
    ],
)
def test_bad_arguments_are_said_and_the_next_good_ones_taken(
    site: Site, first_page: Page, args: str, said: str
) -> None:
    form = order(first_page, "queue", "Add", "countdown", args)
    expect(form.get_by_role("alert")).to_contain_text(said)
    assert site.ask("queue", "queue") == []
    order(first_page, "queue", "Add", "countdown", '{"seconds": 1000}')
    expect(rows(first_page)).to_have_count(1)
    expect(form.get_by_role("alert")).to_be_hidden()


def test_hostile_type_and_parameters_stay_text(page: Page, make_site: Callable[..., Site]) -> None:
    types = {"modules": {HOSTILE: CLOCK}, "backgrounds": {HOSTILE: CLOCK}}
    site = make_site(settings={"queue": types, "name": HOSTILE}, services=("wsgi", "queue")).start()
    page.goto(site.url)
    args = json.dumps({"format": HOSTILE})
    order(page, "queue", "Add", HOSTILE, args)
    order(page, "queue", "Set background", HOSTILE, args)
    for row in (rows(page), page.locator(".background .module")):
        expect(row.locator(".type")).to_have_text(HOSTILE)
    expect(rows(page).locator("dd")).to_have_text(HOSTILE)
    rows(page).get_by_role("button", name=f"Remove {HOSTILE}", exact=True).click()
    expect(page.locator("#announcer")).to_have_text(f"{HOSTILE} removed")
    form = order(page, "queue", "Add", HOSTILE, json.dumps({HOSTILE: 1}))
    expect(form.get_by_role("alert")).to_contain_text(HOSTILE)
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(page.locator("img")).to_have_count(0)
    expect(page).to_have_title(HOSTILE)


def test_polling_moves_nothing_and_keeps_what_is_typed(site: Site, first_page: Page) -> None:
    add_countdowns(site, first_page, 2)
    field = service(first_page, "queue").get_by_role("form", name="Add").get_by_label("Arguments")
    field.fill('{"sec')
    row = rows(first_page).first.element_handle()
    left = rows(first_page).first.locator("div", has=first_page.get_by_text("left")).locator("dd")
    before = left.inner_text()
    expect(left).not_to_have_text(before)
    expect(field).to_be_focused()
    expect(field).to_have_value('{"sec')
    assert row.evaluate("row => row === document.querySelector('.roster .module')")


# Connection


def test_lost_connection_is_shown_and_comes_back_by_itself(site: Site, first_page: Page) -> None:
    lost = first_page.get_by_text("Connection lost")
    expect(lost).to_be_hidden()
    site.stop("wsgi")
    expect(lost).to_be_visible()
    expect(first_page.get_by_text("Connected")).to_be_hidden()
    site.start("wsgi")
    expect(first_page.get_by_text("Connected")).to_be_visible()
    expect(lost).to_be_hidden()
    add_countdowns(site, first_page, 1)


def test_page_without_services_that_run_is_still_connected(
    page: Page, make_site: Callable[..., Site]
) -> None:
    site = make_site(programs=EXAMPLES).start("wsgi")
    page.goto(site.url)
    expect(service(page, "queue").get_by_role("alert")).to_contain_text("not running")
    expect(page.get_by_text("Connected")).to_be_visible()
    site.start("queue")
    expect(service(page, "queue").get_by_role("status")).to_have_text("Alive")
    expect(service(page, "queue").get_by_role("form", name="Add")).to_be_visible()


def test_elements_keep_their_own_display_and_later_ones_are_right(page: Page, site: Site) -> None:
    open_bare(
        page,
        site,
        "<style>.old { display: none } .wide { display: flex }</style>"
        '<p id="hide" class="disconnect-hide wide">a<p id="old" class="disconnect-show old">b'
        '<p id="hidden" class="disconnect-show" hidden>c'
        '<p id="show" class="disconnect-show wide">d',
    )
    shown = """() => Object.fromEntries([...document.querySelectorAll("p")]
        .map((p) => [p.id, getComputedStyle(p).display]))"""
    calm = {"hide": "flex", "old": "none", "hidden": "none", "show": "none"}
    assert page.evaluate(shown) == calm
    page.evaluate("lostConnection()")
    page.evaluate("""() => document.body.insertAdjacentHTML("beforeend",
        '<p id="later" class="disconnect-hide"><p id="newer" class="disconnect-show old">')""")
    lost = {"hide": "none", "old": "block", "hidden": "block", "show": "flex"}
    assert page.evaluate(shown) == {**lost, "later": "none", "newer": "block"}
    page.evaluate("regainConnection()")
    assert page.evaluate(shown) == {**calm, "later": "block", "newer": "none"}


# shmooze.js


def test_what_is_asked_in_one_turn_goes_out_in_one_request(page: Page, site: Site) -> None:
    posts = open_bare(page, site)
    answers = page.evaluate("""() => new Promise((resolve) => {
        const answers = [];
        const keep = (answer) => answers.push(answer) === 3 && resolve(answers);
        endpoints.queue.deferQuery({cmd: "modules_available"}, keep);
        endpoints.queue.deferQuery({cmd: "queue"}, keep);
        endpoints.queue.deferQuery({cmd: "bg"}, keep);
    })""")
    assert answers == [["countdown", "ticker"], [], None]
    assert [post.post_data_json for post in posts] == [
        [{"cmd": "modules_available"}, {"cmd": "queue"}, {"cmd": "bg"}]
    ]
    assert posts[0].headers["content-type"] == "application/json"


def test_forced_query_takes_along_all_that_waits(page: Page, site: Site) -> None:
    posts = open_bare(page, site)
    order_of_answers = page.evaluate("""() => new Promise((resolve) => {
        const order = [];
        endpoints.queue.deferQuery({cmd: "queue"}, () => order.push("deferred"));
        endpoints.queue.forceQuery({cmd: "bg"}, () => order.push("forced"));
        endpoints.queue.deferQuery({cmd: "modules_available"}, () => resolve([...order, "next"]));
    })""")
    assert order_of_answers == ["deferred", "forced", "next"]
    assert [[query["cmd"] for query in post.post_data_json] for post in posts] == [
        ["queue", "bg"],
        ["modules_available"],
    ]


def test_run_queries_tells_when_all_is_answered(page: Page, site: Site) -> None:
    posts = open_bare(page, site)
    assert page.evaluate("""() => new Promise((resolve) => {
        const order = [];
        endpoints.queue.deferQuery({cmd: "queue"}, () => order.push("answer"));
        endpoints.queue.runQueries(() => {
            order.push("all");
            endpoints.queue.runQueries(() => resolve(order));
        });
    })""") == ["answer", "all"]
    assert len(posts) == 1


def test_error_callback_gets_the_words_of_the_service(page: Page, site: Site) -> None:
    open_bare(page, site)
    outcome = page.evaluate("""() => new Promise((resolve) => {
        const order = [], push = (what) => order.push(what);
        endpoints.queue.deferQuery({cmd: "dance"}, () => push("danced"), push);
        endpoints.queue.deferQuery({cmd: "queue"}, (result) => resolve([...order, result]));
    })""")
    assert outcome[1:] == [[]]
    assert "dance" in outcome[0]


QUERY_THAT_FAILS = """() => new Promise((resolve) => {
    const seen = [];
    endpoints.queue.onAlive = (changed) => seen.push("alive", changed);
    endpoints.queue.onDead = (changed) => seen.push("dead", changed);
    endpoints.queue.deferQuery({cmd: "queue"}, resolve, (reason) => seen.push(reason));
    endpoints.queue.deferQuery({cmd: "bg"}, resolve, (reason) => seen.push(reason));
    endpoints.queue.runQueries(resolve, (reason) => {
        const lost = "lost" in document.documentElement.dataset;
        resolve([...seen, reason, endpoints.queue.alive, lost]);
    });
})"""


def test_every_error_callback_fires_when_the_gateway_is_gone(page: Page, site: Site) -> None:
    open_bare(page, site)
    page.evaluate("() => new Promise((done) => endpoints.queue.forceQuery({cmd: 'queue'}, done))")
    site.stop("wsgi")
    reason = "the server is out of reach"
    assert page.evaluate(QUERY_THAT_FAILS) == ["dead", True, *[reason] * 3, False, True]


def test_service_that_is_down_is_dead_but_the_connection_is_not_lost(
    page: Page, site: Site
) -> None:
    open_bare(page, site)
    site.stop("queue")
    reason = "service 'queue' is not running"
    assert page.evaluate(QUERY_THAT_FAILS) == ["dead", False, *[reason] * 3, False, False]
    site.start("queue")
    seen = page.evaluate("""() => new Promise((resolve) => {
        endpoints.queue.onAlive = (changed) => resolve([changed, endpoints.queue.alive]);
        endpoints.queue.deferQuery({cmd: "queue"});
    })""")
    assert seen == [True, True]


def test_callback_that_throws_harms_no_other_and_is_reported(page: Page, site: Site) -> None:
    open_bare(page, site)
    with page.expect_event("pageerror") as reported:
        answers = page.evaluate("""() => new Promise((resolve) => {
            const answers = [];
            const bad = () => { throw new Error("mine"); };
            endpoints.queue.onAlive = bad;
            endpoints.queue.deferQuery({cmd: "queue"}, bad);
            endpoints.queue.deferQuery({cmd: "queue"}, (answer) => answers.push(answer));
            endpoints.queue.deferQuery({cmd: "dance"}, null, bad);
            endpoints.queue.deferQuery({cmd: "bg"}, (answer) => answers.push(answer));
            endpoints.queue.runQueries(() => {
                endpoints.queue.deferQuery({cmd: "queue"}, () => resolve(answers));
                bad();
            });
        })""")
    assert answers == [[], None]
    assert reported.value.message == "mine"


def test_data_that_is_no_json_fails_at_once_and_harms_no_other(page: Page, site: Site) -> None:
    open_bare(page, site)
    assert page.evaluate("""() => new Promise((resolve) => {
        const circle = {};
        circle.circle = circle;
        let thrown;
        endpoints.queue.deferQuery({cmd: "queue"}, (answer) => resolve([thrown, answer]));
        try { endpoints.queue.deferQuery(circle); } catch (error) { thrown = error.name; }
    })""") == ["TypeError", []]


def test_slow_forced_query_holds_up_no_deferred_one(page: Page, site: Site) -> None:
    open_bare(page, site)
    held: list[Route] = []
    page.route("**/pool", lambda route: held.append(route) if not held else route.continue_())
    page.evaluate("""() => {
        window.order = [];
        endpoints.pool.forceQuery({cmd: "pool"}, () => order.push("forced"));
    }""")
    deferred = "endpoints.pool.deferQuery({cmd: 'pool'}, () => done(order.push('deferred')))"
    page.evaluate(f"() => new Promise((done) => {deferred})")
    held[0].continue_()
    page.wait_for_function("() => order.length === 2")
    assert page.evaluate("order") == ["deferred", "forced"]


def test_deferred_queries_keep_their_order_over_requests(page: Page, site: Site) -> None:
    posts = open_bare(page, site)
    held: list[Route] = []
    page.route("**/pool", lambda route: held.append(route))
    ask = "(name) => new Promise((done) => endpoints[name].deferQuery({cmd: name}, done))"
    page.evaluate(f"() => {{ window.order = []; window.ask = {ask}; }}")
    with page.expect_request("**/pool"):
        page.evaluate("() => { ask('pool').then(() => order.push('first')); }")
    page.evaluate("() => { ask('pool').then(() => order.push('second')); return ask('queue'); }")
    urls = [post.url for post in posts]
    assert urls == [f"{site.url}pool", f"{site.url}queue"], "the second one waits for the first"
    page.unroute("**/pool")
    held[0].continue_()
    page.wait_for_function("() => order.length === 2")
    assert page.evaluate("order") == ["first", "second"]


# Settings and prefixes


@pytest.mark.parametrize(
    ("wsgi_prefix", "static_prefix", "address"),
    [
        ("/app/", "/static/", "/"),
        ("/app/", "/static/", "/app/"),
        ("/app/", "/app/files/", "/app/files/index.html"),
        ("/", "/files/", "/files/index.html"),
    ],
)
def test_page_works_under_other_prefixes(
    page: Page, make_site: Callable[..., Site], wsgi_prefix: str, static_prefix: str, address: str
) -> None:
    settings = {"wsgi_prefix": wsgi_prefix, "static_prefix": static_prefix}
    site = make_site(settings=settings, services=("wsgi", "queue"), programs=EXAMPLES).start()
    page.goto(f"http://127.0.0.1:{site.ports['wsgi']}{address}")
    expect(service(page, "queue").get_by_role("status")).to_have_text("Alive")
    assert page.evaluate("BASE_URL") == wsgi_prefix.rstrip("/")
    assert page.evaluate("endpoints.queue.url") == f"{wsgi_prefix}queue"


def test_page_can_name_the_base_url_itself(page: Page, make_site: Callable[..., Site]) -> None:
    near = make_site(services=("wsgi", "pool"), programs=EXAMPLES).start("wsgi")
    page.route(
        "**/elsewhere/settings.json", lambda route: route.fulfill(json={"ports": {"a/b": 1}})
    )
    open_bare(page, near, before="window.BASE_URL = '/elsewhere'")
    assert page.evaluate("[BASE_URL, endpoints['a/b'].url]") == ["/elsewhere", "/elsewhere/a%2Fb"]


def test_settings_dress_the_page(page: Page, make_site: Callable[..., Site]) -> None:
    look = {"name": "Zoo <b>1</b>", "bg_color": "#675098", "fg_color": "#ebebeb", "secret": "s"}
    public = {"public": ["name", "ports", "bg_color", "fg_color"]}
    site = make_site(settings={**look, **public}, services=("wsgi", "pool")).start("wsgi")
    open_bare(page, site, '<h1 class="title">old</h1>')
    expect(page.get_by_role("heading")).to_have_text("Zoo <b>1</b>")
    expect(page.locator("html")).to_have_css("background-color", "rgb(103, 80, 152)")
    expect(page.locator("html")).to_have_css("color", "rgb(235, 235, 235)")
    assert page.evaluate("Object.keys(settings_data).sort()") == sorted(public["public"])
    assert page.evaluate("Object.keys(endpoints)") == ["pool"]


# Live state

SUBSCRIBE = """() => {
  window.states = [];
  window.end = endpoints.queue.subscribe((state) => states.push(state));
}"""
LAST = "() => states.at(-1)"


def wait_for_state(page: Page, queue: Client) -> None:
    """Wait until what the page has heard last is what the service says."""
    wait_until(lambda: page.evaluate(LAST) == asked(queue), "the page knows")


def test_a_page_that_subscribes_knows_what_the_service_knows(page: Page, site: Site) -> None:
    queue = Client(site, "queue")
    first = queue.add("countdown", seconds=1000)
    open_bare(page, site)
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)
    second = queue.add("countdown", seconds=1000)
    queue("mv", uids=[second])
    queue("set_bg", type="clock")
    queue.tell(second, "add", seconds=1)
    queue("rm", uids=[first])
    queue("rm", uids=[second])
    wait_until(lambda: page.evaluate(LAST)["modules"] == [], "the page knows")
    assert page.evaluate(LAST)["background"]["type"] == "clock"
    assert page.evaluate("() => states.length") > 3


def test_a_module_that_has_not_changed_is_the_same_object(page: Page, site: Site) -> None:
    queue = Client(site, "queue")
    uids = [queue.add("countdown", seconds=1000) for _ in range(3)]
    open_bare(page, site)
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)
    queue.tell(uids[0], "add", seconds=1)
    page.wait_for_function("() => states.at(-1) !== states[0]")
    same = page.evaluate(
        "() => states.at(-1).modules.map((each, place) => each === states[0].modules[place])"
    )
    assert same == [False, True, True]


def test_a_subscription_survives_restarts_of_service_and_gateway(page: Page, site: Site) -> None:
    queue = Client(site, "queue")
    queue.add("countdown", seconds=1000)
    open_bare(page, site)
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)
    for name in ("queue", "wsgi"):
        site.stop(name)
        site.start(name)
        queue.add("countdown", seconds=1000)
        page.wait_for_function("(n) => states.at(-1).modules.length === n", arg=len(queue.uids()))


def test_an_ended_subscription_hears_nothing_and_a_second_one_hears_at_once(
    page: Page, site: Site
) -> None:
    queue = Client(site, "queue")
    open_bare(page, site)
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.evaluate("() => { window.others = []; endpoints.queue.subscribe((s) => others.push(s)); }")
    page.wait_for_function("() => others.length === 1")
    page.evaluate("() => end()")
    heard = page.evaluate("() => states.length")
    queue.add("countdown", seconds=1000)
    page.wait_for_function("() => others.at(-1).modules.length === 1")
    assert page.evaluate("() => states.length") == heard
    assert requests == [], "both share one stream"


def test_losing_the_stream_shows_that_the_connection_is_lost(page: Page, site: Site) -> None:
    open_bare(page, site, '<p class="disconnect-show">lost</p>')
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, Client(site, "queue"))
    site.stop("wsgi")
    expect(page.get_by_text("lost")).to_be_visible()
    site.start("wsgi")
    expect(page.get_by_text("lost")).to_be_hidden()


# Tokens


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Another web server: its origin, and the folder of its files."""
    (port,) = free_ports(1)
    argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    server = subprocess.Popen([*argv, "-d", tmp_path], stderr=subprocess.DEVNULL)
    wait_until(lambda: is_listening(port), "it listens")
    yield f"http://127.0.0.1:{port}", tmp_path
    server.kill()
    server.wait()


@pytest.fixture
def guarded(make_site: Callable[..., Site], elsewhere: tuple[str, Path]) -> tuple[Site, str]:
    """The example application with a token, which is the second part."""
    site = make_site(programs=EXAMPLES)
    tokens = TokenFile(str(site.folder / "tokens.json"))
    token = tokens.add("ada", "control")
    site.settings |= {"tokens_path": str(tokens.path), "allowed_origins": [elsewhere[0]]}
    site.settings_file.write_text(json.dumps(site.settings))
    return site.start(), token


def test_a_person_logs_in_and_steers(page: Page, guarded: tuple[Site, str]) -> None:
    site, token = guarded
    page.goto(site.url)
    expect(page).to_have_url(f"{site.url}login")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("The token is not valid.")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(site.url)
    order(page, "queue", "Add", "countdown", '{"seconds": 1000}')
    expect(rows(page)).to_have_count(1)
    assert page.evaluate("document.cookie") == "", "no script can read it"


def test_a_page_whose_token_is_revoked_is_led_to_the_form(
    page: Page, guarded: tuple[Site, str]
) -> None:
    site, token = guarded
    page.goto(f"{site.url}login")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(service(page, "queue")).to_be_visible()
    TokenFile(str(site.folder / "tokens.json")).revoke("ada")
    expect(page).to_have_url(f"{site.url}login")


def test_a_page_from_elsewhere_shows_its_token(
    page: Page, guarded: tuple[Site, str], elsewhere: tuple[str, Path]
) -> None:
    (site, token), (origin, folder) = guarded, elsewhere
    base = site.url.removesuffix("/")
    script = f"BASE_URL = '{base}'; shmooze_token = '{token}'"
    (folder / "index.html").write_text(
        f"<!doctype html><script>{script}</script><script src=shmooze.js></script>"
    )
    shutil.copy(ROOT / "static" / "shmooze.js", folder)
    page.goto(origin)
    page.evaluate("() => shmooze_ready")
    page.evaluate(SUBSCRIBE)
    page.evaluate(
        """() => new Promise((done, failed) => endpoints.queue.forceQuery(
            {cmd: "add", args: {type: "countdown", args: {seconds: 1000}}}, done, failed))"""
    )
    page.wait_for_function("() => states.at(-1) && states.at(-1).modules.length === 1")
