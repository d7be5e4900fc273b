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
from typing import Any

import pytest
from support import PATIENCE, wait_until
from websockets.sync.client import ClientConnection, connect

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

    def open(self, url: str) -> None:
        """Load a page, and wait until it is complete."""
        self.send("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def run(self, expression: str) -> Any:
        """The value of JavaScript, or of its promise: a string, a number, true, false or None."""
        target = {"context": self._context}
        answer = self.send(
            "script.evaluate", expression=expression, target=target, awaitPromise=True
        )
        assert answer["type"] == "success", f"{expression}: {answer.get('exceptionDetails')}"
        return answer["result"].get("value")

    def text(self, selector: str) -> str | None:
        """The text that an element shows; None if there is no such element."""
        text = self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")
        return None if text is None else str(text)

    def count(self, selector: str) -> int:
        return int(self.run(f"document.querySelectorAll({json.dumps(selector)}).length"))

    def expect(self, expression: str) -> None:
        """Wait until JavaScript is true."""
        wait_until(lambda: self.run(f"Boolean({expression})"), expression)

    def expect_text(self, selector: str, pattern: str) -> None:
        """Wait until an element shows a text that a pattern is found in."""
        wait_until(
            lambda: re.search(pattern, self.text(selector) or ""),
            lambda: f"{selector} shows {pattern!r}, and not {self.text(selector)!r}",
        )

    def expect_count(self, selector: str, count: int) -> None:
        wait_until(
            lambda: self.count(selector) == count,
            lambda: f"{selector} is there {count} times, and not {self.count(selector)} times",
        )

    def click(self, selector: str) -> None:
        """Click with the mouse at the middle of an element, once it is there and visible."""
        element = self._find(selector)
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": element}
        buttons = [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
        self._act("pointer", [move, *buttons])

    def type(self, text: str) -> None:
        """Press keys, one for each character. "\\ue007" is Enter, see the WebDriver standard."""
        keys = [
            {"type": kind, "value": character} for character in text for kind in ("keyDown", "keyUp")
        ]
        self._act("key", keys)

    def close(self) -> None:
        self.send("browser.close")

    def _find(self, selector: str) -> dict[str, Any]:
        """An element, scrolled to where it can be seen, as the origin of a pointer's move."""
        quoted = json.dumps(selector)
        self.expect(f"document.querySelector({quoted})?.checkVisibility()")
        self.run(f"document.querySelector({quoted}).scrollIntoView({{ block: 'center' }})")
        found = self.send(
            "browsingContext.locateNodes",
            context=self._context,
            locator={"type": "css", "value": selector},
            maxNodeCount=1,
        )
        return {"type": "element", "element": {"sharedId": found["nodes"][0]["sharedId"]}}

    def _act(self, kind: str, actions: list[dict[str, Any]]) -> None:
        source = {"type": kind, "id": kind, "actions": actions}
        self.send("input.performActions", context=self._context, actions=[source])


@contextmanager
def firefox(folder: Path) -> Iterator[Tab]:
    """Run a browser without a window, with a new profile in a folder. It ends with its tab."""
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
            lambda: f"Firefox listens:\n{log.read_text()}",
        )[1]
        with connect(f"{url}/session", max_size=None, compression=None) as connection:
            tab = Tab(connection)
            yield tab
            tab.close()
        browser.wait(PATIENCE)
    finally:
        browser.kill()
        browser.wait()
