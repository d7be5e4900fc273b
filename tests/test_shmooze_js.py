"""shmooze.js in Chromium, with real services."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from chromium import needs_chromium
from conftest import EXAMPLES
from events import asked
from playwright.sync_api import Browser, BrowserContext, Dialog, Error, Page, Request, Route, expect
from support import CHILDREN, PATIENCE, ROOT, Client, Lender, Refusal, Site, child, wait_until

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def reused_page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    yield page
    page.close()


@pytest.fixture
def page(reused_page: Page) -> Iterator[Page]:
    """A tab that is the only one of its browser. Tests have it one after the other."""
    yield reused_page
    reused_page.unroute_all(behavior="ignoreErrors")
    if reused_page.url.startswith("http"):
        reused_page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
    reused_page.context.clear_cookies()
    reused_page.goto("about:blank")  # ends its requests


def open_page(page: Page, site: Site, html: str = "", before: str = "") -> list[Request]:
    """Open a page with only shmooze.js and `html`. Returns a growing list of its POST requests."""
    script = '<!doctype html><script src="shmooze.js"></script>'
    body = f"<!doctype html><script>{before}</script>{script}{html}"
    page.route("**/blank.html", lambda route: route.fulfill(body=body, content_type="text/html"))
    posts: list[Request] = []
    page.on("request", lambda request: posts.append(request) if request.method == "POST" else None)
    page.goto(f"{site.url}blank.html")
    page.evaluate("() => shmooze_ready")
    return posts


# Queries


def test_queries_of_one_turn_share_one_request(page: Page, site: Site) -> None:
    posts = open_page(page, site)
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


def test_forced_query_sends_all_deferred_ones_too(page: Page, site: Site) -> None:
    posts = open_page(page, site)
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


def test_callback_of_run_queries_is_called_after_all_answers(page: Page, site: Site) -> None:
    posts = open_page(page, site)
    assert page.evaluate("""() => new Promise((resolve) => {
        const order = [];
        endpoints.queue.deferQuery({cmd: "queue"}, () => order.push("answer"));
        endpoints.queue.runQueries(() => {
            order.push("all");
            endpoints.queue.runQueries(() => resolve(order));
        });
    })""") == ["answer", "all"]
    assert len(posts) == 1


def test_error_callback_gets_the_error_of_the_service(page: Page, site: Site) -> None:
    open_page(page, site)
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


def test_every_error_callback_is_called_when_the_gateway_is_down(page: Page, site: Site) -> None:
    open_page(page, site)
    page.evaluate("() => new Promise((done) => endpoints.queue.forceQuery({cmd: 'queue'}, done))")
    site.stop("wsgi")
    reason = "the server is unreachable"
    assert page.evaluate(QUERY_THAT_FAILS) == ["dead", True, *[reason] * 3, False, True]


def test_service_that_is_down_is_not_alive_but_the_connection_is_not_lost(
    page: Page, site: Site
) -> None:
    open_page(page, site)
    site.stop("queue")
    reason = "service 'queue' is not running"
    assert page.evaluate(QUERY_THAT_FAILS) == ["dead", False, *[reason] * 3, False, False]
    site.start("queue")
    seen = page.evaluate("""() => new Promise((resolve) => {
        endpoints.queue.onAlive = (changed) => resolve([changed, endpoints.queue.alive]);
        endpoints.queue.deferQuery({cmd: "queue"});
    })""")
    assert seen == [True, True]


def test_callback_that_throws_is_reported_and_does_not_affect_others(
    page: Page, site: Site
) -> None:
    open_page(page, site)
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


def test_data_that_cannot_be_encoded_throws_and_does_not_affect_other_queries(
    page: Page, site: Site
) -> None:
    open_page(page, site)
    assert page.evaluate("""() => new Promise((resolve) => {
        const circle = {};
        circle.circle = circle;
        let thrown;
        endpoints.queue.deferQuery({cmd: "queue"}, (answer) => resolve([thrown, answer]));
        try { endpoints.queue.deferQuery(circle); } catch (error) { thrown = error.name; }
    })""") == ["TypeError", []]


def test_slow_forced_query_does_not_delay_deferred_ones(page: Page, site: Site) -> None:
    open_page(page, site)
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


def test_deferred_queries_keep_their_order_across_requests(page: Page, site: Site) -> None:
    posts = open_page(page, site)
    held: list[Route] = []
    page.route("**/pool", lambda route: held.append(route))
    ask = "(name) => new Promise((done) => endpoints[name].deferQuery({cmd: name}, done))"
    page.evaluate(f"() => {{ window.order = []; window.ask = {ask}; }}")
    with page.expect_request("**/pool"):
        page.evaluate("() => { ask('pool').then(() => order.push('first')); }")
    page.evaluate("() => { ask('pool').then(() => order.push('second')); return ask('queue'); }")
    urls = [post.url for post in posts]
    assert urls == [f"{site.url}pool", f"{site.url}queue"], "the second query waits for the first"
    page.unroute("**/pool")
    held[0].continue_()
    page.wait_for_function("() => order.length === 2")
    assert page.evaluate("order") == ["first", "second"]


# Promises

#: Records unhandled rejections, and what is logged to the browser console.
LISTEN = """
  window.unhandled = [];
  addEventListener("unhandledrejection", ({reason}) => unhandled.push(reason.message));
  window.logged = [];
  console.error = (reason) => logged.push(reason);
