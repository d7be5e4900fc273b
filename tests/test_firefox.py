"""Console, login and browser client in Firefox. All tests share one browser and one application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import EXAMPLES
from firefox import Tab, firefox, needs_firefox
from support import Site, http, wait_until

from shmooze.access.token_file import TokenFile

pytestmark = [needs_firefox, pytest.mark.slow]

ROW = ".roster .module"
ENTER = "\ue007"


class Application:
    """A gateway with tokens and a queue. Ada may use it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        file = TokenFile(str(site.folder / "tokens.json"))
        self.token = file.add("ada", "control")

    def ask(self, cmd: str, **args: Any) -> Any:
        """The result of a command of the queue, sent through the gateway."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = http(f"{self.site.url}queue", {"cmd": cmd, "args": args}, headers=headers).json
        assert answer["success"], answer
        return answer["result"]

    def add(self, seconds: int) -> Any:
        return self.ask("add", type="countdown", args={"seconds": seconds})["uid"]

    def log_in(self, tab: Tab) -> None:
        tab.fill("Token", self.token)
        tab.click("Log in")
        tab.expect(f"location.href === {self.site.url!r}")


@pytest.fixture(scope="module")
def application(make_shared_site: Callable[..., Site]) -> Application:
    settings = {"tokens_path": "$HERE/tokens.json"}
    site = make_shared_site(services=("wsgi", "queue"), settings=settings, programs=EXAMPLES)
    application = Application(site)
    site.start()
    return application


@pytest.fixture(scope="module")
def browser_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with firefox(tmp_path_factory.mktemp("firefox")) as tab:
        yield tab


@pytest.fixture
def tab(browser_tab: Tab) -> Iterator[Tab]:
    """The browser's only tab. No script may fail in it."""
    browser_tab.problems.clear()
    yield browser_tab
    assert browser_tab.problems == []


@pytest.fixture
def console(tab: Tab, application: Application) -> Iterator[Tab]:
    """The console of an empty queue, for somebody who has logged in."""
    tab.open(application.site.url)
    if tab.run("location.pathname") == "/login":
        application.log_in(tab)
    tab.expect_count("form[aria-label='Add in queue']", 1)
    yield tab
    if left := [each["uid"] for each in application.ask("queue")]:
        application.ask("rm", uids=left)


def test_login_refuses_a_wrong_token_and_accepts_the_right_one(
    tab: Tab, application: Application
) -> None:
    tab.open(application.site.url)
    tab.expect("location.pathname === '/login'")
    tab.expect("document.activeElement.id === 'token'")
    tab.type(f"wrong{ENTER}")
    tab.expect_text("[role=alert]", "The token is not valid.")
    application.log_in(tab)
    tab.expect_count("form[aria-label='Add in queue']", 1)
    assert tab.run("document.cookie") == "", "no script can read the cookie"


def test_link_with_a_token_logs_in(tab: Tab, application: Application) -> None:
    tab.send("storage.deleteCookies")
    link = f"{application.site.url}login#token={application.token}&to=console/"
    tab.open(link, wait="none")
    tab.expect("location.pathname === '/console/'")
    tab.expect_count("form[aria-label='Add in queue']", 1)


def test_console_shows_the_queue_and_its_parameters_live(
    console: Tab, application: Application
) -> None:
    uid = application.add(1000)
    console.expect_text(ROW, "countdown")
    console.expect_text(ROW, "playing")
    shown = console.text(ROW)
    console.expect(f"document.querySelector({ROW!r}).innerText !== {shown!r}")
    application.add(2000)
    console.expect_count(ROW, 2)
    application.ask("rm", uids=[uid])
    console.expect_count(ROW, 1)


def test_console_adds_with_its_form_and_removes_with_a_button(
    console: Tab, application: Application
) -> None:
    first = application.add(1000)
    console.fill("seconds", "2000")
    console.click("Add")
    console.expect_count(ROW, 2)
    assert [each["type"] for each in application.ask("queue")] == ["countdown", "countdown"]
    console.click("Remove", inside=f"{ROW}:last-child")
    console.expect_count(ROW, 1)
    wait_until(lambda: [each["uid"] for each in application.ask("queue")] == [first], "it is gone")


def test_console_reconnects_when_the_gateway_is_back(
    console: Tab, application: Application
) -> None:
    console.run("window.loaded = 'once'")
    application.site.stop("wsgi")
    console.expect("'lost' in document.documentElement.dataset")
    application.site.start("wsgi")
    console.expect("!('lost' in document.documentElement.dataset)")
    application.add(1000)
    console.expect_count(ROW, 1)
    assert console.run("window.loaded") == "once"
    # What Firefox says of requests to a gateway that is away.
    console.problems.clear()


def test_console_needs_no_websocket(console: Tab, application: Application) -> None:
    script = console.send(
        "script.addPreloadScript", functionDeclaration="() => { delete window.WebSocket; }"
    )
    console.open(application.site.url)
    console.send("script.removePreloadScript", **script)
    assert console.run("typeof WebSocket") == "undefined"
    application.add(1000)
    console.expect_text(ROW, "playing")


def test_shmooze_js_can_be_imported_as_a_module(console: Tab, application: Application) -> None:
    # A page without the script.
    console.open(f"{application.site.url}static/icon.svg")
    types = console.run("""(async () => {
        const { endpoints, Endpoint, ready } = await import("/static/shmooze.mjs");
        await ready;
        const types = await endpoints.queue.deferQuery({ cmd: "modules_available" });
        return endpoints.queue instanceof Endpoint && types.join(" ");
    })()""")
    assert types == "countdown ticker"
