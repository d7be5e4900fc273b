"""shmooze.js, in a real Chromium, against real services."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from chromium import needs_chromium
from conftest import EXAMPLES
from events import asked
from playwright.sync_api import Page, Request, Route, expect
from support import ROOT, Client, Site, wait_until

pytestmark = needs_chromium


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


# Queries


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


# Settings and connection


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