"""


def test_awaited_query_returns_its_result_or_throws_the_reason(page: Page, site: Site) -> None:
    open_page(page, site, before=LISTEN)
    types, thrown, both = page.evaluate("""async () => {
        const {queue} = endpoints;
        const types = await queue.deferQuery({cmd: "modules_available"});
        const thrown = await queue.forceQuery({cmd: "dance"}).catch((error) => error);
        const both = await Promise.allSettled([
            queue.deferQuery({cmd: "bg"}), queue.deferQuery({cmd: "sing"})]);
        return [types, [thrown instanceof Error, thrown.message], both.map((each) => each.status)];
    }""")
    assert types == ["countdown", "ticker"]
    assert thrown[0] and "dance" in thrown[1]
    assert both == ["fulfilled", "rejected"]
    assert page.evaluate("[unhandled, logged]") == [[], []], (
        "nothing is logged if the promise is awaited"
    )


def test_failure_without_a_handler_is_logged_to_the_browser_console(page: Page, site: Site) -> None:
    open_page(page, site, before=LISTEN)
    received = page.evaluate("""async () => {
        const {queue} = endpoints, received = [];
        queue.deferQuery({cmd: "dance"});
        queue.forceQuery({cmd: "sing"}, () => received.push("sung"));
        queue.deferQuery({cmd: "jump"}, null, (reason) => received.push(reason));
        await queue.deferQuery({cmd: "queue"});
        await new Promise((next) => setTimeout(next)); // unhandled rejections come later
        return received;
    }""")
    assert len(received) == 1 and "jump" in received[0]
    said = page.evaluate("logged")
    assert len(said) == 2 and "sing" in "".join(said) and "dance" in "".join(said)
    assert page.evaluate("unhandled") == []


def test_promise_that_is_chained_reports_unhandled_rejections_as_usual(
    page: Page, site: Site
) -> None:
    open_page(page, site, before=LISTEN)
    page.evaluate("() => { endpoints.queue.deferQuery({cmd: 'dance'}).then(() => {}); }")
    page.wait_for_function("() => unhandled.length === 1")
    assert page.evaluate("logged") == []


def test_run_queries_returns_a_promise_too(page: Page, site: Site) -> None:
    open_page(page, site, before=LISTEN)
    assert page.evaluate("""async () => {
        const order = [];
        endpoints.queue.deferQuery({cmd: "queue"}, () => order.push("answer"));
        await endpoints.queue.runQueries();
        await endpoints.queue.runQueries();
        return order;
    }""") == ["answer"]
    site.stop("wsgi")
    reason = page.evaluate("""() => {
        endpoints.queue.deferQuery({cmd: "queue"});
        return endpoints.queue.runQueries().catch((error) => error.message);
    }""")
    assert reason == "the server is unreachable"
    assert page.evaluate("[unhandled, logged]") == [[], [reason]]


# Waiting for the gateway


def add(seconds: int, option: str = "") -> str:
    """JavaScript that adds a countdown, and records the outcome."""
    packet = f"{{cmd: 'add', args: {{type: 'countdown', args: {{seconds: {seconds}}}}}}}"
    note = f"() => outcomes.push({seconds}), (reason) => outcomes.push(reason)"
    return f"endpoints.queue.deferQuery({packet}, {note}, {option or '{}'});"


def totals(site: Site) -> list[int | None]:
    """The parameter `total` of the queue's countdowns in order, None if not yet set."""
    return [each["parameters"].get("total") for each in Client(site, "queue").roster()]


def test_queries_with_retry_are_sent_in_order_when_the_gateway_is_back(
    page: Page, site: Site
) -> None:
    open_page(page, site, before="window.outcomes = []")
    site.stop("wsgi")
    retry = "{retry: true}"
    page.evaluate(f"() => {{ {add(1001, retry)} {add(1002)} {add(1003, retry)} }}")
    page.wait_for_function("() => outcomes.length === 1")
    page.evaluate(f"() => {{ {add(1004, retry)} }}")
    assert page.evaluate("outcomes") == ["the server is unreachable"]
    site.start("wsgi")
    page.wait_for_function("() => outcomes.length === 4")
    assert page.evaluate("outcomes.slice(1)") == [1001, 1003, 1004]
    wait_until(lambda: totals(site) == [1001, 1003, 1004], "all are added in order")


def test_retry_of_the_endpoint_is_the_default_for_its_queries(page: Page, site: Site) -> None:
    open_page(page, site, before="window.outcomes = []")
    site.stop("wsgi")
    page.evaluate("() => { endpoints.queue.retry = true; }")
    page.evaluate(f"() => {{ {add(1001)} {add(1002, '{retry: false}')} }}")
    page.wait_for_function("() => outcomes.length === 1")
    site.start("wsgi")
    page.wait_for_function("() => outcomes.length === 2")
    assert page.evaluate("outcomes") == ["the server is unreachable", 1001]


def test_interrupted_request_is_sent_again_with_retry(page: Page, site: Site) -> None:
    posts = open_page(page, site, before="window.outcomes = []")
    page.route("**/queue", lambda route: route.abort(), times=1)
    page.evaluate(f"() => {{ {add(1001, '{retry: true}')} }}")
    page.wait_for_function("() => outcomes.length === 1")
    assert page.evaluate("outcomes") == [1001]
    assert len(posts) == 2


def test_query_that_is_interrupted_five_times_fails(page: Page, site: Site) -> None:
    # Browsers also report answers that are blocked for the page like this.
    posts = open_page(page, site, before="window.outcomes = []")
    page.evaluate("() => { Endpoint.pause = 50; }")
    page.route("**/queue", lambda route: route.abort())
    page.evaluate(f"() => {{ {add(1001, '{retry: true}')} }}")
    page.wait_for_function("() => outcomes.length === 1")
    assert page.evaluate("outcomes") == ["the server is unreachable"]
    assert len(posts) == 5


def test_at_most_1000_queries_wait_for_the_gateway(page: Page, site: Site) -> None:
    open_page(page, site)
    site.stop("wsgi")
    page.evaluate("""() => {
        window.done = window.refused = 0;
        endpoints.queue.retry = true;
        for (let i = 0; i < 1100; i++)
            endpoints.queue.deferQuery({cmd: "bg"}, () => done++, () => refused++);
    }""")
    page.wait_for_function("() => refused === 100")
    site.start("wsgi")
    page.wait_for_function("() => done === 1000")


def test_more_than_1000_queries_are_sent_in_several_requests_in_order(
    page: Page, site: Site
) -> None:
    posts = open_page(page, site)
    assert page.evaluate("""async () => {
        const {queue} = endpoints, order = [];
        await Promise.all(Array.from({length: 2500}, (_, place) =>
            queue.deferQuery({cmd: "bg"}).then(() => order.push(place))));
        return order.length === 2500 && order.every((place, i) => place === i);
    }""")
    assert [len(post.post_data_json) for post in posts] == [1000, 1000, 500]


