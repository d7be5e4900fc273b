"""The scripts that people run: the whole application under a real supervisord."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from configparser import RawConfigParser
from pathlib import Path

import pytest
from support import PATIENCE, ROOT, Site, http, is_listening, wait_until
from terminal import Terminal


@pytest.fixture
def run_shmooze(make_site: Callable[..., Site]) -> Iterator[Callable[[Site], Terminal]]:
    """A function that runs the script with the settings of a site."""
    opened: list[Terminal] = []

    def run(site: Site) -> Terminal:
        opened.append(Terminal(site))
        return opened[-1]

    yield run
    for terminal in opened:
        terminal.close()


@pytest.fixture
def terminal(make_site: Callable[..., Site], run_shmooze: Callable[[Site], Terminal]) -> Terminal:
    return run_shmooze(make_site(settings={"app_jobs": {"sleep": ["sleep", "1000"]}}))


def test_run_shmooze_prints_its_url_serves_the_page_and_leaves_nothing_after_ctrl_c(
    terminal: Terminal,
) -> None:
    site = terminal.site
    terminal.wait_running()
    assert f"http://localhost:{site.ports['wsgi']}/" in terminal.text
    assert b"<html" in http(site.url).body
    site.ask("queue", "add", type="countdown", args={"seconds": 1000})
    site.ask("queue", "set_bg", type="clock")
    site.ask("pool", "add", type="job", args={"name": "sleep"})
    assert terminal.press_ctrl_c() == 0
    assert site.survivors() == []
    for words in (
        "gateway: http://",
        "queue: listening on",
        "pool: listening on",
        "pool: stopping",
    ):
        assert words in terminal.text
    assert not list(ROOT.glob("*.log"))


def test_supervisorctl_stops_one_service_with_all_its_children(terminal: Terminal) -> None:
    site = terminal.site
    terminal.wait_running()
    site.wait_for_descriptions()
    before = len(site.survivors())
    site.ask("pool", "add", type="job", args={"name": "sleep"})
    wait_until(lambda: len(site.survivors()) == before + 2, "the job runs")
    control = Path(sys.executable).with_name("supervisorctl")
    argv = [control, "-c", ROOT / "supervisord.conf", "stop", "pool"]
    stopped = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
    assert "pool: stopped" in stopped.stdout
    assert len(site.survivors()) == before - 2  # the service and its guardian
    assert http(f"{site.url}pool", {"cmd": "pool"}).status == 502


def test_application_without_a_pool_runs_without_it(
    make_site: Callable[..., Site], run_shmooze: Callable[[Site], Terminal]
) -> None:
    site = make_site(services=("wsgi", "queue"))
    terminal = run_shmooze(site)
    terminal.wait_running()
    assert (
        "shmooze: not started, since not in `ports`, or on another machine: pool" in terminal.text
    )
    assert http(f"{site.url}queue", {"cmd": "queue"}).json["success"]
    assert "spawned: 'pool'" not in terminal.text
    assert terminal.press_ctrl_c() == 0
    assert site.survivors() == []


def test_port_in_use_is_reported_and_nothing_is_left_running(
    make_site: Callable[..., Site], run_shmooze: Callable[[Site], Terminal]
) -> None:
    site = make_site()
    with socket.create_server(("127.0.0.1", site.ports["pool"])):
        terminal = run_shmooze(site)
        assert terminal.wait() == 2
    port = site.ports["pool"]
    assert f"shmooze: port {port} (`ports.pool` of " in terminal.text
    assert "Traceback" not in terminal.text
    assert site.survivors() == []


def test_broken_settings_are_one_line(
    make_site: Callable[..., Site], run_shmooze: Callable[[Site], Terminal]
) -> None:
    site = make_site()
    site.settings_file.write_text("{")
    terminal = run_shmooze(site)
    assert terminal.wait() == 2
    assert "broken JSON at line 1 column 2" in terminal.text.splitlines()[-1]


def test_unusable_token_file_is_one_line(
    make_site: Callable[..., Site], run_shmooze: Callable[[Site], Terminal]
) -> None:
    terminal = run_shmooze(make_site(settings={"tokens_path": "/nowhere/tokens.json"}))
    assert terminal.wait() == 2
    expected = "shmooze: token file /nowhere/tokens.json: cannot be read: No such file or directory"
    hint = "; `python -m shmooze.tokens add NAME` creates it"
    assert terminal.text.splitlines()[-1] == expected + hint


def test_with_a_socket_as_standard_output_all_starts_and_rotated_logs_are_complete(
    make_site: Callable[..., Site],
) -> None:
    """This is how systemd's journal is attached."""
    lines = 300
    says = f"for i in $(seq {lines}); do echo said $i.; done; exec sleep 1000"
    types = {"chatty": {"adapter": "command", "process": ["sh", "-c", says]}}
    site = make_site(settings={"pool": {"modules": types}})
    conf = site.folder / "supervisord.conf"
    examples = str(ROOT / "examples").replace("%", "%%")
    text = (ROOT / "supervisord.conf").read_text()
    text = text.replace("python examples/example_pool.py", "python -m shmooze.pool")
    text = text.replace("examples/", f"{examples}/")
    conf.write_text(
        text.replace("maxbytes=10MB", "maxbytes=4KB").replace("backups=5", "backups=99")
    )
    path = f"{Path(sys.executable).parent}:{site.environ['PATH']}"
    ours, theirs = socket.socketpair()
    supervisord = subprocess.Popen(
        ["supervisord", "-c", conf],
        env={**site.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    theirs.close()
    with ours, ours.makefile() as said:
        for name, port in site.ports.items():
            wait_until(lambda p=port: is_listening(p), f"{name} listens")
        uid = site.ask("pool", "add", type="chatty")["uid"]
        last = f"said {lines}."
        wait_until(lambda: last in site.ask("pool", "output", uid=uid), "it has said everything")
        supervisord.terminate()
        assert supervisord.wait(PATIENCE) == 0
        assert "stopped: pool (exit status 0)" in said.read()
    assert site.survivors() == []
    logs = {name: rotated_log(site, name) for name in ("gateway", "queue", "pool")}
    for name, log in logs.items():
        first, *_, last = log.splitlines()
        assert str(site.ports["wsgi" if name == "gateway" else name]) in first
        assert last.endswith(": stopping") or name == "pool"
    assert len(list(site.folder.glob("pool.log*"))) > 1
    assert re.findall(r"said (\d+)\.", logs["pool"]) == [str(n + 1) for n in range(lines)]


def rotated_log(site: Site, name: str) -> str:
    """What a program has printed, from the oldest of its log files to the newest."""
    files = sorted(
        site.folder.glob(f"{name}.log*"), key=lambda file: -int(file.suffix[1:].replace("log", "0"))
    )
    return "".join(file.read_text() for file in files)


def test_supervisord_conf_rotates_each_log_and_has_one_per_program() -> None:
    conf = RawConfigParser(inline_comment_prefixes=(" ;",))
    conf.read_string((ROOT / "supervisord.conf").read_text())
    logs = {
        section: conf[section].get("stdout_logfile") or conf[section].get("logfile")
        for section in conf.sections()
        if section.startswith("program:") or section == "supervisord"
    }
    assert len(set(logs.values())) == len(logs) == 4
    for section, log in logs.items():
        key = "logfile" if section == "supervisord" else "stdout_logfile"
        assert log is not None and log.startswith("%(here)s/") and log.endswith(".log")
        assert conf[section][f"{key}_maxbytes"] == "10MB"
        assert conf[section].getint(f"{key}_backups") > 0


def test_supervisord_conf_opens_no_port_and_knows_no_password() -> None:
    text = (ROOT / "supervisord.conf").read_text()
    assert "inet_http_server" not in text
    assert "password" not in text.replace("no password", "")
