"""Jobs with real processes: run from the command line, and waited for by the client."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import PATIENCE, ROOT, Site

from shmooze.client import Client, NotDone, WaitTimeout

#: A job that says what it does, and gives its result or fails.
ADDER = """
import time
from shmooze.modules.worker import Worker


class Adder(Worker):
    def cmd_init(self, numbers: list, seconds: float = 0):
        self.numbers, self.seconds = numbers, seconds

    def work(self):
        print("adding", len(self.numbers), "numbers", flush=True)
        self.sleep(self.seconds)
        if "x" in self.numbers:
            self.fail("x is not a number")
        else:
            self.result({"sum": sum(self.numbers)})


Adder().run()
"""
COMMAND = {"adapter": "command", "result": "result (.*)"}


@pytest.fixture(scope="module")
def site(
    make_shared_site: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    program = tmp_path_factory.mktemp("jobs") / "adder.py"
    program.write_text(ADDER)
    types = {
        "adder": {"process": [sys.executable, str(program)]},
        "says": {
            **COMMAND,
            "process": ["sh", "-c", "echo begins; echo result {of}; exit {status}"],
        },
    }
    settings = {"pool": {"modules": types}, "state_path": "$HERE/state.db"}
    yield make_shared_site(services=("wsgi", "pool"), settings=settings).start()


def shmz(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "shmz"), "-e", f"{site.url}pool", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def test_run_shows_the_output_of_a_job_and_then_its_result(site: Site) -> None:
    ended = shmz(site, "run", "adder", "numbers=[1,2,4]")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == 'adding 3 numbers\n{"sum": 7}\n'


def test_run_ends_with_the_status_of_the_job(site: Site) -> None:
    ended = shmz(site, "run", "says", "of=[5]", "status=7")
    assert (ended.returncode, ended.stdout) == (7, "begins\nresult [5]\n")
    assert ended.stderr.startswith("shmz: ") and "exited with status 7" in ended.stderr
    ended = shmz(site, "--json", "run", "says", "of=[5]", "status=0")
    assert (ended.returncode, ended.stderr) == (0, "begins\nresult [5]\n")
    end = json.loads(ended.stdout)
    assert (end["state"], end["result"]) == ("done", [5])


def test_run_of_a_job_that_fails_says_why(site: Site) -> None:
    ended = shmz(site, "run", "adder", 'numbers=["x"]')
    assert (ended.returncode, ended.stdout) == (1, "adding 1 numbers\n")
    assert ended.stderr.endswith("failed: x is not a number\n")
    ended = shmz(site, "run")
    assert (ended.returncode, ended.stderr) == (2, "shmz: run needs a type (see shmz --help)\n")


def test_interrupted_run_removes_the_job(site: Site) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "shmz"), "-e", f"{site.url}pool"]
    running = subprocess.Popen(
        [*command, "run", "adder", "numbers=[]", "seconds=1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "adding 0 numbers\n", "output is shown as it comes"
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=PATIENCE) == ("", "")
    assert running.returncode == 130
    assert site.ask("pool", "pool") == []
    assert site.ask("pool", "history")["items"][0]["state"] == "removed"


def test_wait_shows_how_an_item_ended(site: Site) -> None:
    uid = site.ask("pool", "add", type="adder", args={"numbers": [3]}, batch="b")["uid"]
    ended = shmz(site, "wait", uid[:8])
    assert (ended.returncode, json.loads(ended.stdout)["result"]) == (0, {"sum": 3})
    counts = {"batch": "b", "done": 1, "failed": 0, "removed": 0, "lost": 0}
    assert json.loads(shmz(site, "wait", "batch=b").stdout) == counts


def test_client_waits_for_the_result(site: Site) -> None:
    with Client(site.url) as client:
        item = client.pool.add("adder", numbers=[1, 2])
        assert item.result(PATIENCE) == item.result() == {"sum": 3}
        assert item.wait()["result"] == item.show()["result"] == {"sum": 3}
        broken = client.pool.add("adder", {"numbers": ["x"]}, later=True)
        with pytest.raises(NotDone, match=rf"^item {broken.uid} failed: x is not") as caught:
            broken.result(PATIENCE)
        assert caught.value.end["state"] == "failed"
        endless = client.pool.add("adder", numbers=[], seconds=1000)
        with pytest.raises(WaitTimeout):
            endless.result(0.1)
        endless.remove()


def test_wait_outlasts_many_answers_of_the_gateway(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    program = tmp_path / "adder.py"
    program.write_text(ADDER)
    types: Any = {"adder": {"process": [sys.executable, str(program)]}}
    settings = {"pool": {"modules": types}, "wsgi_timeout": 0.4}
    site = make_site(services=("wsgi", "pool"), settings=settings).start()
    args = {"numbers": [], "seconds": 1.0}
    uid = site.ask("pool", "add", type="adder", args=args, later=True)["uid"]
    assert site.ask("pool", "wait", uid=uid, timeout=1000) is None
    with Client(site.url) as client:
        assert client.pool[uid].result(PATIENCE) == {"sum": 0}