def test_waiting_queries_are_sent_before_new_ones_when_the_gateway_is_back(
    page: Page, site: Site
) -> None:
    posts = open_page(page, site)
    site.stop("wsgi")
    page.evaluate("""() => {
        window.order = [];
        endpoints.queue.retry = true;
        const ask = (how, from, to) => {
            for (let place = from; place < to; place++)
                endpoints.queue[how]({cmd: "bg"}, () => order.push(place));
        };
        ask("deferQuery", 0, 950);
        window.regainConnection = () => ask("forceQuery", 950, 1100);
    }""")
    page.wait_for_function("() => 'lost' in document.documentElement.dataset")
    posts.clear()
    site.start("wsgi")
    page.wait_for_function("() => order.length >= 1100")
    assert page.evaluate("order.toSorted((a, b) => a - b)") == list(range(1100)), (
        "each is sent once"
    )
    assert len(posts[-150].post_data_json) == 951
    waited = "order.filter((place) => place < 950)"
    assert page.evaluate(waited) == list(range(950))


# Losing the gateway


def test_page_functions_that_throw_do_not_break_reconnecting(page: Page, site: Site) -> None:
    queue = Client(site, "queue")
    bad = "() => { throw new Error('mine'); }"
    open_page(page, site, f"<script>lostConnection = {bad}; regainConnection = {bad};</script>")
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)
    site.stop("wsgi")
    asked = "() => endpoints.queue.deferQuery({cmd: 'queue'}).catch((error) => error.message)"
    assert page.evaluate(asked) == "the server is unreachable"
    site.start("wsgi")
    queue.add("countdown", seconds=1000)
    wait_for_state(page, queue)
    assert len(page.evaluate(asked)) == 1


def test_page_that_calls_lost_connection_itself_regains_it(page: Page, site: Site) -> None:
    wrapped = """
      window.calls = [];
      const { lostConnection: lose, regainConnection: regain } = window;
      lostConnection = () => { calls.push("lost"); lose(); };
      regainConnection = () => { calls.push("back"); regain(); };"""
    open_page(page, site, f"<script>{wrapped}</script>")
    assert page.evaluate(
        "() => { lostConnection(); return {...document.documentElement.dataset}; }"
    )
    page.wait_for_function("() => !('lost' in document.documentElement.dataset)")
    assert page.evaluate("calls") == ["lost", "back"]


def send_slow_query(page: Page, site: Site) -> list[Route]:
    """Send a query that is not answered until the returned route continues."""
    open_page(page, site, before="window.outcomes = []")
    held: list[Route] = []
    page.route("**/queue", lambda route: held.append(route))
    page.evaluate("() => { Endpoint.slow = 300; }")
    with page.expect_request("**/queue"):
        page.evaluate(f"() => {{ {add(1001)} }}")
    return held


@pytest.mark.parametrize("times", [1, 3])
def test_gateway_that_answers_with_any_status_is_not_lost(
    page: Page, site: Site, times: int
) -> None:
    probes: list[Route] = []

    def refuse(route: Route) -> None:
        probes.append(route)
        route.fulfill(status=503, json={"success": False, "error": "busy"})

    held = send_slow_query(page, site)
    page.route("**/settings.json", refuse, times=times)
    while len(probes) < times:
        page.wait_for_event("response")
    held[0].continue_()
    page.wait_for_function("() => outcomes.length === 1")
    assert page.evaluate("outcomes") == [1001]


def test_one_slow_probe_does_not_mean_that_the_gateway_is_lost(page: Page, site: Site) -> None:
    held = send_slow_query(page, site)
    page.evaluate("() => { Endpoint.slow = 3000; }")  # so that the second probe is answered in time
    page.route("**/settings.json", lambda route: None, times=1)
    page.wait_for_event("requestfailed")
    page.wait_for_event("requestfinished")
    held[0].continue_()
    page.wait_for_function("() => outcomes.length === 1")
    assert page.evaluate("[...outcomes, 'lost' in document.documentElement.dataset]") == [
        1001,
        False,
    ]


def test_gateway_that_stops_answering_is_lost(page: Page, site: Site) -> None:
    send_slow_query(page, site)
    page.route("**/settings.json", lambda route: None)
    page.wait_for_function("() => outcomes.length === 1")
    assert page.evaluate("outcomes") == ["the server is unreachable"]
    assert page.evaluate("'lost' in document.documentElement.dataset")


# Import


def test_javascript_module_can_import_it_on_any_page(page: Page, site: Site) -> None:
    url = f"{site.url}static/shmooze.mjs"
    imported = f"""import {{ endpoints, Endpoint, ready }} from "{url}";
        await ready;
        window.answer = await endpoints.queue.deferQuery({{cmd: "modules_available"}});
        window.same = endpoints === window.endpoints && endpoints.queue instanceof Endpoint;"""
    body = f'<!doctype html><script type="module">{imported}</script>'
    page.route("**/far/away/", lambda route: route.fulfill(body=body, content_type="text/html"))
    page.goto(f"{site.url}far/away/")
    page.wait_for_function("() => window.same")
    assert page.evaluate("answer") == ["countdown", "ticker"]


def test_script_and_import_on_one_page_share_the_same_objects(page: Page, site: Site) -> None:
    open_page(page, site)
    assert page.evaluate("""async () => {
        const before = endpoints, {endpoints: imported, ready} = await import("./shmooze.mjs");
        return [imported === before, window.endpoints === before, await ready === settings_data];
    }""") == [True, True, True]


def test_script_is_small_and_has_short_lines() -> None:
    text = (ROOT / "static" / "shmooze.js").read_bytes()
    assert len(text) < 12 * 1024
    assert max(map(len, text.decode().splitlines())) <= 120


RIGHT = """/// <reference path="shmooze.d.mts" />
import { endpoints as imported, Endpoint as Imported, ready } from "./shmooze.mjs";
/** @returns {Promise<number>} */
export async function right() {
  const settings = await ready;
  document.title = settings.name;
  /** @type {string[]} */
  const types = await imported.queue.deferQuery({ cmd: "modules_available" });
  endpoints.queue.forceQuery({ cmd: "rm", args: { uids: types } }, null, (reason) => reason.trim());
  endpoints.queue.deferQuery({ cmd: "bg" }, (result) => result, null, { retry: true });
  /** @type {Endpoint} */
  const own = new Endpoint(BASE_URL + "/queue");
  own.onDead = (changed) => changed || lostConnection();
  own.subscribe((state, gone) => Object.values(gone).map(({ reason }) => reason.length));
  return own.subscribe(({ modules }) => modules.map(({ uid }) => uid.length)) && Imported.pause;
}
"""

