"""The how-to pages on running an application: supervisord and systemd, as the pages show them."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from howto import BIN, Guide, type_command
from support import PATIENCE, ROOT, Site, http, is_listening, wait_until

MODULES = ROOT / "examples" / "modules"


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
    assert f"queue: listening on 127.0.0.1:{site.ports['queue']}" in supervised.control("tail queue")
    settings = json.loads((site.folder / "etc/myapp/settings.json").read_text())
    settings["queue"]["modules"]["another"] = settings["queue"]["modules"]["countdown"]
    (site.folder / "etc/myapp/settings.json").write_text(json.dumps(settings))
    supervised.control("signal HUP all")
    wait_until(lambda: "another" in site.ask("queue", "modules_available"), "it is reloaded")
    assert supervised.control("stop all").count("stopped") == 2
    supervised.stop()
    assert site.survivors() == []
    assert (site.folder / "var/lib/myapp/state.db").exists()
