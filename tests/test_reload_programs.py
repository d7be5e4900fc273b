"""Reload of real programs: a gateway with two workers, and a queue, by commands and by SIGHUP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from support import Reply, Site, child, http, is_alive, wait_until

from shmooze.access.token_file import TokenFile
from shmooze.processes.tree import children

HOST = "reloaded.example"
#: What a service says that it has changed.
REPORT = ("added", "changed", "removed", "settings", "needs_restart")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    section = {"modules": {"well": {"process": child("well")}}}
    more = {"wsgi_workers": 2, "sighup": "reload", "queue": section, "title": "old"}
    more["public"] = ["ports", "title"]
    programs = {"probe": child("svc_probe", "probe")}
    site = Site(
        tmp_path_factory.mktemp("reload"), ("wsgi", "queue", "probe"), more, programs=programs
    )
    try:
        yield site.start()
    finally:
        site.close()


def write(site: Site, **changed: Any) -> None:
    """Change keys of the settings file."""
    site.settings.update(changed)
    site.settings_file.write_text(json.dumps(site.settings))


def reload(site: Site, service: str = "wsgi", **args: Any) -> Any:
    """Reload by a command at the gateway. Returns the packet."""
    return site.post(service, {"cmd": "reload", "args": args}).json


def everywhere(site: Site, wanted: Any, ask: Any) -> None:
    """Wait until all workers say the same: connections are spread over them."""
    wait_until(lambda: all(ask() == wanted for _ in range(16)), f"all workers say {wanted!r}")


def title(site: Site) -> Any:
    return http(f"{site.url}settings.json").json["title"]


def test_the_gateway_serves_what_is_public_now_from_all_workers(site: Site) -> None:
    write(site, title="new", wsgi_timeout=9, max_body=1 << 21)
    packet = reload(site)
    assert packet["success"], packet
    assert packet["result"]["needs_restart"] == ["max_body"]
    assert {"wsgi_timeout", "title"} <= {*packet["result"]["settings"]}
    everywhere(site, "new", lambda: title(site))


def test_a_worker_that_is_started_later_has_the_new_settings_too(site: Site) -> None:
    write(site, title="later")
    assert reload(site)["success"]
    everywhere(site, "later", lambda: title(site))
    old = children(site.processes["wsgi"].pid)
    os.kill(old[0], signal.SIGKILL)
    wait_until(
        lambda: len({*children(site.processes["wsgi"].pid)} - {*old}) == 1, "another is started"
    )
    everywhere(site, "later", lambda: title(site))


def test_hosts_and_tokens_count_at_once(site: Site) -> None:
    at_host = {"Host": HOST}

    def status() -> int:
        return http(f"{site.url}settings.json", headers=at_host).status

    assert status() == 403
    write(site, allowed_hosts=[HOST])
    assert reload(site, services=True)["success"]
    everywhere(site, 200, status)
    assert site.direct("queue", {"cmd": "queue"}, headers=at_host).status == 200


def test_all_services_that_can_reload_do_so_together(site: Site) -> None:
    modules = site.settings["queue"]["modules"]
    write(site, queue={"modules": {**modules, "more": {"process": child("well")}}})
    packet = reload(site, services=True)
    assert packet["result"]["services"]["queue"]["added"] == ["modules.more"]
    assert "probe" not in packet["result"]["services"]
    uid = site.ask("queue", "add", type="more")["uid"]
    site.ask("queue", "rm", uids=[uid])


def test_a_mistake_is_told_and_the_others_say_that_they_have_reloaded(site: Site) -> None:
    good = site.settings["queue"]
    write(site, queue={"modules": {"well": {"process": []}}}, title="half")
    error = reload(site, services=True)["error"]
    assert error.startswith("queue: settings file ") and error.endswith("; reloaded: wsgi")
    assert "`queue.modules.well.process` must name a program first" in error
    everywhere(site, "half", lambda: title(site))
    assert "more" in site.ask("queue", "modules_available")
    write(site, queue=good)


def test_a_mistake_of_the_gateway_changes_nothing_anywhere(site: Site) -> None:
    write(site, title="never", wsgi_timeout=0)
    error = reload(site, services=True)["error"]
    assert "`wsgi_timeout` must be a number of seconds above 0" in error
    assert error.endswith("Nothing was changed")
    everywhere(site, "half", lambda: title(site))
    write(site, wsgi_timeout=9)


def test_shmz_reloads_everything_or_one_service(site: Site) -> None:
    def shmz(*words: str) -> Any:
        program = [sys.executable, "-m", "shmooze.shmz", *words]
        done = subprocess.run(
            program, env={**site.environ, "SHMZ_ENDPOINT": f"{site.url}queue"}, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    nothing = {**{key: [] for key in REPORT}, "needs_restart": ["max_body"]}
    write(site, title="by shmz")
    assert shmz("reload", "queue") == nothing
    everywhere(site, "half", lambda: title(site))
    assert shmz("reload") == {
        "settings": ["title"],
        "needs_restart": ["max_body"],
        "services": {"queue": nothing},
    }
    everywhere(site, "by shmz", lambda: title(site))


@pytest.mark.parametrize("name", ["queue", "wsgi"])
def test_sighup_reloads_where_the_settings_say_so(site: Site, name: str) -> None:
    write(site, title=f"signalled {name}", queue={**site.settings["queue"], "max_modules": 7})
    process = site.processes[name]
    process.send_signal(signal.SIGHUP)
    if name == "queue":
        wait_until(lambda: "settings: queue.max_modules" in site.log("queue"), "it has reloaded")
    else:
        everywhere(site, f"signalled {name}", lambda: title(site))
    write(site, queue={"modules": {}}, title="once more")
    process.send_signal(signal.SIGHUP)
    if name == "queue":
        wait_until(lambda: "names no module type" in site.log("queue"), "it has said why not")
    else:
        everywhere(site, "once more", lambda: title(site))
    assert is_alive(process.pid)
    write(site, queue={"modules": {"well": {"process": child("well")}}})


def test_tokens_are_needed_as_soon_as_the_settings_name_them(site: Site) -> None:
    file = TokenFile(str(site.folder / "tokens.json"))
    names = ["read"], ["control", "service:queue"], ["control"]
    tokens = [file.add(f"holder-{number}", None, each) for number, each in enumerate(names)]
    write(site, tokens_path=str(file.path))
    assert reload(site, services=True)["success"]

    def ask(number: int | None) -> Reply:
        bearer = {} if number is None else {"Authorization": f"Bearer {tokens[number]}"}
        return site.post("wsgi", {"cmd": "reload"}, headers=bearer)

    everywhere(site, 401, lambda: ask(None).status)
    assert ask(0).json["error"] == "reload: this token may only read"
    assert ask(1).status == 403
    assert ask(2).json["success"]
    assert site.direct("queue", {"cmd": "queue"}).status == 401