#: Mistakes, one per line.
WRONG = [
    'endpoints.queue.deferQuery({ command: "queue" });',
    'endpoints.queue.ask("queue");',
    "endpoints.queue.subscribe((state) => state.module);",
    'endpoints.queue.deferQuery({ cmd: "bg" }, null, null, { again: true });',
]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tsc") is None, reason="tsc is not installed")
def test_typescript_accepts_correct_use_and_rejects_mistakes(tmp_path: Path) -> None:
    for name in ("shmooze.mjs", "shmooze.d.mts"):
        shutil.copy(ROOT / "static" / name, tmp_path)
    (tmp_path / "right.mjs").write_text(RIGHT)
    head = '/// <reference path="shmooze.d.mts" />\n'
    (tmp_path / "wrong.js").write_text(head + "\n".join(WRONG))
    options = ["--allowJs", "--checkJs", "--strict", "--noEmit", "--target", "es2022"]
    command = ["tsc", *options, "--module", "node16", "right.mjs", "wrong.js"]
    done = subprocess.run(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE)
    assert done.returncode != 0
    places = re.findall(r"^(\S+)\((\d+)", done.stdout, re.MULTILINE)
    assert places == [("wrong.js", str(line)) for line in range(2, 2 + len(WRONG))]


# Settings and connection


def test_page_can_set_the_base_url_itself(page: Page, make_site: Callable[..., Site]) -> None:
    near = make_site(services=("wsgi", "pool"), programs=EXAMPLES).start("wsgi")
    page.route(
        "**/elsewhere/settings.json", lambda route: route.fulfill(json={"ports": {"a/b": 1}})
    )
    open_page(page, near, before="window.BASE_URL = '/elsewhere'")
    assert page.evaluate("[BASE_URL, endpoints['a/b'].url]") == ["/elsewhere", "/elsewhere/a%2Fb"]


def test_queries_work_if_the_url_of_the_page_contains_a_password(page: Page, site: Site) -> None:
    body = '<!doctype html><script src="shmooze.js"></script>'
    page.route("**/blank.html", lambda route: route.fulfill(body=body, content_type="text/html"))
    page.goto(f"{site.url}blank.html".replace("//", "//ada:secret@"))
    page.evaluate("() => shmooze_ready")
    page.evaluate(SUBSCRIBE)
    page.evaluate(ADD)
    wait_for_state(page, Client(site, "queue"))


@pytest.mark.parametrize("behind", [None, 404, 200])
def test_script_can_be_in_a_folder_of_its_own(
    page: Page, make_site: Callable[..., Site], tmp_path: Path, behind: int | None
) -> None:
    """`behind`: another server has the script, and answers this status for settings.json."""
    (tmp_path / "js").mkdir()
    shutil.copy(ROOT / "static" / "shmooze.js", tmp_path / "js")
    (tmp_path / "index.html").write_text('<!doctype html><script src="js/shmooze.js"></script>')
    settings = {"static_path": str(tmp_path), "wsgi_prefix": "/app/"}
    site = make_site(settings=settings, services=("wsgi", "queue"), programs=EXAMPLES).start()
    if behind:
        answer = {"status": behind, "body": "<!doctype html>"}
        page.route("**/js/settings.json", lambda route: route.fulfill(**answer))
    page.goto(site.url if behind else f"{site.url.removesuffix('app/')}static/index.html")
    page.evaluate("() => shmooze_ready")
    assert page.evaluate("[BASE_URL, endpoints.queue.url]") == ["/app", "/app/queue"]
    assert page.evaluate("endpoints.queue.deferQuery({cmd: 'queue'})") == []
    assert "lost" not in page.evaluate("({...document.documentElement.dataset})")


def test_401_of_a_proxy_does_not_lead_to_the_login_page(page: Page, site: Site) -> None:
    open_page(page, site, '<p class="disconnect-show">lost</p>')
    refusal = {"status": 401, "headers": {"WWW-Authenticate": 'Bearer realm="proxy"'}, "body": "no"}
    page.route(re.compile("/(queue|settings.json)$"), lambda route: route.fulfill(**refusal))
    reason = "() => endpoints.queue.deferQuery({cmd: 'queue'}).catch((error) => error.message)"
    assert page.evaluate(reason) == "/queue: invalid answer (status 401)"
    expect(page.get_by_text("lost")).to_be_visible()
    expect(page).to_have_url(f"{site.url}blank.html")
    page.unroute_all()
    expect(page.get_by_text("lost")).to_be_hidden()


def test_public_settings_set_title_and_colours_of_the_page(
    page: Page, make_site: Callable[..., Site]
) -> None:
    look = {"name": "Zoo <b>1</b>", "bg_color": "#675098", "fg_color": "#ebebeb", "secret": "s"}
    public = {"public": ["name", "ports", "bg_color", "fg_color"]}
    site = make_site(settings={**look, **public}, services=("wsgi", "pool")).start("wsgi")
    open_page(page, site, '<h1 class="title">old</h1>')
    expect(page.get_by_role("heading")).to_have_text("Zoo <b>1</b>")
    expect(page.locator("html")).to_have_css("background-color", "rgb(103, 80, 152)")
    expect(page.locator("html")).to_have_css("color", "rgb(235, 235, 235)")
    assert page.evaluate("Object.keys(settings_data).sort()") == sorted(public["public"])
    assert page.evaluate("Object.keys(endpoints)") == ["pool"]


