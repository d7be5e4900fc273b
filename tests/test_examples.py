"""The examples do what their descriptions say."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from conftest import EXAMPLES, JOBS
from support import ROOT, Refusal, Site, is_alive, parent_of, wait_until


def parameters(site: Site, service: str, uid: str) -> dict:
    roster = site.ask(service, service, parameters=True)
    return next(module["parameters"] for module in roster if module["uid"] == uid)


def crash(site: Site, pid: int) -> None:
    """Kill the process of the only module, and wait until it is to be started again."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: site.ask("queue", "queue")[0].get("restarts"), "it is to be restarted")


def test_countdown_counts_pauses_takes_more_time_and_leaves(site: Site) -> None:
    first = site.ask("queue", "add", type="countdown", args={"seconds": 100})["uid"]
    second = site.ask("queue", "add", type="countdown", args={"seconds": 2})["uid"]
    wait_until(
        lambda: parameters(site, "queue", first).get("left", 100) < 100, "the first one counts"
    )
    site.ask("queue", "mv", uids=[second])
    left = parameters(site, "queue", first)["left"]
    assert site.ask("queue", "tell_module", uid=first, cmd="add", args={"seconds": 5}) == left + 5
    wait_until(lambda: len(site.ask("queue", "queue")) == 1, "the second one has left")
    (shown,) = site.ask("queue", "queue")
    assert (shown["uid"], shown["type"], shown["state"]) == (first, "countdown", "playing")


def test_countdown_that_crashes_goes_on_where_it_was(site: Site) -> None:
    before = set(site.survivors())
    uid = site.ask("queue", "add", type="countdown", args={"seconds": 1000})["uid"]
    site.ask("queue", "tell_module", uid=uid, cmd="add", args={"seconds": -900})
    (pid,) = set(site.survivors()) - before
    crash(site, pid)
    shown = wait_until(lambda: parameters(site, "queue", uid), "it counts again")
    assert shown["total"] == 100
    assert shown["left"] <= 100


def test_ticker_that_crashes_goes_on_where_it_was(site: Site) -> None:
    before = set(site.survivors())
    uid = site.ask("queue", "add", type="ticker")["uid"]
    started = set(site.survivors()) - before
    (pid,) = (each for each in started if is_alive(each) and parent_of(each) in before)
    first = wait_until(lambda: parameters(site, "queue", uid).get("ticks"), "it ticks")
    crash(site, pid)
    second = wait_until(lambda: parameters(site, "queue", uid).get("ticks"), "it ticks again")
    assert second > first


def test_clock_plays_as_the_background(site: Site) -> None:
    uid = site.ask("queue", "set_bg", type="clock", args={"format": "%Y"})["uid"]
    wait_until(
        lambda: site.ask("queue", "ask_background", uid=uid, parameters=["time"]), "the time"
    )
    assert site.ask("queue", "bg")["state"] == "playing"


def test_ticker_in_sh_plays_pauses_and_ends(site: Site) -> None:
    uid = site.ask("queue", "add", type="ticker")["uid"]
    wait_until(lambda: parameters(site, "queue", uid).get("ticks", 0) > 1, "ticks")
    with pytest.raises(Refusal, match="unknown command `dance`; known: none"):
        site.ask("queue", "tell_module", uid=uid, cmd="dance")
    site.ask("queue", "rm", uids=[uid])
    assert site.ask("queue", "queue") == []


def test_job_shows_output_and_exit_status(site: Site) -> None:
    uid = site.ask("pool", "add", type="job", args={"name": "fail"})["uid"]
    wait_until(lambda: parameters(site, "pool", uid).get("status") == "done", "the job is done")
    shown = parameters(site, "pool", uid)
    assert (shown["output"], shown["exit_status"]) == (["oops"], 3)


def test_job_runs_only_what_the_settings_name(site: Site) -> None:
    with pytest.raises(Refusal, match="no job 'rm -rf /' in the settings; known: hello, fail"):
        site.ask("pool", "add", type="job", args={"name": "rm -rf /"})


def test_jobs_process_ends_with_the_job(site: Site) -> None:
    before = len(site.survivors())
    uid = site.ask("pool", "add", type="job", args={"name": "forever"})["uid"]
    wait_until(lambda: len(site.survivors()) == before + 2, "the job and its command run")
    site.ask("pool", "rm", uids=[uid])
    wait_until(lambda: len(site.survivors()) == before, "both are gone")


def test_gateway_offers_volume_once_it_is_in_ports(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(services=("wsgi", "vol"), programs=EXAMPLES).start()
    line = f"vol: listening on 127.0.0.1:{site.ports['vol']}\n"
    wait_until(lambda: line in site.log("vol"), "it says where it listens")
    answers = site.post(
        "vol",
        [
            {"cmd": "set_vol", "args": {"vol": 30}},
            {"cmd": "get_vol"},
            {"cmd": "set_vol", "args": {"vol": 101}},
            {"cmd": "set_vol", "args": {"vol": "loud"}},
        ],
    ).json
    assert [answer["success"] for answer in answers] == [True, True, False, False]
    assert answers[1]["result"] == 30
    assert answers[2]["error"] == "vol must be from 0 to 100, not 101"
    assert answers[3]["error"] == "set_vol: argument `vol`: Expected `int`, got `str`"


def test_most_played_jobs_are_listed_with_the_most_frequent_first(
    make_site: Callable[..., Site],
) -> None:
    settings = {"app_jobs": JOBS, "state_path": "$HERE/state.db"}
    site = make_site(services=("pool",), settings=settings, programs=EXAMPLES).start()
    for name in ("hello", "fail", "hello"):
        uid = site.ask("pool", "add", type="job", args={"name": name})["uid"]
        site.ask("pool", "rm", uids=[uid])
    command = [sys.executable, str(ROOT / "examples" / "most_played.py"), "pool", "args.name"]
    shown = subprocess.run(command, env=site.environ, capture_output=True, text=True, check=True)
    assert [line.split()[0::4] for line in shown.stdout.splitlines()] == [
        ["2", "hello"],
        ["1", "fail"],
    ]


@pytest.mark.parametrize("program", ["lab/simulator.py", "models/model.py"])
def test_server_whose_port_is_taken_says_so_in_one_line(program: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        more = ["--name", "x"] if program.startswith("models") else []
        argv = [sys.executable, str(ROOT / "examples" / program), "--port", port, *more]
        done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"cannot listen on port {port}: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
