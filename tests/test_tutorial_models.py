"""The tutorial of the model server works as it is shown, with its page and a real client."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

import pytest
from chromium import needs_chromium
from pages import PHONE, assert_accessible, fits, open_page
from playwright.sync_api import Browser, Locator, Page, expect
from support import Client, Site, http
from tutorials import Tutorial, run

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def tutorial() -> Tutorial:
    return Tutorial("model-server")


@pytest.fixture(scope="module")
def site(tutorial: Tutorial, make_shared_site: Callable[..., Site]) -> Site:
    """The application of the page. Its large model loads faster, so that tests need not wait."""
    return tutorial.start(make_shared_site, {'"--load", "4"': '"--load", "0.5"'})


@pytest.fixture(scope="module")
def page(browser: Browser, site: Site) -> Iterator[Page]:
    with open_page(browser, site.url, PHONE) as page:
        yield page


def say(page: Page, model: str, text: str) -> Locator:
    """Send a message to a model, and return the place of its answer."""
    page.get_by_role("combobox", name="Model").select_option(model)
    page.get_by_label("Message").fill(text)
    page.get_by_label("Message").press("Enter")
    expect(page.get_by_label("Message")).to_have_value("")
    return page.get_by_role("log").get_by_role("listitem").last


def test_page_chats_with_both_models_and_shows_which_one_makes_room(page: Page) -> None:
    states = page.get_by_label("What each model does")
    expect(say(page, "small", "one two")).to_contain_text("small says: one two")
    expect(states).to_contain_text("small ready")
    expect(say(page, "large", "three")).to_contain_text("large says: three")
    expect(states).to_contain_text("small resting")
    expect(states).to_contain_text("large ready")
    assert fits(page)
    assert_accessible(page)


def test_an_answer_can_be_stopped_and_the_chat_begun_anew(page: Page) -> None:
    answer = say(page, "large", "word " * 500)
    expect(answer).to_contain_text("large says: word")
    page.get_by_role("button", name="Stop").click()
    expect(answer).to_contain_text("large, stopped")
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_role("log").get_by_role("listitem")).to_have_count(0)


def test_page_says_why_a_model_has_not_answered(page: Page, site: Site) -> None:
    models = Client(site, "models", "pool")
    models("hold", uids=[each["uid"] for each in models("pool") if each["type"] == "small"])
    expect(say(page, "small", "hello")).to_contain_text("small has not answered: ")
    models("release", uids=models.uids())
    expect(say(page, "small", "hello")).to_contain_text("small says: hello")


def test_commands_and_the_client_of_openai_work_as_shown(
    tutorial: Tutorial, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    (curl,) = (line for line in tutorial.lines if line.startswith("curl "))
    answer = json.loads(run(site, curl.replace("http://localhost:8080/", site.url)))
    assert answer["choices"][0]["message"]["content"] == "small says: Hello"
    assert '"ready"' in run(site, "shmz -e models pool")
    pytest.importorskip("openai", reason="the package `openai` is not installed")
    (code,) = tutorial.texts("python", "import OpenAI")
    exec(code.replace("http://localhost:8080/", site.url), {})
    assert capsys.readouterr().out.split() == ["small", "says:", "Hello", "large", "says:", "Hello"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "the body cannot be decoded"),
        ({"model": "small"}, "`messages` must be a list of messages"),
        ({"model": "small", "messages": [{"content": 3}]}, "must be text"),
    ],
)
def test_bad_request_is_refused_in_one_line(site: Site, body: object, words: str) -> None:
    reply = http(f"{site.url}models/v1/chat/completions", body)
    assert reply.status in (400, 404)
    error = reply.json["error"]
    assert words in (error["message"] if isinstance(error, dict) else error)


def test_settings_for_real_servers_are_accepted(
    tutorial: Tutorial, make_site: Callable[..., Site]
) -> None:
    (text,) = tutorial.texts("json", "llama-server")
    settings = json.loads(text)
    del settings["ports"], settings["static_path"]
    programs = {"models": [sys.executable, "-m", "shmooze.pool", "models"]}
    site = make_site(services=("models",), settings=settings, programs=programs).start()
    assert site.ask("models", "modules_available") == ["small", "large"]
    assert "WARNING" not in site.log("models")