def test_elements_are_shown_with_their_own_display_even_if_added_later(
    page: Page, site: Site
) -> None:
    open_page(
        page,
        site,
        "<style>.old { display: none } .wide { display: flex }</style>"
        '<p id="hide" class="disconnect-hide wide">a<p id="old" class="disconnect-show old">b'
        '<p id="hidden" class="disconnect-show" hidden>c'
        '<p id="show" class="disconnect-show wide">d',
    )
    shown = """() => Object.fromEntries([...document.querySelectorAll("p")]
        .map((p) => [p.id, getComputedStyle(p).display]))"""
    connected = {"hide": "flex", "old": "none", "hidden": "none", "show": "none"}
    assert page.evaluate(shown) == connected
    page.route("**/settings.json", lambda route: route.abort())
    page.evaluate("lostConnection()")
    page.evaluate("""() => document.body.insertAdjacentHTML("beforeend",
        '<p id="later" class="disconnect-hide"><p id="newer" class="disconnect-show old">')""")
    lost = {"hide": "none", "old": "block", "hidden": "block", "show": "flex"}
    assert page.evaluate(shown) == {**lost, "later": "none", "newer": "block"}
    page.evaluate("regainConnection()")
    assert page.evaluate(shown) == {**connected, "later": "block", "newer": "none"}


# Live state

SUBSCRIBE = """() => {
  window.states = [];
  window.end = endpoints.queue.subscribe((state) => states.push(state));
}"""
LAST = "() => states.at(-1)"


def wait_for_state(page: Page, queue: Client) -> None:
    """Wait until the page has the state of the service."""
    wait_until(lambda: page.evaluate(LAST) == asked(queue), "the page has the state")


def test_subscribed_page_has_the_state_of_the_service(page: Page, site: Site) -> None:
    queue = Client(site, "queue")
    first = queue.add("countdown", seconds=1000)
    open_page(page, site)
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)
    second = queue.add("countdown", seconds=1000)
    queue("mv", uids=[second])
    queue("set_bg", type="clock")
    queue.tell(second, "add", seconds=1)
    queue("rm", uids=[first])
    queue("rm", uids=[second])
    wait_until(lambda: page.evaluate(LAST)["modules"] == [], "the page has the state")
    assert page.evaluate(LAST)["background"]["type"] == "clock"
    assert page.evaluate("() => states.length") > 3


def test_state_has_the_number_of_restarts_and_the_next_attempt(
    page: Page, make_site: Callable[..., Site]
) -> None:
    kind = {"process": child("well"), "restart": "always", "restart_delay": 0.5}
    site = make_site(services=("wsgi", "queue"), settings={"queue": {"modules": {"again": kind}}})
    queue = Client(site.start(), "queue")
    uid = queue.add("again")
    open_page(page, site)
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)
    with pytest.raises(Refusal):
        queue.tell(uid, "exit")
    page.wait_for_function("() => states.some((each) => each.modules[0]?.next_attempt_at > 0)")
    wait_until(lambda: queue.roster()[0]["state"] == "playing", "it plays again")
    wait_for_state(page, queue)
    assert page.evaluate(LAST)["modules"][0]["restarts"] == 1


def test_snapshot_in_parts_adds_up_to_the_state_of_the_service(
    page: Page, make_site: Callable[..., Site]
) -> None:
    program = """
from gevent import monkey
monkey.patch_all()
from shmooze.broker.events import EventHub
from shmooze.queue import _from_settings
EventHub.max_event = EventHub.kept_bytes = 4_000
_from_settings("queue").serve_forever()
"""
    site = make_site(
        services=("wsgi", "queue"),
        settings={"queue": {"modules": {"well": {"process": child("well")}}}},
        programs={"queue": [sys.executable, "-c", program]},
    )
    queue = Client(site.start(), "queue")
    uids = [queue.add_settled(name=f"n{number}") for number in range(8)]
    for uid in uids:
        queue.tell(uid, "set", text=uid[:1] * 3000)
    open_page(page, site)
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)  # the first snapshot comes in parts
    for letter in "xy":  # too large a change to be kept: another snapshot
        queue.tell(uids[0], "set", text=letter * 5000)
        wait_for_state(page, queue)
    queue("rm", uids=uids[:2])
    wait_for_state(page, queue)


def test_unchanged_module_stays_the_same_object(page: Page, site: Site) -> None:
    queue = Client(site, "queue")
    uids = [queue.add("countdown", seconds=1000) for _ in range(3)]
    open_page(page, site)
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)
    queue.tell(uids[0], "add", seconds=1)
    page.wait_for_function("() => states.at(-1) !== states[0]")
    same = page.evaluate(
        "() => states.at(-1).modules.map((each, place) => each === states[0].modules[place])"
    )
    assert same == [False, True, True]


def test_subscription_survives_restarts_of_service_and_gateway(page: Page, site: Site) -> None:
    queue = Client(site, "queue")
    queue.add("countdown", seconds=1000)
    open_page(page, site)
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)
    for name in ("queue", "wsgi"):
        site.stop(name)
        site.start(name)
        queue.add("countdown", seconds=1000)
        page.wait_for_function("(n) => states.at(-1).modules.length === n", arg=len(queue.uids()))


def test_subscribed_tabs_notice_that_a_service_is_down(context: BrowserContext, site: Site) -> None:
    watch = """() => {
        window.received = [];
        endpoints.queue.onDead = (changed) => changed && received.push("dead");
        endpoints.queue.onAlive = (changed) => changed && received.push("alive");
    }"""
    tabs = open_tabs(context, site, 2)  # one of them has the stream
    for tab in tabs:
        tab.evaluate(watch)
    site.stop("queue")
    for tab in tabs:
        tab.wait_for_function("() => received.length === 1 && !endpoints.queue.alive")
    site.start("queue")
    for tab in tabs:
        tab.wait_for_function("() => received.length === 2 && endpoints.queue.alive")
        assert tab.evaluate("received") == ["dead", "alive"]
        assert "lost" not in tab.evaluate("({...document.documentElement.dataset})")


def test_endpoint_is_not_alive_while_its_stream_is_refused(page: Page, site: Site) -> None:
    queue = Client(site, "queue")
    open_page(page, site)
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)
    refusal = {"success": False, "error": "no answer"}
    page.route("**/queue/events", lambda route: route.fulfill(status=504, json=refusal))
    page.evaluate(
        """() => {
            Endpoint.silence = Endpoint.slow = 300;
            return endpoints.queue.deferQuery({cmd: 'bg'});
        }"""
    )
    queue.add("countdown", seconds=1000)  # the silence after this event is too long
    page.wait_for_function("() => !endpoints.queue.alive")
    page.evaluate("() => { Endpoint.silence = 35000; }")
    page.unroute_all()
    page.wait_for_function("() => endpoints.queue.alive")


