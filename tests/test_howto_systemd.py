"""The page on systemd: its units are checked, and its restrictions are applied without systemd."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from configparser import RawConfigParser
from pathlib import Path

import pytest
from howto import SLOWEST_STOP, Guide, install, paths_below, placed
from support import (
    AS_ORDINARY_USER,
    CHILDREN,
    Site,
    wait_until,
)

SYSTEMD = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(SYSTEMD is None, reason="there is no systemd-analyze")


def knows_offline() -> bool:
    argv = ["systemd-analyze", "--no-pager", "--help"]
    return (
        SYSTEMD is not None
        and "--offline" in subprocess.run(argv, capture_output=True, text=True).stdout
    )


needs_offline = pytest.mark.skipif(
    not knows_offline(), reason="there is no `systemd-analyze security --offline`"
)


def has_seccomp() -> bool:
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return False
    return True


needs_seccomp = pytest.mark.skipif(not has_seccomp(), reason="there is no libseccomp")


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


@needs_offline
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
