"""Firefox, driven by WebDriver BiDi, the W3C's protocol that Firefox itself speaks.

Playwright drives only a Firefox of its own making. Selenium needs geckodriver, which neither PyPI
nor Debian has. Puppeteer speaks BiDi too, but would put Node.js between a test and the page.
https://w3c.github.io/webdriver-bidi/ describes the commands used here.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import PATIENCE, wait_until

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")

needs_firefox = pytest.mark.skipif(FIREFOX is None, reason="firefox-esr is not installed")

#: What a new profile would otherwise do on its own: look for updates, ask for things, go online.
_PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "signon.rememberSignons": False,
    "toolkit.telemetry.server": "",
}

#: JavaScript: a function that returns the elements that are shown, and the name of one of them.
_VISIBLE = "(found => [...document.querySelectorAll(found)].filter(each => each.checkVisibility()))"
_NAME = "(each.ariaLabel ?? each.innerText).trim()"


class Tab:
    """A tab of a browser. Elements are found by CSS selectors, and waited for."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._numbers = connection, itertools.count(1)
        #: Errors of scripts, and what scripts have logged as an error.
        self.problems: list[str] = []
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded"])
        self._context = self.send("browsingContext.getTree")["contexts"][0]["context"]

    def send(self, method: str, **params: Any) -> Any:
        """The result of one command of the protocol."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(self._connection.recv(PATIENCE))).get("id") != number:
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                self.problems.append(answer["params"]["text"])
        assert answer["type"] == "success", f"{method}: {answer['error']}: {answer['message']}"
        return answer["result"]

    def open(self, url: str, wait: str = "complete") -> None:
        """Load a page, and wait until it is complete; with "none", for nothing, since it leads on
        to another page at once.
        """
        self.send("browsingContext.navigate", context=self._context, url=url, wait=wait)

    def run(self, expression: str) -> Any:
        """The value of JavaScript, or of its promise: a string, a number, true, false or None."""
        return self._evaluate(expression).get("value")

    def text(self, selector: str) -> str | None:
        """The text that an element shows; None if there is no such element."""
        text = self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")
        return None if text is None else str(text)

    def expect(self, expression: str) -> None:
        """Wait until JavaScript is true."""
        wait_until(lambda: self.run(f"Boolean({expression})"), expression)

    def expect_text(self, selector: str, pattern: str) -> None:
        """Wait until an element shows a text that a pattern is found in."""
        try:
            wait_until(lambda: re.search(pattern, self.text(selector) or ""), "text")
        except AssertionError:
            text = self.text(selector)
            raise AssertionError(f"{selector} does not show {pattern!r} but {text!r}") from None

    def expect_count(self, selector: str, count: int) -> None:
        """Wait until there are so many elements."""
        self.expect(f"document.querySelectorAll({json.dumps(selector)}).length === {count}")

    def click(self, name: str, inside: str = "body") -> None:
        """Click with the mouse at the middle of a button, once it is there.

        `name` is how its name begins: what it shows, or what a screen reader says instead.
        `inside` is a selector of something that it is in.
        """
        buttons = f"{_VISIBLE}({json.dumps(f'{inside} button')})"
        self._click(f"{buttons}.find(each => {_NAME}.startsWith({json.dumps(name)}))")

    def fill(self, label: str, text: str) -> None:
        """Replace what a field contains, by the keyboard."""
        field = f"{_VISIBLE}('label').find(each => {_NAME} === {json.dumps(label)})?.control"
        self._click(field)
        self.run(f"{field}.select()")
        self.type(text)

    def type(self, text: str) -> None:
        """Press keys, one for each character. "\\ue007" is Enter, see the WebDriver standard."""
        keys = [
            {"type": kind, "value": character}
            for character in text
            for kind in ("keyDown", "keyUp")
        ]
        self._act("key", keys)

    def close(self) -> None:
        self.send("browser.close")

    def _evaluate(self, expression: str) -> Any:
        answer = self.send(
            "script.evaluate",
            expression=expression,
            target={"context": self._context},
            awaitPromise=True,
        )
        assert answer["type"] == "success", f"{expression}: {answer.get('exceptionDetails')}"
        return answer["result"]

    def _click(self, expression: str) -> None:
        self.expect(expression)
        shown = "each => { each.scrollIntoView({ block: 'center' }); return each; }"
        element = self._evaluate(f"({shown})({expression})")["sharedId"]
        origin = {"type": "element", "element": {"sharedId": element}}
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": origin}
        buttons = [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
        self._act("pointer", [move, *buttons])

    def _act(self, kind: str, actions: list[dict[str, Any]]) -> None:
        source = {"type": kind, "id": kind, "actions": actions}
        self.send("input.performActions", context=self._context, actions=[source])


@contextmanager
def firefox(folder: Path) -> Iterator[Tab]:
    """Run a browser without a window, with a new profile in a folder. It ends with its tab."""
    from websockets.sync.client import connect  # here, since the fast tests have no websockets

    assert FIREFOX is not None
    lines = (f"user_pref({json.dumps(key)}, {json.dumps(v)});\n" for key, v in _PREFERENCES.items())
    (folder / "user.js").write_text("".join(lines))
    log = folder / "firefox.log"
    argv = [FIREFOX, "--headless", "--no-remote", "--profile", folder, "--remote-debugging-port=0"]
    with log.open("w") as output:
        browser = subprocess.Popen(argv, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        url = wait_until(
            lambda: re.search(r"WebDriver BiDi listening on (ws://\S+)", log.read_text()),
            f"Firefox says in {log} where it listens",
        )[1]
        with connect(f"{url}/session", max_size=None, compression=None) as connection:
            tab = Tab(connection)
            yield tab
            tab.close()
        browser.wait(PATIENCE)
    finally:
        browser.kill()
        browser.wait()