def test_integers_beyond_the_safe_range_are_bigints(
    context: BrowserContext, make_site: Callable[..., Site]
) -> None:
    types = {"modules": {"well": {"process": child("well")}}}
    site = make_site(services=("wsgi", "queue"), settings={"queue": types}).start()
    queue = Client(site, "queue")
    uid = queue.add()
    values = {
        "big": 9007199254740993, "least": -(2**63), "most": 2**63 - 1, "deep": [{"x": 2**53}],
        "safe": 2**53 - 1, "float": 1e300, "text": "9007199254740993", "12345678901234567890": 1,
    }  # fmt: skip
    queue.tell(uid, "set", **values)
    shown = "() => states.at(-1)?.modules[0].parameters"
    said = """() => {
        const { pid, name, playing, ...rest } = states.at(-1).modules[0].parameters;
        return JSON.stringify(rest, (key, value) =>
            typeof value === "bigint" ? `bigint ${value}` : value);
    }"""
    for _ in range(2):  # the second tab gets the state from the first
        page = context.new_page()
        open_page(page, site)
        page.evaluate(SUBSCRIBE)
        page.wait_for_function(shown)
        got = json.loads(page.evaluate(said))
        assert {name: got[name] for name in values} == {
            **values,
            **{name: f"bigint {values[name]}" for name in ("big", "least", "most")},
            "deep": [{"x": f"bigint {2**53}"}],
        }
    # BigInts can be sent as they are. In answers, the page chooses.
    echo = """async (uid) => {
        const { queue } = endpoints, big = states.at(-1).modules[0].parameters.big;
        const data = { cmd: "tell_module", args: { uid, cmd: "echo", args: { big } } };
        const plain = await queue.deferQuery(data);
        queue.exact = true;
        return [plain.big, typeof plain.big, String((await queue.deferQuery(data)).big)];
    }"""
    assert page.evaluate(echo, uid) == [9007199254740992, "number", "9007199254740993"]


def test_ended_subscription_is_silent_and_a_second_one_gets_the_state_at_once(
    page: Page, site: Site
) -> None:
    queue = Client(site, "queue")
    open_page(page, site)
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.evaluate("() => { window.others = []; endpoints.queue.subscribe((s) => others.push(s)); }")
    page.wait_for_function("() => others.length === 1")
    page.evaluate("() => end()")
    received = page.evaluate("() => states.length")
    queue.add("countdown", seconds=1000)
    page.wait_for_function("() => others.at(-1).modules.length === 1")
    assert page.evaluate("() => states.length") == received
    assert requests == [], "both share one stream"


def test_connection_is_shown_as_lost_when_the_stream_breaks(page: Page, site: Site) -> None:
    open_page(page, site, '<p class="disconnect-show">lost</p>')
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, Client(site, "queue"))
    site.stop("wsgi")
    expect(page.get_by_text("lost")).to_be_visible()
    site.start("wsgi")
    expect(page.get_by_text("lost")).to_be_hidden()


class SilentProxy:
    """A TCP proxy to the gateway that can go silent: connections stay open but carry no data."""

    def __init__(self, port: int) -> None:
        self._gateway, self._dead, self._sockets = port, threading.Event(), list[socket.socket]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        threading.Thread(target=self._accept).start()

    def cut(self) -> None:
        """Make all current connections silent, but not later ones."""
        self._dead.set()
        self._dead = threading.Event()

    def close(self) -> None:
        for each in [self._listener, *self._sockets]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ends = (
                    self._listener.accept()[0],
                    socket.create_connection(("127.0.0.1", self._gateway)),
                )
                self._sockets += ends
                for way in (ends, ends[::-1]):
                    threading.Thread(target=self._carry, args=(*way, self._dead)).start()

    def _carry(self, one: socket.socket, other: socket.socket, dead: threading.Event) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if not dead.is_set():
                    other.sendall(data)
            if not dead.is_set():
                other.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(site: Site) -> Iterator[SilentProxy]:
    proxy = SilentProxy(site.ports["wsgi"])
    yield proxy
    proxy.close()


def test_stream_that_falls_silent_is_replaced(page: Page, site: Site, proxy: SilentProxy) -> None:
    queue = Client(site, "queue")
    page.route(
        "**/blank.html",
        lambda route: route.fulfill(
            body='<!doctype html><script src="shmooze.js"></script>', content_type="text/html"
        ),
    )
    page.goto(f"{proxy.url}blank.html")
    page.evaluate("() => { Endpoint.silence = 1000; return shmooze_ready; }")
    page.evaluate(SUBSCRIBE)
    wait_for_state(page, queue)
    proxy.cut()
    queue.add("countdown", seconds=1000)
    wait_for_state(page, queue)


def test_listener_gets_the_reasons_of_ended_modules(page: Page, site: Site) -> None:
    queue = Client(site, "queue")
    uid = queue.add("countdown", seconds=1000)
    open_page(page, site)
    page.evaluate("""() => {
        window.received = [];
        endpoints.queue.subscribe((state, gone) => received.push(gone));
    }""")
    page.wait_for_function("() => received.length === 1")
    queue("rm", uids=[uid])
    page.wait_for_function("(uid) => received.some((gone) => gone[uid])", arg=uid)
    assert page.evaluate("received[0]") == {}
    last = queue("gone")[-1]
    reported = page.evaluate("(uid) => received.find((gone) => gone[uid])", arg=uid)
    assert reported == {uid: {key: last[key] for key in ("reason", "ended")}}


class Streams:
    """The event streams that the tabs of a browser have requested, and those still open."""

    def __init__(self, context: BrowserContext) -> None:
        self.asked: list[Request] = []
        self._ended: list[Request] = []
        self._context = context
        context.on("request", self._begin)
        context.on("requestfailed", self._end)
        context.on("requestfinished", self._end)

    def _begin(self, request: Request) -> None:
        if request.url.endswith("/events"):
            self.asked.append(request)

    def _end(self, request: Request) -> None:
        self._ended.append(request)

    @property
    def open(self) -> list[Request]:
        self._context.cookies()  # makes Playwright process pending events
        running = [request for request in self.asked if request not in self._ended]
        return [request for request in running if not request.frame.page.is_closed()]

    @property
    def leaders(self) -> list[Page]:
        return [request.frame.page for request in self.open]


