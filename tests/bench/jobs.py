"""Rows: jobs, beside the job queues of others."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from bench import others
from bench.job_figures import Figures
from bench.lab import MAX_MODULES, Asker, Lab, child
from bench.row import HIGHER, LOWER, row

#: The Python that jobs run. With `-I -S` it looks for no packages.
PYTHON = os.path.realpath(sys.executable)
WORKERS = 2
#: Jobs of each kind that are added at once, and that are measured one at a time.
MANY = {"process": 500, "nothing": 20_000}
SINGLE = {"process": 50, "nothing": 200}
WORDS = {"process": "jobs that run a bare Python process", "nothing": "jobs that do nothing"}
#: Jobs before the first measurement: until then, all workers have started.
WARM_UP = 20
#: Milliseconds that Huey's workers sleep if there is nothing to do; its default is at least 100.
HUEY_DELAY = "0.01"

#: Commands in one packet, where there are many.
PACKET = 20

#: As Figures of job_figures is called.
Figure = Callable[[str, str, int], float]


@contextmanager
def ours(lab: Lab) -> Iterator[Figure]:
    types = {
        "process": {"adapter": "command", "process": [PYTHON, "-I", "-S", "-c", "pass"]},
        "nothing": {
            "process": child("nothing"),
            "spawn": "lazy",
            "lookahead": 0,
            "reuse": MANY["nothing"],
            "preload": True,
        },
    }
    settings = {
        "state_path": str(lab.new_folder() / "state.db"),
        "state_sync": "normal",  # those of others survive no loss of power either
        "history_rows": MAX_MODULES,
        "max_modules": MAX_MODULES,
        "pool": {"slots": WORKERS, "modules": types},
    }
    with lab.running("pool", settings=settings) as site:
        ask = Asker(site.ports["pool"])

        def add(kind: str) -> str:
            return str(ask("add", type=kind)["uid"])

        def wait(uid: str) -> None:
            while (ended := ask("wait", uid=uid, timeout=10)) is None:
                pass  # the machine is busy
            assert ended["state"] == "done", ended

        def add_many(kind: str, count: int) -> list[str]:
            uids: list[str] = []
            while len(uids) < count:
                adding = min(PACKET, count - len(uids)) * [("add", {"type": kind})]
                uids += [added["uid"] for added in ask.many(adding)]
            return uids

        def wait_many(uids: list[str]) -> None:
            for at in range(0, len(uids), PACKET):
                some = uids[at : at + PACKET]
                ends = ask.many([("wait", {"uid": uid, "timeout": 1}) for uid in some])
                for uid, ended in zip(some, ends):
                    if ended is None:
                        wait(uid)

        yield Figures(add, wait, add_many, wait_many)


@contextmanager
def rq(lab: Lab) -> Iterator[Figure]:
    folder = lab.new_folder()
    with others.redis(folder) as url, ExitStack() as stack:
        argv = [str(others.folder() / "rq"), "worker", "--url", url]
        for _ in range(WORKERS):
            stack.enter_context(others.running(argv, folder, JOB_PYTHON=PYTHON))
        yield stack.enter_context(others.client("rq_jobs", url))


@contextmanager
def huey(lab: Lab) -> Iterator[Figure]:
    folder = lab.new_folder()
    variables = {"JOB_FILE": str(folder / "huey.db"), "JOB_PYTHON": PYTHON}
    program = str(others.folder() / "huey_consumer")
    argv = [program, "huey_jobs.huey", "--workers", str(WORKERS), "--worker-type", "process"]
    delays = ["--delay", HUEY_DELAY, "--max-delay", HUEY_DELAY]
    with (
        others.running([*argv, *delays], folder, **variables),
        others.client("huey_jobs", **variables) as client,
    ):
        yield client


@contextmanager
def dramatiq(lab: Lab) -> Iterator[Figure]:
    folder = lab.new_folder()
    with others.redis(folder) as url:
        variables = {"JOB_URL": url, "JOB_PYTHON": PYTHON}
        program = str(others.folder() / "dramatiq")
        argv = [program, "dramatiq_jobs", "--processes", str(WORKERS), "--threads", "1"]
        with (
            others.running(argv, folder, **variables),
            others.client("dramatiq_jobs", **variables) as client,
        ):
            yield client


#: A job queue of others, while it runs.
Other = Callable[[Lab], AbstractContextManager[Figure]]


def pairs(other: Other, name: str, kind: str, count: int) -> Callable[[Lab], Iterator[Any]]:
    """Measure a figure of jobs of a kind, ours and theirs in turn."""

    def measure(lab: Lab) -> Iterator[tuple[float, float]]:
        with other(lab) as theirs, ours(lab) as mine:
            for each in (mine, theirs):
                each("rate", kind, WARM_UP)
            while True:
                yield mine(name, kind, count), theirs(name, kind, count)

    return measure


def add_rows(other: Other, versus: str, kind: str, goal: float) -> None:
    count = MANY[kind]
    row(
        f"{kind}-{other.__name__}",
        f"{count:,} {WORDS[kind]}, {WORKERS} slots",
        versus=versus,
        goal=goal,
        better=HIGHER,
        unit="/s",
        max_repeats=5 if kind == "process" else 1,
    )(pairs(other, "rate", kind, count))
    row(
        f"{kind}-{other.__name__}-p50",
        f"from `add` to result, {WORDS[kind]}, one at a time, p50",
        versus=versus,
        goal=1 / goal,
        better=LOWER,
        unit="ms",
    )(pairs(other, "p50", kind, SINGLE[kind]))


RQ, HUEY, DRAMATIQ = "RQ with redis", "Huey with SQLite", "Dramatiq with redis"
add_rows(rq, RQ, "process", 1.5)
add_rows(huey, HUEY, "process", 0.5)
add_rows(dramatiq, DRAMATIQ, "process", 0.5)
add_rows(rq, RQ, "nothing", 0.5)
add_rows(huey, HUEY, "nothing", 0.5)
add_rows(dramatiq, DRAMATIQ, "nothing", 0.5)
