"""Fixtures: whole applications, ended and counted after each test, and pages of a browser."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import PATIENCE, ROOT, Client, Lender, Site, free_ports, is_listening, wait_until

from shmooze.access.token_file import TokenFile

if TYPE_CHECKING:
    from fakes import FakeClock, FakeLauncher
    from playwright.sync_api import Browser, Page

EXAMPLES = {
    "queue": [sys.executable, str(ROOT / "examples" / "example_queue.py")],
    "pool": [sys.executable, str(ROOT / "examples" / "example_pool.py")],
    "vol": [sys.executable, str(ROOT / "examples" / "volume.py")],
}

#: What the example pool may run.
JOBS = {
    "hello": ["echo", "hello"],
    "fail": ["sh", "-c", "echo oops; exit 3"],
    "forever": ["sleep", "1000"],
}


# Tests that run in the background of a script inherit these ignored, and would hand that on.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


if find_spec("playwright") is None:  # as where the fast tests run
    _here = Path(__file__).parent
    collect_ignore = [file for file in _here.glob("test_*.py") if "playwright" in file.read_text()]

#: A test that uses one of these starts applications, browsers or programs, so it is slow. Other
#: tests that do so bear the mark themselves, and so do those that wait for seconds to pass.
SLOW_FIXTURES = {"make_site", "make_shared_site", "_examples", "browser"}
SLOW_FIXTURES |= {"shmz_on_terminal"}


@pytest.hookimpl(tryfirst=True)  # before those of a mark are chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    costs: Counter[Path] = Counter()
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if SLOW_FIXTURES & fixtures:
            item.add_marker("slow")
        if item.get_closest_marker("slow"):
            costs[item.path] += 4 if "browser" in fixtures else 1
    # Whole files are dealt out in this order: what takes longest must not come last.
    items.sort(key=lambda item: -costs[item.path])


@pytest.fixture(scope="session", autouse=True)
def _no_state_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep programs that no settings file is named for from using the user's own state file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


def _sites(folder: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**keywords: Any) -> Site:
        site = Site(folder / f"site{len(made)}", **keywords)
        made.append(site)
        return site

    yield make
    for site in made:
        site.close()


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    """The clock of modules and brokers, which stands still until the test advances it."""
    from fakes import fake_clock  # few tests need the broker in their own process

    with fake_clock() as clock:
        yield clock


@pytest.fixture
def launcher() -> FakeLauncher:
    """A launcher that starts no process; see fakes."""
    from fakes import FakeLauncher

    return FakeLauncher()


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """A function that makes an application (see support.Site), not yet started."""
    yield from _sites(tmp_path)


@pytest.fixture(scope="module")
def make_shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    """The same for applications that all tests of a file share."""
    yield from _sites(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="session")
def _examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lender]:
    folder = tmp_path_factory.mktemp("examples")
    numbers = itertools.count()
    lender = Lender(
        lambda: Site(folder / str(next(numbers)), settings={"app_jobs": JOBS}, programs=EXAMPLES)
    )
    yield lender
    lender.close()


@pytest.fixture
def site(_examples: Lender) -> Iterator[Site]:
    """The example application, running: gateway, example queue, example pool.

    Tests have it one after the other. They may stop and start services and leave modules in them;
    settings stay as they are. Its log and the list of what is gone are those of all tests so far.
    """
    with _examples.lend() as site:
        yield site


@pytest.fixture
def new_site(make_site: Callable[..., Site]) -> Site:
    """The example application, which no other test has used."""
    return make_site(settings={"app_jobs": JOBS}, programs=EXAMPLES).start()


@pytest.fixture(scope="module")
def lender(make_shared_site: Callable[..., Site]) -> Iterator[Callable[..., Lender]]:
    """A function that takes what `make_site` takes, for an application that tests have in turn."""
    made: list[Lender] = []

    def make(**keywords: Any) -> Lender:
        made.append(Lender(lambda: make_shared_site(**keywords)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def client(running: Client) -> Iterator[Client]:
    """The queue or pool that the tests of a file share as `running`, emptied after each."""
    yield running
    running.clear()


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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from chromium import (
        HEADLESS,
        chromium,
    )  # here, so that tests without a browser need no Playwright
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE * 1000)
    with chromium(HEADLESS) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    yield page
    page.close()


@pytest.fixture(scope="module")
def _console_page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    yield page
    page.close()


#: What a user of the console may have left behind in the page.
TIDY = """() => {
    localStorage.clear();
    scrollTo(0, 0);
    document.activeElement.blur();
    document.getElementById("announcer").textContent = "";
    for (const form of document.forms) form.reset();
    for (const details of document.querySelectorAll("details[open]")) details.open = false;
}"""


@pytest.fixture
def first_page(request: pytest.FixtureRequest, _console_page: Page, site: Site) -> Iterator[Page]:
    """The console of the example application, which knows its queue and its pool.

    Tests of a file have it one after the other, tidied but not loaded again.
    """
    from console import form_of, rows
    from playwright.sync_api import expect

    page, failed = _console_page, request.session.testsfailed
    if page.url == site.url:
        page.mouse.move(0, 0)
        page.evaluate(TIDY)
    else:
        page.goto(site.url)
    for name in ("queue", "pool"):
        expect(form_of(page, name)).to_be_visible()
        expect(rows(page, name)).to_have_count(0)
    expect(page.locator(".background .module")).to_have_count(0)
    yield page
    page.unroute_all(behavior="ignoreErrors")
    if request.session.testsfailed > failed:
        page.goto("about:blank")