# Many services


@pytest.fixture(scope="module")
def lent_pools(lender: Callable[..., Lender]) -> Lender:
    names = [f"pool{i}" for i in range(4)]  # one more than may have a stream at a time
    modules = {"modules": {"quick": {"process": ["bash", str(CHILDREN / "quick.sh")]}}}
    programs = {name: [sys.executable, "-m", "shmooze.pool", name] for name in names}
    settings = dict.fromkeys(names, modules)
    return lender(services=("wsgi", *names), settings=settings, programs=programs)


@pytest.fixture
def pools(lent_pools: Lender) -> Iterator[Site]:
    """Four pools and a gateway."""
    with lent_pools.lend() as site:
        yield site


#: Counts the open streams.
COUNT = """
  window.now = window.most = 0;
  const plain = fetch;
  window.fetch = (url, options) => {
    if (String(url).endsWith("/events")) {
      most = Math.max(most, ++now);
      options.signal.addEventListener("abort", () => now--);
    }
    return plain(url, options);
  };"""
WATCH = """(count) => {
  Endpoint.turn = 300;
  window.states = {};
  for (const name of Object.keys(endpoints).slice(0, count))
    endpoints[name].subscribe((state) => { states[name] = state; });
}"""
ALL_HAVE = """([services, modules]) => Object.values(states).length === services
    && Object.values(states).every((state) => state.modules.length === modules)"""


def test_streams_of_many_services_take_turns_and_leave_room_for_commands(
    page: Page, pools: Site
) -> None:
    streams = Streams(page.context)
    open_page(page, pools, before=COUNT)
    page.evaluate(WATCH, 4)
    for count in range(1, 4):
        for name in [*pools.ports][1:]:
            page.evaluate(
                "(name) => endpoints[name].forceQuery({cmd: 'add', args: {type: 'quick'}})", name
            )
        page.wait_for_function(ALL_HAVE, arg=[4, count])
    assert page.evaluate("most") == 3
    again = streams.asked[4:]
    assert all("last-event-id" in request.headers for request in again), "streams are resumed"
    assert "lost" not in page.evaluate("({...document.documentElement.dataset})")


def test_stream_yields_only_when_it_has_an_id_to_resume_from(page: Page, pools: Site) -> None:
    streams = Streams(page.context)
    slow: list[Route] = []
    page.route("**/pool0/events", lambda route: slow.append(route), times=1)
    open_page(page, pools)
    page.evaluate(WATCH, 4)
    page.wait_for_function("() => Object.keys(states).length === 3")  # as the other two take turns
    slow[0].continue_()
    page.wait_for_function(ALL_HAVE, arg=[4, 0])
    page.evaluate("() => new Promise((done) => setTimeout(done, 3 * Endpoint.turn))")
    first: set[str] = set()
    for request in streams.asked:
        assert ("last-event-id" in request.headers) == (request.url in first)
        first.add(request.url)


def test_streams_of_three_services_stay_open(page: Page, pools: Site) -> None:
    streams = Streams(page.context)
    open_page(page, pools)
    page.evaluate(WATCH, 3)
    page.wait_for_function(ALL_HAVE, arg=[3, 0])
    page.evaluate("() => new Promise((done) => setTimeout(done, 3 * Endpoint.turn))")
    assert len(streams.asked) == 3


# Many tabs


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser whose tabs share storage, locks and channels."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    yield context
    context.close()


def open_tabs(context: BrowserContext, site: Site, count: int, before: str = "") -> list[Page]:
    """Open tabs that subscribe to the queue, and wait until they have its state."""
    tabs = [context.new_page() for _ in range(count)]
    for tab in tabs:
        open_page(tab, site, '<p class="disconnect-show">lost</p>', before)
        tab.evaluate(SUBSCRIBE)
    for tab in tabs:
        wait_for_state(tab, Client(site, "queue"))
    return tabs


ADD = """() => endpoints.queue.forceQuery(
    {cmd: "add", args: {type: "countdown", args: {seconds: 1000}}})"""


def test_eight_tabs_share_one_stream_and_can_all_send_commands(
    context: BrowserContext, site: Site
) -> None:
    streams, queue = Streams(context), Client(site, "queue")
    tabs = open_tabs(context, site, 8)
    assert len(streams.asked) == 1
    for tab in tabs:
        tab.evaluate(ADD)
    assert len(queue.uids()) == 8
    for tab in tabs:
        wait_for_state(tab, queue)
    assert len(streams.asked) == 1


def test_another_tab_resumes_the_stream_when_its_tab_closes(
    context: BrowserContext, site: Site
) -> None:
    streams, queue = Streams(context), Client(site, "queue")
    tabs = open_tabs(context, site, 4)
    for left in (3, 2, 1):
        (leader,) = streams.leaders
        leader.close()
        tabs.remove(leader)
        queue.add("countdown", seconds=1000)
        for tab in tabs:
            wait_for_state(tab, queue)
        assert len(streams.open) == 1
        assert "last-event-id" in streams.open[0].headers, "the stream is resumed"
        received = [
            tab.evaluate("() => states.filter((s, i) => s === states[i - 1]).length")
            for tab in tabs
        ]
        assert received == [0] * left, "no listener gets a state twice"


def test_another_tab_takes_over_when_a_tab_crashes(context: BrowserContext, site: Site) -> None:
    queue = Client(site, "queue")
    (leader,) = open_tabs(context, site, 1)
    (other,) = open_tabs(context, site, 1)
    with leader.expect_event("crash"), pytest.raises(Error):
        leader.goto("chrome://crash")
    queue.add("countdown", seconds=1000)
    wait_for_state(other, queue)


def test_another_tab_takes_over_when_a_tab_unsubscribes(
    context: BrowserContext, site: Site
) -> None:
    streams, queue = Streams(context), Client(site, "queue")
    tabs = open_tabs(context, site, 2)
    (leader,) = streams.leaders
    (other,) = set(tabs) - {leader}
    leader.evaluate("() => end()")
    queue.add("countdown", seconds=1000)
    wait_for_state(other, queue)
    assert streams.leaders == [other]
    leader.evaluate(SUBSCRIBE)
    wait_for_state(leader, queue)
    assert len(streams.asked) == 2


