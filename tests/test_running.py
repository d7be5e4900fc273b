"""`shmooze run` with real processes: it serves, restarts what dies, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import (
    Site,
    child,
    http,
    is_alive,
    is_listening,
    parent_of,
    suspend,
    wait_until,
)
from terminal import Window
from test_endings import LADDER, Endings, kinds

from shmooze.cli.main import main

if TYPE_CHECKING:
    from playwright.sync_api import Page

RUN = [sys.executable, "-m", "shmooze", "run"]

TYPES = {"well": {"process": child("well")}}
OWN = {"program": child("svc_obstinate"), "stop_timeout": 0.5}


class Running(Endings):
    """An application that `shmooze run` runs. In the site, `service` stands for all of it."""

    def __init__(self, site: Site, service: str) -> None:
        super().__init__(site.start(service))
        self._service = service

    @property
    def guardian(self) -> int:
        return self.site.processes[self._service].pid

    @property
    def supervisor(self) -> int:
        return self.child_of(self.guardian)

    def child_of(self, parent: int, name: str = "") -> int:
        """The one child of a process that has `name` in its command line."""
        found = []
        for pid in self.site.survivors():
            with suppress(OSError):  # it has just ended, as the links of a chain do
                command = Path(f"/proc/{pid}/cmdline").read_text()
                if parent_of(pid) == parent and name in command:
                    found.append(pid)
        (one,) = found
        return one

    def fill(self) -> None:
        super().fill()
        wait_until(lambda: len(self.own_pids()) == 3, "the service has started all")

    def own_pids(self) -> list[int]:
        file = self.site.folder / "pids-own"
        return [int(pid) for pid in file.read_text().split()] if file.exists() else []

    def end(self, number: signal.Signals, *pids: int) -> int:
        """Send a signal, and return the exit status."""
        process = self.site.processes.pop(self._service)
        for pid in pids:
            os.kill(pid, number)
        return process.wait(LADDER)


@pytest.fixture
def running(make_site: Callable[..., Site]) -> Running:
    settings = {"pool": {"modules": kinds(connect_timeout=1000)}, "own": OWN}
    site = make_site(services=("pool", "own"), settings=settings, programs={"pool": RUN})
    return Running(site, "pool")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_signal_leaves_nothing_and_exits_with_status_0(
    running: Running, number: signal.Signals
) -> None:
    running.fill()
    assert running.end(number, running.guardian) == 0
    assert [*running.survivors(), *running.site.survivors()] == []
    running.join_adds()
    assert "own has not ended within 0.5 s: killing it" in running.site.log("pool")


@pytest.mark.parametrize("victim", ["supervisor", "guardian"])
def test_sigkill_leaves_nothing(running: Running, victim: str) -> None:
    running.fill()
    assert running.end(signal.SIGKILL, getattr(running, victim)) == -signal.SIGKILL
    running.assert_none_left(LADDER)
    wait_until(lambda: not running.site.survivors(), "nothing of the application is left either")
    running.join_adds()


def test_sigkill_of_both_leaves_no_process_of_a_service(running: Running) -> None:
    running.fill()
    supervisor = running.supervisor
    suspend(running.guardian)  # or it would see the supervisor die first
    running.end(signal.SIGKILL, supervisor, running.guardian)
    running.assert_none_left(LADDER)
    own = set(running.own_pids())
    wait_until(lambda: set(running.site.survivors()) <= own, "only what is not ours is left")
    for pid in running.site.survivors():
        os.kill(pid, signal.SIGKILL)
    running.join_adds()


@pytest.mark.parametrize("how", ["ctrl-c", "closed"])
def test_the_end_of_its_terminal_leaves_nothing(make_site: Callable[..., Site], how: str) -> None:
    settings = {"pool": {"modules": kinds(connect_timeout=1000)}, "own": OWN}
    site = make_site(services=("wsgi", "pool", "own"), settings=settings)
    terminal = Window([*RUN, site.settings_file], site.environ)
    try:
        wait_until(lambda: "Ctrl-C ends it" in terminal.text, "it prints the address of its page")
        assert f"the page is http://localhost:{site.ports['wsgi']}/ " in terminal.text
        assert b"<html" in http(site.url).body
        wait_until(lambda: is_listening(site.ports["pool"]), "the pool listens")
        for kind in ("ignores-sigterm", "has-daemon"):
            site.ask("pool", "add", type=kind)
        assert (terminal.press_ctrl_c if how == "ctrl-c" else terminal.close_window)() == 0
        assert site.survivors() == []
    finally:
        terminal.close()


def test_a_service_that_is_killed_comes_back_with_its_modules(
    make_site: Callable[..., Site],
) -> None:
    settings: dict[str, Any] = {"queue": {"modules": TYPES}, "state_path": "state.db"}
    site = make_site(services=("wsgi", "queue"), settings=settings, programs={"wsgi": RUN})
    running = Running(site, "wsgi")
    wait_until(lambda: is_listening(site.ports["queue"]), "the queue listens")
    uid = site.ask("queue", "add", type="well")["uid"]

    def plays() -> bool:
        try:
            modules = site.ask("queue", "queue")
        except OSError:  # it is not back yet
            return False
        return [(each["uid"], each["state"]) for each in modules] == [(uid, "playing")]

    for victim in ("its guardian", "itself"):
        guardian = running.child_of(running.supervisor, "shmooze.queue")
        service = running.child_of(guardian, "shmooze.queue")
        os.kill(guardian if victim == "its guardian" else service, signal.SIGKILL)
        wait_until(lambda pid=service: not is_alive(pid), "it is gone")
        wait_until(plays, "it is back, and its module plays again")
    assert site.log("wsgi").count("queue was killed by SIGKILL; restarting it") == 2
    assert "cannot listen" not in site.log("wsgi")


def test_sighup_lets_all_programs_reload_where_the_settings_say_so(
    make_site: Callable[..., Site],
) -> None:
    settings: dict[str, Any] = {"queue": {"modules": TYPES}, "sighup": "reload"}
    argv = ["setsid", *RUN]  # without the terminal that the tests may have
    site = make_site(services=("queue",), settings=settings, programs={"queue": argv})
    running = Running(site, "queue")
    site.settings["queue"] = {"modules": {**TYPES, "cow": {"process": ["cow"]}}}
    site.settings_file.write_text(json.dumps(site.settings))
    os.kill(running.guardian, signal.SIGHUP)
    wait_until(lambda: "cow" in site.ask("queue", "modules_available"), "it knows the new type")
    assert "ended" not in site.log("queue")


def test_a_mistake_in_the_settings_of_a_service_ends_all_with_status_2(
    make_site: Callable[..., Site],
) -> None:
    settings = {"pool": {"modules": TYPES, "slots": 0}}
    site = make_site(services=("wsgi", "pool"), settings=settings)
    terminal = Window([*RUN, site.settings_file], site.environ)
    assert terminal.wait() == 2
    assert "pool | shmooze: settings file" in terminal.text
    assert "`pool.slots` must be a whole number above 0, or null, not 0" in terminal.text
    assert "pool cannot be run: it has ended with status 2" in terminal.text
    assert site.survivors() == []
    terminal.close()


def test_a_new_application_opens_its_page_and_counts(
    make_site: Callable[..., Site], page: Page, tmp_path: Path
) -> None:
    assert main(["new", str(tmp_path / "app")]) == 0
    shown = tmp_path / "shown"
    site = make_site(
        services=("wsgi", "queue"),
        programs={"wsgi": [*RUN, "--open", str(tmp_path / "app")]},
        environ={"BROWSER": f"sh -c 'echo %s > {shown}'"},
    )
    file = tmp_path / "app" / "settings.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "ports": site.ports}))
    site.start("wsgi")
    url = wait_until(lambda: shown.exists() and shown.read_text().strip(), "a browser is opened")
    assert url == f"http://localhost:{site.ports['wsgi']}/"
    assert is_listening(site.ports["queue"]), "the page is shown before the queue listens"
    page.goto(url)
    page.get_by_role("button", name="Count to 30").click()
    page.get_by_text("counter: 1, playing").wait_for(timeout=9000)
    page.get_by_role("link", name="The console").click()
    page.get_by_role("heading", name="queue").wait_for()
    page.get_by_text("count to 30").wait_for()
    wait_until(lambda: len(site.survivors()) == 6, "nothing waits to open a browser any more")
