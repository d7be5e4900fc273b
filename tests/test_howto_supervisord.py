"""The page on supervisord, with its own configuration under a real supervisord."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from configparser import RawConfigParser
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from howto import BIN, SLOWEST_STOP, Guide, install, paths_below, placed, type_command
from support import (
    PATIENCE,
    Site,
    wait_until,
)


class Supervised:
    """The application of supervisord.md under a real supervisord."""

    def __init__(self, site: Site, run: Path) -> None:
        # The path of a socket must be short.
        self.site = site
        self.guide = Guide("supervisord", {**paths_below(site), "/run/myapp": run})
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
        for name in site.ports:
            wait_until(
                lambda n=name: site.listens(n) or self.supervisord.poll() is not None,
                f"{name} listens",
            )
        assert self.supervisord.poll() is None, "supervisord runs"

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
    with TemporaryDirectory(prefix="run-") as run:
        supervised = Supervised(make_site(services=("wsgi", "queue")), Path(run))
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