def test_each_change_is_applied_once_and_in_order_in_every_tab(
    context: BrowserContext, site: Site
) -> None:
    queue = Client(site, "queue")
    uid = queue.add("countdown", seconds=1000)
    open_tabs(context, site, 1)
    joined = []
    for _ in range(5):
        tab = context.new_page()
        open_page(tab, site)
        tab.evaluate(SUBSCRIBE)
        joined.append(tab)
        for _ in range(20):  # while the tab starts
            queue.tell(uid, "add", seconds=1)
    for tab in joined:
        wait_for_state(tab, queue)
        lefts = tab.evaluate("() => states.map((state) => state.modules[0].parameters.total)")
        assert lefts == sorted(lefts), "states come in order"


def test_tab_that_missed_an_event_requests_the_state(context: BrowserContext, site: Site) -> None:
    streams, queue = Streams(context), Client(site, "queue")
    deaf = """
      window.drop = 0;
      window.BroadcastChannel = class extends BroadcastChannel {
        set onmessage(take) {
          super.onmessage = (message) => {
            if (message.data.event === "change" && drop) drop--;
            else take(message);
          };
        }
      }"""
    tabs = open_tabs(context, site, 2, before=deaf)
    (leader,) = streams.leaders
    (other,) = set(tabs) - {leader}
    other.evaluate("() => { drop = 1; }")
    queue.add("countdown", seconds=1000)
    other.wait_for_function("() => drop === 0")
    queue.add("countdown", seconds=1000)
    wait_for_state(other, queue)
    assert len(streams.asked) == 1


def test_listeners_cannot_modify_the_state_of_other_tabs(
    context: BrowserContext, site: Site
) -> None:
    queue = Client(site, "queue")
    queue.add("countdown", seconds=1000)
    tabs = open_tabs(context, site, 2)
    for tab in tabs:
        tab.evaluate("""() => {
            window.problems = [];
            endpoints.queue.subscribe((state) => {
                for (const module of [state, ...state.modules])
                    module.element = module.parameters?.element ?? document.createElement("li");
            });
        }""")
    for _ in range(2):
        queue.add("countdown", seconds=1000)
        for tab in tabs:
            wait_for_state(tab, queue)
        tabs += open_tabs(context, site, 1)
        tabs.pop(0).close()


def test_every_tab_gets_the_reasons_of_ended_modules(context: BrowserContext, site: Site) -> None:
    queue = Client(site, "queue")
    uid = queue.add("countdown", seconds=1000)
    tabs = open_tabs(context, site, 2)
    for tab in tabs:
        tab.evaluate("""() => {
            window.gone = {};
            endpoints.queue.subscribe((state, gone) => Object.assign(window.gone, gone));
        }""")
    queue("rm", uids=[uid])
    for tab in tabs:
        tab.wait_for_function("(uid) => gone[uid]?.reason", arg=uid)


def test_blocked_tab_loses_the_stream_to_another_and_follows_it_later(
    context: BrowserContext, site: Site
) -> None:
    streams, queue = Streams(context), Client(site, "queue")
    (leader,) = open_tabs(context, site, 1)
    (other,) = open_tabs(context, site, 1, "onload = () => { Endpoint.silence = 1000; }")
    dialogs: list[Dialog] = []
    leader.on("dialog", lambda dialog: dialogs.append(dialog))
    with leader.expect_event("dialog"):
        leader.evaluate("() => { setTimeout(() => confirm('Sure?')); }")
    queue.add("countdown", seconds=1000)
    wait_for_state(other, queue)
    other.evaluate("() => { Endpoint.silence = 35000; }")
    dialogs[0].dismiss()
    queue.add("countdown", seconds=1000)
    wait_for_state(leader, queue)
    wait_for_state(other, queue)
    wait_until(lambda: len(streams.open) == 1, "only one stream is left")


@pytest.mark.parametrize(
    "before",
    [
        "Object.defineProperty(navigator, 'locks', {value: undefined})",
        "navigator.locks.request = () => Promise.reject(new DOMException('no', 'SecurityError'))",
    ],
)
def test_each_tab_without_web_locks_has_its_own_stream(
    context: BrowserContext, site: Site, before: str
) -> None:
    streams = Streams(context)
    open_tabs(context, site, 2, before)
    wait_until(lambda: len(streams.open) == 2, "each tab has its own stream")


def test_tabs_with_different_tokens_do_not_share_a_stream(
    context: BrowserContext, site: Site
) -> None:
    streams = Streams(context)
    open_tabs(context, site, 1, "shmooze_token = 'one'")
    open_tabs(context, site, 2, "shmooze_token = 'other'")
    wait_until(lambda: len(streams.open) == 2, "one stream per token")


def test_tabs_survive_restarts_and_show_only_those_of_the_gateway(
    context: BrowserContext, site: Site
) -> None:
    streams, queue = Streams(context), Client(site, "queue")
    watch = """new MutationObserver(() => lost++)
        .observe(document.documentElement, {attributeFilter: ["data-lost"]}); window.lost = 0"""
    tabs = open_tabs(context, site, 3, before=watch)
    site.stop("queue")
    site.start("queue")
    queue.add("countdown", seconds=1000)
    for tab in tabs:
        wait_for_state(tab, queue)
    assert [tab.evaluate("lost") for tab in tabs] == [0, 0, 0]
    wait_until(lambda: len(streams.open) == 1, "interrupted streams are reported as ended")
    site.stop("wsgi", signal_number=signal.SIGKILL)
    for tab in tabs:
        expect(tab.get_by_text("lost")).to_be_visible()
    site.start("wsgi")
    for tab in tabs:
        expect(tab.get_by_text("lost")).to_be_hidden()
    queue.add("countdown", seconds=1000)
    for tab in tabs:
        wait_for_state(tab, queue)
    assert [tab.evaluate("lost") for tab in tabs] == [2, 2, 2], (
        "each tab loses and regains the connection once"
    )
    wait_until(lambda: len(streams.open) == 1, "interrupted streams are reported as ended")


# Tokens


def test_page_from_another_origin_sends_its_token(
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
