"""A page that means harm, in a real Chromium, against gateway and services on the same machine."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from chromium import needs_chromium
from conftest import EXAMPLES, JOBS
from playwright.sync_api import Page
from support import Site, child, wait_for_log, wait_until

pytestmark = needs_chromium

#: Every way in which a page can send something without asking first, and those that ask.
ATTACK = """<!doctype html><title>evil</title><body><script>
const packet = JSON.stringify({cmd: "add", args: {type: "countdown", args: {seconds: 1000}}});
function form(target, enctype, name, value) {
  const frame = Object.assign(document.createElement("iframe"), {name: "f" + Math.random()});
  const form = Object.assign(document.createElement("form"),
    {action: target, method: "post", enctype, target: frame.name});
  form.append(Object.assign(document.createElement("input"), {name, value}));
  document.body.append(frame, form);
  return new Promise((done) => { frame.onload = done; form.submit(); });
}
function image(target) {
  const image = new Image();
  return new Promise((done) => {
    image.onload = image.onerror = done;
    image.src = target + "?" + encodeURIComponent(packet);
  });
}
const tell = (options) => (target) =>
  fetch(target, {method: "POST", body: packet, ...options}).then((r) => r.type + r.status, String);
async function attack(target) {
  const type = "application/json", json = {"Content-Type": type};
  return {
    "a form": await form(target, "application/x-www-form-urlencoded", "cmd", "add"),
    "a form of text": await form(target, "text/plain", packet.slice(0, -1) + ', "x', '": 1}'),
    "an image": await image(target),
    "a beacon": navigator.sendBeacon(target, packet),
    "a beacon of JSON": navigator.sendBeacon(target, new Blob([packet], {type})),
    "a blind fetch": await tell({mode: "no-cors"})(target),
    "a blind fetch of JSON": await tell({mode: "no-cors", headers: json})(target),
    "a fetch": await tell({headers: json})(target),
    "a fetch with cookies": await tell({headers: json, credentials: "include"})(target),
    "reading": await fetch(target + "settings.json").then((r) => r.text(), String),
  };
}
</script>
"""


class Evil(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(ATTACK.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def evil() -> Iterator[str]:
    """Where the page is, under a name that leads to this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://evil.example:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def site(make_shared_site: Callable[..., Site]) -> Site:
    """The example application, which the tests that must not harm it share."""
    return make_shared_site(settings={"app_jobs": JOBS}, programs=EXAMPLES).start()


@contextmanager
def unharmed(site: Site) -> Iterator[None]:
    """Fail if anything is added, or any command is logged, meanwhile."""
    begin, end = str(uuid.uuid4()), str(uuid.uuid4())
    site.ask("queue", "mv", uids=[begin])
    yield
    assert site.ask("queue", "queue") == []
    site.ask("queue", "mv", uids=[end])

    def moved() -> list[list[str]]:
        rows = [row[2] for row in wait_for_log(site.folder / "log.db")]
        return [row["args"]["uids"] if row["cmd"] == "mv" else [row["cmd"]] for row in rows]

    wait_until(lambda: [end] in moved(), "the last command is logged")
    logged = moved()
    assert logged[logged.index([begin]) :] == [[begin], [end]]


@pytest.mark.parametrize("place", ["gateway", "service"])
def test_a_page_of_another_site_commands_nothing_and_reads_nothing(
    page: Page, site: Site, evil: str, place: str
) -> None:
    gateway, service = f"{site.url}queue", f"http://127.0.0.1:{site.ports['queue']}/"
    page.goto(evil)
    with unharmed(site):
        outcome = page.evaluate("attack", gateway if place == "gateway" else service)
    assert outcome["a fetch"] == "TypeError: Failed to fetch"
    assert outcome["a fetch with cookies"] == "TypeError: Failed to fetch"
    assert outcome["reading"] == "TypeError: Failed to fetch"


@pytest.mark.parametrize("place", ["wsgi", "queue"])
def test_a_name_that_is_made_to_lead_here_leads_nowhere(page: Page, site: Site, place: str) -> None:
    port = site.ports[place]
    answer = page.goto(f"http://evil.example:{port}/")
    assert answer is not None
    assert answer.status == 403
    path = "/queue" if place == "wsgi" else "/"
    with unharmed(site):
        status = page.evaluate(
            """(path) => fetch(path, {method: "POST", headers: {"Content-Type": "application/json"},
                body: '{"cmd": "add", "args": {"type": "countdown"}}'}).then((r) => r.status)""",
            path,
        )
    assert status == 403


def test_a_page_of_another_site_cannot_put_ours_into_a_frame(
    page: Page, site: Site, evil: str
) -> None:
    page.goto(evil)
    with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
        page.evaluate(
            """(src) => document.body.append(
                Object.assign(document.createElement("iframe"), {src}))""",
            site.url,
        )


def test_a_page_that_the_settings_allow_may_command(
    page: Page, make_site: Callable[..., Site], evil: str
) -> None:
    site = make_site(settings={"allowed_origins": [evil.removesuffix("/")]}, programs=EXAMPLES)
    site.start()
    page.goto(evil)
    outcome = page.evaluate("attack", f"{site.url}queue")
    assert outcome["a fetch"] == "cors200"
    assert outcome["a blind fetch"] == "opaque0", "and yet only JSON is taken"
    assert len(site.ask("queue", "queue")) in (1, 2)  # by the fetch, and by the beacon of JSON


#: What a page can make a browser load, or open, without asking first.
LOADS = """async (target) => {
  const done = (element, where = document.body) => new Promise((done) => {
    element.onload = element.onerror = done;
    where.append(element);
  });
  const made = (tag, more) => Object.assign(document.createElement(tag), more);
  await done(made("img", {src: target}));
  await done(made("script", {src: target}));
  await done(made("link", {rel: "stylesheet", href: target}), document.head);
  await done(made("iframe", {src: target}));
  await fetch(target, {mode: "no-cors"}).catch(() => 0);
  await fetch(target, {mode: "no-cors", method: "POST", body: "x"}).catch(() => 0);
  navigator.sendBeacon(target, "x");
  const socket = new WebSocket(target.replace("http", "ws"));
  return await new Promise((done) => {
    socket.onopen = () => done("open");
    socket.onclose = () => done("refused");
  });
}"""


@pytest.fixture(scope="module")
def served(make_shared_site: Callable[..., Site]) -> Site:
    """A pool whose modules are web servers, of which each request would start one."""
    web = {"adapter": "command", "process": child("web_module", "{port}"), "http": {}}
    settings = {"pool": {"modules": {"web": web}, "route_by": "json:model"}}
    return make_shared_site(services=("wsgi", "pool"), settings=settings).start()


@pytest.mark.parametrize("place", ["gateway", "service"])
def test_a_page_of_another_site_reaches_no_module(
    page: Page, served: Site, evil: str, place: str
) -> None:
    base = f"{served.url}pool" if place == "gateway" else f"http://127.0.0.1:{served.ports['pool']}"
    page.goto(evil)
    assert page.evaluate(LOADS, f"{base}/on/web/socket") == "refused"
    # Not by `evaluate`, which counts as something that a person does.
    goes = f"location = '{base}/on/web/'"
    page.add_init_script(f"if (location.hash) addEventListener('load', () => {{ {goes}; }})")
    page.goto("about:blank")
    page.goto(f"{evil}#go", wait_until="commit")
    page.wait_for_url(f"{base}/on/web/")
    assert served.ask("pool", "pool") == []
    assert served.ask("pool", "gone") == []
