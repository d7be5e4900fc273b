"""The how-to pages on running an application: supervisord and systemd, as the pages show them."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from configparser import RawConfigParser
from ctypes.util import find_library
from pathlib import Path

import pytest
from howto import BIN, Guide, type_command
from support import (
    AS_ORDINARY_USER,
    CHILDREN,
    PATIENCE,
    ROOT,
    Site,
    is_listening,
    wait_for_log,
    wait_until,
)

from shmooze.access.token_file import TokenFile
from shmooze.modules.module import Module
from shmooze.processes.local_process import LocalProcess

MODULES = ROOT / "examples" / "modules"


#: Seconds that a stop may take, with the default timeouts of modules.
SLOWEST_STOP = Module.natural_death_timeout + Module.sigterm_timeout + LocalProcess.survivor_timeout
SYSTEMD = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(SYSTEMD is None, reason="there is no systemd-analyze")
needs_seccomp = pytest.mark.skipif(
    find_library("seccomp") is None and not Path("/lib/x86_64-linux-gnu/libseccomp.so.2").exists(),
    reason="there is no libseccomp",
)


def placed(guide: Guide, path: str) -> Path:
    """Write a file of the page to its place, which must be below the folder of the test."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(guide.files[path])
    return file


def paths_below(site: Site) -> dict[str, object]:
    """Where the files of the pages are in a test, and which ports they have."""
    folder = site.folder
    return {
        "/opt/myapp/venv/bin": BIN,
        **{path: folder / path[1:] for path in ("/opt/myapp", "/etc/myapp")},
        **{path: folder / path[1:] for path in ("/run/myapp", "/var/lib/myapp", "/var/log/myapp")},
        '"wsgi": 8080': f'"wsgi": {site.ports["wsgi"]}',
        '"queue": 5580': f'"queue": {site.ports["queue"]}',
        "user=myapp": f"user={getpass.getuser()}",
    }


def install(site: Site) -> None:
    """Make the folders of the page, and put the module of its settings there."""
    for each in ("opt/myapp", "run/myapp", "var/lib/myapp", "var/log/myapp"):
        (site.folder / each).mkdir(parents=True)
    shutil.copy(MODULES / "countdown.py", site.folder / "opt/myapp")


