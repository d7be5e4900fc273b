"""Forms of the console that are made from descriptions, and how it shows what is described.

Most tests make a form or row in the page by itself. All share one application and one page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from accessibility import violations
from chromium import needs_chromium
from conftest import EXAMPLES
from console import form_of, open_details, page_without_services, rows, service, stop, unfold
from playwright.sync_api import Browser, Locator, Page, expect
from support import Site, child

pytestmark = needs_chromium

HOSTILE = "<img src=x onerror=\"document.title='hacked'\">"

#: A form in place of the services. The test takes the part of the service, by `refusal`.
FORM = """async (args) => {
  const { Form } = await import("./console/forms.js");
  window.sent = [];
  window.refusal = "";
  window.described = { title: "Film", description: "Shows a film.", args };
  const send = async (name, args) => {
    if (refusal) throw new Error(refusal);
    const digits = (key, value) => typeof value === "bigint" ? String(value) : value;
    sent.push(JSON.stringify(args, digits));
  };
  window.form = new Form("type-form", "Add", "Add in queue", "test", send, () => described);
  form.setNames(["film"]);
  document.getElementById("services").replaceChildren(form.element);
}"""

#: A row in place of the services, of a module with these parameters.
ROW = """async ([description, module]) => {
  const { Row } = await import("./console/row.js");
  window.sent = [];
  window.answer = null;
  window.description = description;
  const ask = async (cmd, args) => {
    sent.push([cmd, args]);
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const describe = () => window.description;
  window.row = new Row("0123456789", { actions: {}, ask, tell: "tell_module", describe });
  window.show = (parameters, more = {}) =>
    row.update({ uid: "0123456789", type: "film", state: "playing", parameters, ...more });
  show(module);
  const list = document.createElement("ol");
  list.append(row.element);
  const heading = document.createElement("h2");
  heading.textContent = "queue";
  document.getElementById("services").replaceChildren(heading, list);
  row.toggle();
}"""


@pytest.fixture(scope="module")
def console(browser: Browser, make_shared_site: Callable[..., Site]) -> Iterator[Page]:
    zone = "Africa/Lagos"  # always an hour ahead of UTC
    yield from page_without_services(browser, make_shared_site, timezone_id=zone)


@pytest.fixture
def page(console: Page) -> Iterator[Page]:
    yield console
    assert console.title() == "shmooze"
    console.evaluate("localStorage.clear()")


def schema(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def show_form(page: Page, args: dict[str, Any]) -> Locator:
    page.evaluate(FORM, args)
    return page.get_by_role("form", name="Add in queue")


def submit(form: Locator) -> None:
    form.get_by_role("button", name="Add").click()


def sent(page: Page) -> Any:
    """The arguments that were sent last."""
    page.wait_for_function("sent.length > 0")
    return json.loads(page.evaluate("sent.at(-1)"))


def described_by(control: Locator) -> str:
    """What a screen reader says of a control besides its label."""
    return control.evaluate(
        "each => each.getAttribute('aria-describedby').split(' ')"
        ".map(id => document.getElementById(id).textContent).filter(Boolean).join(' ')"
    )


# Kinds of arguments

COLOUR = {
    "type": "object",
    "title": "Light",
    "required": ["red"],
    "properties": {
        "red": {"type": "integer", "minimum": 0, "maximum": 255},
        "tint": {"type": "string", "default": "warm"},
    },
}

EVERY_KIND = {
    **schema(
        "name",
        name={"type": "string", "title": "Name", "description": "As on the sleeve."},
        seconds={"type": "integer", "minimum": 5, "maximum": 90, "multipleOf": 10, "unit": "s"},
        big={"type": "integer", "minimum": -(2**63), "maximum": 2**65},
        speed={"type": "number", "exclusiveMinimum": 0},
        mood={"enum": ["calm", 3, "wild"]},
        mode={"oneOf": [{"const": 1, "title": "Slow"}, {"const": 2, "title": "Fast"}]},
        loop={"type": "boolean"},
        notes={"type": "string", "contentMediaType": "text/plain"},
        mail={"type": "string", "format": "email"},
        site={"type": "string", "format": "uri", "examples": ["https://example.org/"]},
        on={"type": "string", "format": "date"},
        at={"type": "string", "format": "time"},
        begin={"type": "string", "format": "date-time"},
        pin={"type": "string", "writeOnly": True},
        tags={"type": "array", "items": {"type": "string"}},
        marks={"type": ["array", "null"], "items": {"type": "number"}},
        rooms={"type": "array", "uniqueItems": True, "items": {"enum": ["hall", "bar"]}},
        light={"$ref": "#/$defs/Colour"},
        cuts={"type": "array", "items": {"type": "array"}},
        anything={},
    ),
    "$defs": {"Colour": COLOUR},
    "additionalProperties": True,
}


def test_every_kind_of_argument_has_a_fitting_field(page: Page) -> None:
    form = show_form(page, EVERY_KIND)
    expect(form.locator(".about")).to_have_text("Shows a film.")
    expect(form.get_by_label("Type")).to_have_value("film")
    form.get_by_label("Name", exact=False).first.fill("Metropolis")
    seconds = form.get_by_label("seconds (s)")
    assert [seconds.get_attribute(each) for each in ("min", "max", "step")] == ["10", "90", "10"]
    seconds.fill("30")
    form.get_by_label("big").fill("12345678901234567890")
    form.get_by_label("speed").fill("1.5")
    form.get_by_label("mood").select_option("3")
    form.get_by_label("mode").select_option("Fast")
    form.get_by_label("loop").check()
    form.get_by_label("notes").fill("one\ntwo")
    form.get_by_label("mail").fill("ada@example.org")
    form.get_by_label("site").fill("https://example.org/film")
    form.get_by_label("on", exact=True).fill("2027-01-02")
    form.get_by_label("at", exact=True).fill("20:15:30")
    form.get_by_label("begin").fill("2027-01-02T20:15:30")
    form.get_by_label("pin").fill("1234")
    assert form.get_by_label("pin").get_attribute("type") == "password"
    form.get_by_label("tags").fill("old\n\n silent ")
    form.get_by_label("marks").fill("1\n2.5")
    form.get_by_label("bar").check()
    form.get_by_label("red").fill("200")
    form.get_by_label("cuts").fill("[[1, 2], [3, 4]]")
    form.get_by_label("anything").fill("7")
    form.get_by_label("Other arguments").fill("more=true")
    submit(form)
    assert sent(page) == {
        "name": "Metropolis",
        "seconds": 30,
        "big": "12345678901234567890",
        "speed": 1.5,
        "mood": 3,
        "mode": 2,
        "loop": True,
        "notes": "one\ntwo",
        "mail": "ada@example.org",
        "site": "https://example.org/film",
        "on": "2027-01-02",
        "at": "20:15:30+01:00",
        "begin": "2027-01-02T19:15:30Z",
        "pin": "1234",
        "tags": ["old", "silent"],
        "marks": [1, 2.5],
        "rooms": ["bar"],
        "light": {"red": 200, "tint": "warm"},
        "cuts": [[1, 2], [3, 4]],
        "anything": 7,
        "more": True,
    }


def test_optional_arguments_that_are_left_empty_are_not_sent(page: Page) -> None:
    form = show_form(page, EVERY_KIND)
    form.get_by_label("Name", exact=False).first.fill("Metropolis")
    submit(form)
    assert sent(page) == {"name": "Metropolis"}


DEFAULTS = {
    "text": "a",
    "number": 2.5,
    "choice": "y",
    "switch": True,
    "lines": ["a", "b"],
    "instant": "2027-01-02T20:15:30Z",
    "time": "20:15:30-03:00",
    "group": {"red": 7},
    "json": {"a": [1]},
    "any": "30",
    "empty": "",
}


def test_defaults_are_filled_in_and_null_is_an_empty_field(page: Page) -> None:
    kinds: dict[str, Any] = {
        "text": {"type": "string"},
        "number": {"type": "number"},
        "choice": {"enum": ["x", "y"]},
        "switch": {"type": "boolean"},
        "lines": {"type": "array", "items": {"type": "string"}},
        "instant": {"type": "string", "format": "date-time"},
        "time": {"type": "string", "format": "time"},
        "group": schema(red={"type": "integer"}),
        "json": {"type": "object"},
        "any": {},
        "empty": {"type": "string"},
    }
    described = {name: {**kind, "default": DEFAULTS[name]} for name, kind in kinds.items()}
    described["maybe"] = {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 3}
    described["never"] = {"type": ["integer", "null"], "default": None}
    form = show_form(page, schema(**described))
    expect(form.get_by_label("number")).to_have_value("2.5")
    form.get_by_label("maybe").fill("")
    submit(form)
    assert sent(page) == {**DEFAULTS, "maybe": None}


# Errors


def test_browser_says_beside_the_field_what_is_wrong_before_sending(page: Page) -> None:
    form = show_form(page, EVERY_KIND)
    form.get_by_label("seconds").fill("200")
    form.get_by_label("cuts").fill("[")
    submit(form)
    name = form.get_by_label("Name", exact=False).first
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-invalid", "true")
    assert described_by(name) == "As on the sleeve. Please fill out this field."
    assert "90" in described_by(form.get_by_label("seconds"))
    assert "not valid JSON" in described_by(form.get_by_label("cuts"))
    assert page.evaluate("sent") == []
    name.fill("Metropolis")
    form.get_by_label("seconds").fill("20")
    form.get_by_label("cuts").fill("[]")
    submit(form)
    assert sent(page) == {"name": "Metropolis", "seconds": 20, "cuts": []}
    expect(name).to_have_attribute("aria-invalid", "false")
    assert described_by(name) == "As on the sleeve."


@pytest.mark.parametrize(
    ("refusal", "label", "text"),
    [
        (
            "add: argument `seconds`: must be at least 1, got 0",
            "seconds",
            "must be at least 1, got 0",
        ),
        ("add: argument `seconds` is missing", "seconds", "is missing"),
        (
            "add: argument `light.red`: expected `int`, got `str`",
            "red",
            "expected `int`, got `str`",
        ),
        ("add: argument `tags[1]`: must not be empty", "tags", "[1]: must not be empty"),
    ],
)
def test_refusal_is_shown_beside_the_field_that_it_names(
    page: Page, refusal: str, label: str, text: str
) -> None:
    form = show_form(page, EVERY_KIND)
    form.get_by_label("Name", exact=False).first.fill("x")
    page.evaluate("words => { refusal = words; }", refusal)
    submit(form)
    field = form.get_by_label(label)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    assert described_by(field) == text
    expect(form.get_by_role("alert")).to_be_hidden()


def test_other_refusals_are_shown_below_the_form(page: Page) -> None:
    form = show_form(page, EVERY_KIND)
    form.get_by_label("Name", exact=False).first.fill("x")
    for refusal in ("add: unknown argument `x`; known: `name`", "the queue is full"):
        page.evaluate("words => { refusal = words; }", refusal)
        submit(form)
        expect(form.get_by_role("alert")).to_have_text(refusal)


# What is remembered


def test_arguments_are_remembered_without_secrets(page: Page) -> None:
    args = schema(
        name={"type": "string"},
        pin={"type": "string", "writeOnly": True},
        account=schema(key={"type": "string", "format": "password"}),
    )
    form = show_form(page, args)
    form.get_by_label("name").fill("Metropolis")
    form.get_by_label("pin").fill("hush")
    form.get_by_label("key").fill("hush")
    submit(form)
    assert sent(page) == {"name": "Metropolis", "pin": "hush", "account": {"key": "hush"}}
    expect(form.get_by_label("pin")).to_have_value("")
    expect(form.get_by_label("key")).to_have_value("")
    assert "hush" not in page.evaluate("JSON.stringify(localStorage)")
    form = show_form(page, args)
    expect(form.get_by_label("name")).to_have_value("Metropolis")


def test_changed_description_keeps_what_was_entered_and_the_focus(page: Page) -> None:
    form = show_form(page, schema(name={"type": "string"}, speed={"default": 1}))
    form.get_by_label("name").fill("Metropolis")
    page.evaluate(
        "args => { described.args = args; form.refresh(); }",
        schema(
            speed={"type": "integer", "default": 2}, name={"type": "string", "title": "Name of it"}
        ),
    )
    expect(form.get_by_label("Name of it")).to_have_value("Metropolis")
    expect(form.get_by_label("Name of it")).to_be_focused()
    expect(form.get_by_label("speed")).to_have_value("2")
    page.evaluate("described = {}; form.refresh()")
    expect(form.get_by_label("Arguments")).to_be_visible()
    expect(form.get_by_label("Name of it")).to_have_count(0)


# Text, keyboard, accessibility


def test_what_is_between_backticks_in_a_description_is_code(page: Page) -> None:
    form = show_form(
        page, schema(form={"type": "string", "description": "As for `date`, see `a b`."})
    )
    expect(form.locator(".help code")).to_have_text(["date", "a b"])
    assert described_by(form.get_by_label("form")) == "As for date, see a b."
    page.evaluate("described.description = 'Shows a `film`.'; form.refresh()")
    expect(form.locator(".about code")).to_have_text("film")


def test_list_of_types_is_as_wide_as_its_longest_title(page: Page) -> None:
    form = show_form(page, schema())
    choice = form.get_by_label("Type")
    width = "each => each.getBoundingClientRect().width"
    before = choice.evaluate(width)
    page.evaluate("described.title = 'A song, a video or a radio station'; form.refresh()")
    assert choice.evaluate(width) > before


def test_descriptions_are_shown_as_text(page: Page) -> None:
    words = {"title": HOSTILE, "description": HOSTILE, "unit": HOSTILE}
    form = show_form(
        page, schema(**{HOSTILE: {**words, "type": "integer"}, "b": {**words, "enum": [HOSTILE]}})
    )
    expect(form.get_by_label(HOSTILE)).to_have_count(2)
    assert form.locator("img").count() == 0


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_form_is_accessible_and_fits_the_screen(page: Page, theme: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=theme)
    form = show_form(page, EVERY_KIND)
    submit(form)
    expect(form.get_by_text("Please fill out this field.")).to_be_visible()
    assert violations(page, "main") == []
    assert page.evaluate("document.documentElement.scrollWidth") == width


# Rows

PARAMETERS = {
    "now": {"role": "title", "title": "Now"},
    "phase": {"role": "status"},
    "played": {"role": "progress", "title": "Played"},
    "position": {"role": "time"},
    "rate": {"unit": "kbit/s", "title": "Bit rate", "description": "Of the last second"},
    "web": {"role": "url"},
    "cover": {"role": "image"},
    "lines": {"role": "log"},
}


def show_row(page: Page, description: dict[str, Any], parameters: dict[str, Any]) -> Locator:
    page.evaluate(ROW, [description, parameters])
    return page.locator(".module")


def parameter(row: Locator, name: str) -> Locator:
    """The part that shows a parameter."""
    return row.locator(".parameters > div").filter(has=row.page.get_by_text(name, exact=True))


def test_parameters_have_the_described_order_names_units_and_roles(page: Page) -> None:
    shown = {
        "extra": 1,
        "lines": [f"line {number}" for number in range(600)],
        "cover": "data:image/png;base64,",
        "web": "https://example.org/",
        "rate": 128.5,
        "position": 3723.9,
        "played": 0.3,
        "phase": "buffering",
        "now": "Metropolis",
    }
    row = show_row(page, {"parameters": PARAMETERS}, shown)
    names = [PARAMETERS[name].get("title", name) for name in PARAMETERS]
    expect(row.locator("dt")).to_have_text([*names, "extra"])
    kinds = row.locator(".parameters > div").evaluate_all(
        "all => all.map(each => each.dataset.kind)"
    )
    wanted = ["title", "status", "progress", "time", "number", "link", "image", "log", "number"]
    assert kinds == wanted
    expect(parameter(row, "position").locator("dd")).to_have_text("1:02:03")
    expect(parameter(row, "Bit rate").locator("dd")).to_have_text("128.5 kbit/s")
    expect(parameter(row, "Bit rate").locator("dt")).to_have_attribute(
        "title", "Of the last second"
    )
    log = parameter(row, "lines").locator("dd")
    expect(log).to_contain_text("line 599")
    assert "line 99\n" not in log.inner_text(), "only the last lines are kept"
    expect(row.get_by_text("line 599")).to_be_in_viewport()
    gap = "dd => dd.getBoundingClientRect().bottom - dd.firstChild.getBoundingClientRect().bottom"
    assert 0 <= log.evaluate(gap) < 20, "it is scrolled to the end"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("web", "javascript:alert(1)"),
        ("web", "data:text/html,x"),
        ("cover", "javascript:alert(1)"),
        ("cover", "data:text/html,x"),
        ("played", "half"),
        ("position", "late"),
        ("now", HOSTILE),
        ("lines", [HOSTILE]),
        ("phase", HOSTILE),
    ],
)
def test_value_that_does_not_fit_its_role_is_text(page: Page, name: str, value: Any) -> None:
    row = show_row(page, {"parameters": PARAMETERS}, {name: value})
    expect(row.locator("dd")).to_have_text(value)
    assert row.locator(".details").locator("a, img, progress").count() == 0


def test_times_are_shown_as_on_a_clock(page: Page) -> None:
    shown = page.evaluate(
        "async (all) => { const { clockTime } = await import('./console/parameter.js');"
        " return all.map(clockTime); }",
        [0, 12, 59.9, 60, 3599, 3600, 3723, 360000, -5, -0.5],
    )
    assert shown == [
        *("0:00", "0:12", "0:59", "1:00", "59:59", "1:00:00", "1:02:03", "100:00:00"),
        *("-0:05", "0:00"),
    ]


def test_label_is_the_heading_and_the_type_stays_visible(page: Page) -> None:
    row = show_row(page, {}, {})
    expect(row.get_by_role("heading")).to_have_text("film")
    expect(row.locator(".type")).to_be_hidden()
    page.evaluate("label => show({}, { label })", HOSTILE)
    expect(row.get_by_role("heading")).to_have_text(HOSTILE)
    expect(row.locator(".type")).to_have_text("film")
    expect(row.locator(".toggle")).to_have_attribute("aria-label", f"Details of {HOSTILE} 01234567")


COMMANDS = {
    "pause": {"description": "Stop for a moment.", "args": schema()},
    "seek": {"args": schema("to", to={"type": "number", "unit": "s", "title": "To"})},
}


def test_commands_have_buttons_and_those_with_arguments_a_form(page: Page) -> None:
    row = show_row(page, {"commands": COMMANDS}, {})
    pause = row.get_by_role("button", name="pause")
    expect(pause).to_have_attribute("title", "Stop for a moment.")
    pause.click()
    result = row.locator(".commands .result")
    expect(result).to_have_text("pause: done")
    expect(page.locator("#announcer")).to_have_text("pause: done")
    seek = row.get_by_role("button", name="seek…")
    expect(seek).to_have_attribute("aria-expanded", "false")
    seek.focus()
    page.keyboard.press("Enter")
    expect(seek).to_have_attribute("aria-expanded", "true")
    expect(row.get_by_label("To (s)")).to_be_focused()
    page.keyboard.type("12.5")
    page.evaluate("window.answer = { position: 12.5 }")
    page.keyboard.press("Enter")
    expect(result).to_have_text('seek: {"position":12.5}')
    told = [args for cmd, args in page.evaluate("sent") if cmd == "tell_module"]
    assert [(each["cmd"], each["args"]) for each in told] == [("pause", {}), ("seek", {"to": 12.5})]
    page.evaluate("window.answer = new Error('seek: argument `to`: must be at most 9, got 12.5')")
    page.keyboard.press("Enter")
    expect(row.get_by_text("must be at most 9, got 12.5")).to_be_visible()
    pause.click()
    expect(result).to_have_class("result failed")
    seek.click()
    expect(row.get_by_label("To (s)")).to_be_hidden()
    assert violations(page, "main") == []


def test_row_shows_a_changed_description(page: Page) -> None:
    row = show_row(page, {"commands": COMMANDS}, {"rate": 3})
    expect(row.locator("dd")).to_have_text("3")
    described = {"commands": {"stop": {"args": schema()}}, "parameters": {"rate": {"unit": "Hz"}}}
    page.evaluate("new_one => { description = new_one; row.redescribe(); }", described)
    expect(row.locator("dd")).to_have_text("3 Hz")
    expect(row.locator(".commands .buttons button")).to_have_text(["stop"])


# With a real queue

FILM = {
    "title": "Film",
    "label": "{title}, {minutes} min",
    "args": schema(
        "title",
        title={"type": "string", "pattern": "^[A-Z]", "title": "Title"},
        minutes={"type": "integer", "minimum": 1, "default": 90, "unit": "min"},
        pin={"type": "string", "writeOnly": True},
    ),
    "commands": {"echo": {"args": schema("text", text={"type": "string", "maxLength": 5})}},
    "parameters": {"args": {"title": "Arguments"}},
}


@pytest.fixture(scope="module")
def cinema(make_shared_site: Callable[..., Site]) -> Site:
    """An application with a queue of films, which are described, and others, which are not."""
    types = {
        "film": {"process": child("well"), "schema": FILM},
        "other": {"process": child("well")},
        "convert": {
            "adapter": "command",
            "process": ["sh", "-c", "printf '40%%\\r'; exec sleep 1000", "sh", "{file}", "{kbps}"],
            "progress": r"(\d+)%",
        },
    }
    settings = {"state_path": "$HERE/state.db", "queue": {"modules": types, "backgrounds": types}}
    site = make_shared_site(
        services=("wsgi", "queue", "vol"), settings=settings, programs={"vol": EXAMPLES["vol"]}
    )
    return site.start()


def test_described_item_is_added_told_and_shown_by_its_label(
    cinema: Site, browser: Browser
) -> None:
    page = browser.new_page()
    page.goto(cinema.url)
    queue = service(page, "queue")
    form = form_of(page, "queue")
    form.get_by_label("Title").fill("metropolis")
    form.get_by_label("pin").fill("hush")
    form.get_by_role("button", name="Add").click()
    expect(form.get_by_label("Title")).to_be_focused()
    expect(form.locator(".error").first).to_contain_text("metropolis")
    form.get_by_label("Title").fill("Metropolis")
    form.get_by_role("button", name="Add").click()
    row = rows(page)
    expect(row.locator(".title")).to_have_text("Metropolis, 90 min")
    expect(row.locator(".type")).to_have_text("film")
    expect(open_details(row).get_by_text('"minutes":90')).to_be_visible()
    row.get_by_role("button", name="echo…").click()
    row.get_by_label("text").fill("far too long")
    row.get_by_role("button", name="echo", exact=True).click()
    expect(row.get_by_label("text")).to_be_focused()
    expect(row.locator(".error")).to_have_text("must have at most 5 characters, got 12")
    row.get_by_label("text").fill("hello")
    row.get_by_role("button", name="echo", exact=True).click()
    expect(row.locator(".commands .result")).to_have_text('echo: {"text":"hello"}')
    unfold(queue.locator(".history"))
    stop(page, row, "Metropolis, 90 min")
    expect(queue.locator(".history-item .title")).to_have_text("Metropolis, 90 min")
    expect(queue.locator(".history-item .type")).to_have_text("film")
    form.get_by_label("Type").select_option("other")
    expect(form.get_by_label("Arguments")).to_be_visible()
    background = form_of(page, "queue", "Set background")
    background.get_by_label("Title").fill("Nosferatu")
    background.get_by_role("button").click()
    expect(queue.locator(".background .module .title")).to_have_text("Nosferatu, 90 min")
    page.close()


def test_a_command_has_a_field_for_each_placeholder_and_a_progress_bar(
    cinema: Site, browser: Browser
) -> None:
    page = browser.new_page()
    page.goto(cinema.url)
    form = form_of(page, "queue")
    form.get_by_label("Type").select_option("convert")
    form.get_by_label("file").fill("a b.wav")
    form.get_by_label("kbps").fill("064")
    form.get_by_role("button", name="Add").click()
    row = rows(page)
    expect(row.locator(".title")).to_have_text("a b.wav, 064")
    expect(row.locator("progress")).to_have_attribute("value", "0.4")
    stop(page, row, "a b.wav, 064")
    expect(row).to_have_count(0)
    page.close()


def test_forms_follow_a_description_that_changes_with_a_restart(
    cinema: Site, browser: Browser
) -> None:
    page = browser.new_page()
    page.goto(cinema.url)
    form_of(page, "queue").get_by_label("Title").fill("Metropolis")
    FILM["args"]["properties"]["title"]["title"] = "Name"
    cinema.settings_file.write_text(json.dumps(cinema.settings))
    cinema.stop("queue")
    cinema.start("queue")
    expect(form_of(page, "queue").get_by_label("Name")).to_have_value("Metropolis")
    page.close()


def test_commands_of_other_services_have_forms(cinema: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(cinema.url)
    vol = service(page, "vol")
    vol.get_by_role("button", name="set_vol…").click()
    vol.get_by_role("spinbutton", name="vol").fill("7")
    vol.get_by_role("button", name="set_vol", exact=True).click()
    expect(vol.locator(".result")).to_have_text("set_vol: done")
    vol.get_by_role("button", name="get_vol").click()
    expect(vol.locator(".result")).to_have_text("get_vol: 7")
    page.close()
