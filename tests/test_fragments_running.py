"""Blocks of pages that are no whole programs, beside running services."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from events import Watcher
from shown_packets import difference
from support import ROOT, Client, Site, child, wait_until
from test_fragments import block

import shmooze.client
from shmooze.lib.service import JSONCommandProcessor, Service

# Services.


def test_a_service_reports_what_is_not_well() -> None:
    names: dict[str, Any] = {"JSONCommandProcessor": JSONCommandProcessor, "Service": Service}
    exec(block("docs/how-to/operations.md", "class Volume").text, names)
    volume = names["Volume"].__new__(names["Volume"])
    volume.mixer_is_open = True
    assert volume.health_problems() == {}
    volume.mixer_is_open = False
    assert volume.health_problems() == {"mixer": "no sound card"}


MIGRATE = "docs/how-to/migrate.md"


def test_the_old_service_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text(block(MIGRATE, "import shmooze.lib.service").text)
    (tmp_path / "settings.json").write_text('{"ports": {"vol": 1}}')
    environ = {"PYTHONPATH": str(ROOT), "SHMOOZE_SETTINGS": str(tmp_path / "settings.json")}
    argv = [sys.executable, str(tmp_path / "old.py")]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True)
    assert done.returncode != 0
    assert "`shmooze.lib.service.coroutine` of shmooze 1.2.4 was removed" in done.stderr


@pytest.fixture(scope="module")
def running(make_shared_site: Callable[..., Site]) -> Site:
    """A queue."""
    countdown = [sys.executable, "-S", str(ROOT / "examples" / "modules" / "countdown.py")]
    types = {"door": {"process": child("well")}, "countdown": {"process": countdown}}
    settings = {"queue": {"modules": types, "order": "priority"}}
    return make_shared_site(services=("wsgi", "queue"), settings=settings).start()


def test_events_have_the_shape_of_those_on_the_page(running: Site) -> None:
    session = block("docs/reference/protocol.md", "$ curl -N").text
    events = re.findall(r"^event: (\w+)\ndata: (.*)$", session, re.MULTILINE)
    watcher = Watcher(running.ports["wsgi"], "/queue/events")
    running.ask("queue", "add", type="countdown", args={"seconds": 30})
    wait_until(lambda: "left" in str(watcher.events), "it plays")
    (uid,) = (each["uid"] for each in running.ask("queue", "queue"))
    watcher.close()
    changes = [data for kind, data in watcher.events if kind == "change"]
    said: dict[str, Any] = {}  # of the module, in whichever of them
    for change in changes:
        said |= change.get("modules", {}).get(uid, {})
    real = {"change": {**changes[0], "modules": {uid: said}}, "snapshot": watcher.events[0][1]}
    for kind, data in events:
        assert difference(json.loads(data.replace("UID", uid)), real[kind]) is None
    Client(running, "queue").clear()


# The client.


@pytest.fixture
def client(running: Site) -> Iterator[shmooze.client.Client]:
    with shmooze.client.Client(running.url) as client:
        yield client
    Client(running, "queue").clear()


def test_arguments_of_modules_and_of_commands_are_told_apart(
    running: Site, client: shmooze.client.Client
) -> None:
    exec(block("docs/reference/client.md", "client.queue.add").text, {"client": client})
    first, keyed, urgent = sorted(running.ask("queue", "queue"), key=lambda item: item["added"])
    assert first["args"] == {"key": 5, "type": "oak"}
    assert keyed["args"] == urgent["args"] == {"key": 5}


class _Enough(Exception):
    """Ends a loop that has no end."""


def test_a_loop_over_events_shows_all_modules(running: Site, client: shmooze.client.Client) -> None:
    shown = []

    def enough(*words: Any) -> None:
        shown.append(words)
        raise _Enough

    running.ask("queue", "add", type="countdown", args={"seconds": 1000})
    text = block("docs/reference/client.md", "with client.queue.events").text
    with pytest.raises(_Enough):
        exec(text, {"client": client, "print": enough})
    assert shown[0][:2] == ("countdown", "playing")