class Supervised:
    """The application of supervisord.md under a real supervisord."""

    def __init__(self, site: Site) -> None:
        self.site, self.guide = site, Guide("supervisord", paths_below(site))
        install(site)
        etc = site.folder / "etc/myapp"
        placed(self.guide, f"{etc}/settings.json")
        self.conf = placed(self.guide, f"{etc}/supervisord.conf")
        (start,) = self.guide.commands("supervisord")
        self.environ = {key: value for key, value in site.environ.items() if "SETTINGS" not in key}
        path = f"{BIN}:{self.environ['PATH']}"
        self.supervisord = subprocess.Popen(
            start.split(),
            env={**self.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        for name, port in site.ports.items():
            wait_until(lambda p=port: is_listening(p), f"{name} listens")

    def control(self, words: str) -> str:
        """What the page's command that ends with these words prints. Its status must be 0."""
        commands = self.guide.commands("supervisorctl")
        (command,) = (each for each in commands if each.endswith(f".conf {words}"))
        done = type_command(command, self.site.folder, self.environ)
        assert done.status == 0, done.text
        return done.text

    def stop(self) -> None:
        self.supervisord.terminate()
        assert self.supervisord.wait(PATIENCE) == 0


@pytest.fixture
def supervised(make_site: Callable[..., Site]) -> Iterator[Supervised]:
    supervised = Supervised(make_site(services=("wsgi", "queue")))
    yield supervised
    if supervised.supervisord.poll() is None:
        supervised.stop()


@pytest.mark.slow
def test_supervisord_runs_the_application_of_the_page_and_its_commands_work(
    supervised: Supervised,
) -> None:
    site = supervised.site
    wait_until(lambda: supervised.control("status").count("RUNNING") == 2, "both run")
    uid = site.ask("queue", "add", type="countdown", args={"seconds": 1000})["uid"]
    assert supervised.control("restart queue").split() == ["queue:", "stopped", "queue:", "started"]
    wait_until(lambda: site.listens("queue"), "the queue is back")
    assert [each["uid"] for each in site.ask("queue", "queue")] == [uid]
    assert f"queue: listening on 127.0.0.1:{site.ports['queue']}" in supervised.control(
        "tail queue"
    )
    settings = json.loads((site.folder / "etc/myapp/settings.json").read_text())
    settings["queue"]["modules"]["another"] = settings["queue"]["modules"]["countdown"]
    (site.folder / "etc/myapp/settings.json").write_text(json.dumps(settings))
    supervised.control("signal HUP all")
    wait_until(lambda: "another" in site.ask("queue", "modules_available"), "it is reloaded")
    assert supervised.control("stop all").count("stopped") == 2
    supervised.stop()
    assert site.survivors() == []
    assert (site.folder / "var/lib/myapp/state.db").exists()


def test_supervisord_waits_for_the_slowest_stop_of_a_queue() -> None:
    parsed = RawConfigParser()
    parsed.read_string(Guide("supervisord").block("ini"))
    assert parsed.getint("program:queue", "stopwaitsecs") > SLOWEST_STOP


# systemd.


def unit(guide: Guide, name: str, folder: Path, argv: str = "/bin/true") -> Path:
    """A unit of the page as a file, whose program is one that exists."""
    text = guide.files[name]
    file = folder / Path(name).name
    file.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={argv}", text))
    return file


def analyze(folder: Path, *arguments: str | Path) -> str:
    """What systemd-analyze prints; its status must be 0."""
    argv = ["systemd-analyze", "--no-pager", *arguments]
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def systemd() -> Guide:
    return Guide("systemd")


@needs_systemd
def test_systemd_has_nothing_to_say_about_the_units(systemd: Guide, tmp_path: Path) -> None:
    server = unit(systemd, "/etc/systemd/system/myapp.service", tmp_path)
    assert analyze(tmp_path, "verify", server) == ""
    jukebox = unit(systemd, "~/.config/systemd/user/jukebox.service", tmp_path)
    assert analyze(tmp_path, "--user", "verify", jukebox) == ""
    wrong = tmp_path / "wrong.service"
    wrong.write_text(server.read_text().replace("KillMode=mixed", "KillMode=mixd"))
    assert "kill mode" in analyze(tmp_path, "verify", wrong), "a mistake is found"


@needs_systemd
def test_exposure_of_the_unit_is_low(systemd: Guide, tmp_path: Path) -> None:
    file = unit(systemd, "/etc/systemd/system/myapp.service", tmp_path)
    said = analyze(tmp_path, "security", "--offline=true", file)
    found = re.search(r"exposure level for myapp.service: ([\d.]+) OK", said)
    assert found and float(found[1]) <= 2.5


def test_unit_is_as_the_page_explains_it(systemd: Guide) -> None:
    parsed = RawConfigParser(strict=True, delimiters=("=",))
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(systemd.files["/etc/systemd/system/myapp.service"])
    service = parsed["Service"]
    assert "AF_NETLINK" in service["RestrictAddressFamilies"].split()
    assert {"ProtectControlGroups", "LimitRTTIME", "RestartPreventExitStatus"}.isdisjoint(service)
    assert float(service["TimeoutStopSec"]) > SLOWEST_STOP
    explained = re.findall(r"`(\w+)=[\w\[<]*", systemd.text)
    for key in ("Type", "KillMode", "TimeoutStopSec", "LimitNOFILE", "Delegate", "OOMPolicy"):
        assert key in service and key in explained


@pytest.mark.slow
@needs_systemd
@needs_seccomp
def test_application_works_with_the_restrictions_of_the_unit(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    """As an ordinary user, with the unit's filter for system calls and kinds of sockets."""
    site = make_site(services=("wsgi", "queue"))
    paths = paths_below(site)
    guide = Guide("systemd", {path: paths[path] for path in paths if path != "user=myapp"})
    install(site)
    settings = placed(guide, f"{site.folder}/etc/myapp/settings.json")
    file = unit(guide, "/etc/systemd/system/myapp.service", tmp_path)
    user = AS_ORDINARY_USER if os.getuid() == 0 else []
    for folder in (site.folder, *site.folder.rglob("*")) if user else ():
        os.chown(folder, 65534, 65534)
    line = re.search(r"(?m)^ExecStart=\S+ (.+)$", guide.files["/etc/systemd/system/myapp.service"])
    assert line and str(settings) in line[1]
    confined = [sys.executable, str(CHILDREN / "confined.py"), str(file)]
    argv = [*user, *confined, sys.executable, "-m", "shmooze", *line[1].split()]
    site.programs["wsgi"] = argv
    site.start("wsgi")
    wait_until(lambda: site.listens("queue"), "the queue listens")
    uid = site.ask("queue", "add", type="countdown", args={"seconds": 1000})["uid"]
    (module,) = site.ask("queue", "queue")
    assert (module["uid"], module["state"]) == (uid, "playing")
    assert "Operation not permitted" not in site.log("wsgi")
    shown = json.loads(settings.read_text())
    shown["queue"]["modules"]["another"] = shown["queue"]["modules"]["countdown"]
    settings.write_text(json.dumps(shown))
    reload = re.search(r"(?m)^ExecReload=/bin/kill -(\w+) \$MAINPID$", file.read_text())
    assert reload
    site.processes["wsgi"].send_signal(signal.Signals[f"SIG{reload[1]}"])
    wait_until(lambda: "another" in site.ask("queue", "modules_available"), "it is reloaded")
    assert [each["uid"] for each in site.ask("queue", "queue")] == [uid]
    assert site.stop("wsgi") == {"wsgi": 0}
    assert site.survivors() == []


# On a network.


def test_tokens_of_the_page_may_do_what_it_says(tmp_path: Path) -> None:
    guide = Guide("network", {"/var/lib/myapp": tmp_path})
    settings = tmp_path / "settings.json"
    settings.write_text(guide.block("json", '{\n    "tokens_path"'))
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "SHMOOZE_SETTINGS": str(settings)}
    *made, show, revoke = guide.commands("python -m shmooze.tokens")
    done = type_command(" && ".join([*made, show]), tmp_path, environ)
    assert done.status == 0, done.text
    words = [line.split() for line in done.text.splitlines()]
    tokens = dict(zip(("ada", "lobby", "guest"), (each[0] for each in words if len(each[0]) > 40)))
    file = TokenFile(str(tmp_path / "tokens.json"))
    holders = {name: file.holder_of(token) for name, token in tokens.items()}
    assert {name: holder.name for name, holder in holders.items() if holder} == {
        name: name for name in ("ada", "lobby", "guest")
    }
    entries = file.load()
    assert entries["ada"]["role"] == "control"
    assert entries["lobby"]["role"] == "read"
    assert entries["guest"]["scopes"] == ["add", "own", "type:song"]
    assert type_command(revoke, tmp_path, environ).status == 0
    assert file.holder_of(tokens["lobby"]) is None


# From 1.2.4.


@pytest.mark.slow
def test_programs_for_2_0_of_the_page_on_1_2_4_run(make_site: Callable[..., Site]) -> None:
    names = ("wsgi", "queue", "vol")
    programs = {"queue": [sys.executable, "jukebox_queue.py"], "vol": [sys.executable, "volume.py"]}
    for name, argv in programs.items():
        programs[name] = ["sh", "-c", f"cd $HERE && exec {' '.join(argv)}"]
    site = make_site(services=names, programs=programs)
    guide = Guide("migrate", {"8888": site.ports["wsgi"], "5580": site.ports["queue"]})
    shutil.copy(MODULES / "countdown.py", site.folder)
    for name in ("jukebox_queue.py", "volume.py"):
        (site.folder / name).write_text(guide.files[name])
    shown = json.loads(guide.files["settings.json"].replace("5600", str(site.ports["vol"])))
    assert shown["ports"] == site.ports
    site.settings_file.write_text(json.dumps(shown))
    site.start()
    for seconds in (1000, 2000):
        site.ask("queue", "add", type="countdown", args={"seconds": seconds})
    assert site.post("vol", {"cmd": "set_vol", "args": {"vol": 50}}).json["result"] == 2
    refused = site.post("vol", {"cmd": "set_vol", "args": {"vol": 101}}).json
    assert refused == {"success": False, "error": "Volume cannot be greater than 100"}
    assert wait_for_log(site.folder / "log.db"), "the file that `logfilename` names"
