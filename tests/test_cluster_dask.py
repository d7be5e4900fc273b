"""The engine Dask: jobs on real workers, and what becomes of them when a part of Dask fails."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_cluster import DaskCluster
from gevent.event import AsyncResult
from greenlets import run_until
from support import PATIENCE, free_ports, is_alive

from shmooze.cluster import dask_settings
from shmooze.cluster.dask import DaskEngine
from shmooze.cluster.engine import Job
from shmooze.errors import ShmoozeError

pytestmark = pytest.mark.slow

#: Stands for the guard: tells its pid, its parent and its ticket, and waits for the end of input.
GUARD = """
import json, os, sys
ticket = sys.stdin.readline().strip() or sys.exit()
with open(f"{sys.argv[1]}.part", "w") as file:
    json.dump([os.getpid(), os.getppid(), ticket], file)
os.rename(file.name, f"{sys.argv[1]}-{os.getpid()}")
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    cluster = DaskCluster(tmp_path_factory.mktemp("dask"), free_ports(1)[0])
    cluster.two = cluster.start_worker("127.0.0.2", "two", "--resources", "GPU=1").pid
    cluster.three = cluster.start_worker("127.0.0.3", "three", "--resources", "big=1 spare=1").pid
    yield cluster
    cluster.close()


class Jobs:
    """Jobs of one engine, by name."""

    def __init__(self, folder: Path, engine: DaskEngine) -> None:
        self.folder, self.engine = folder, engine
        self.over: dict[str, AsyncResult[str | None]] = {}
        self.submissions: dict[str, Any] = {}

    def submit(self, name: str, code: str = GUARD, **wishes: Any) -> Any:
        argv = [sys.executable, "-c", code, str(self.folder / name)]
        submission = self.engine.submit(Job(f"sleeper {name}", argv, "ticket", **wishes))
        self.over[name] = AsyncResult()
        submission.when_over(self.over[name].set)
        self.submissions[name] = submission
        return submission

    def guards(self, name: str) -> list[tuple[int, int]]:
        """Those of a job that run: pid, and pid of the worker. A job may be run again."""
        files = self.folder.glob(f"{name}-*")
        told = [json.loads(file.read_text()) for file in files]
        assert all(ticket == "ticket" for _, _, ticket in told)
        return [(pid, worker) for pid, worker, _ in told if is_alive(pid)]

    def run(self, name: str, **wishes: Any) -> tuple[Any, int, int]:
        """Submit a job, and wait until it runs. Returns pid and worker as well."""
        submission = self.submit(name, **wishes)
        ((pid, worker),) = run_until(lambda: self.guards(name), f"{name} runs")
        return submission, pid, worker

    @property
    def client(self) -> int:
        return self.engine._client._process.pid

    def wait_for_client(self, after: int) -> None:
        run_until(
            lambda: self.engine._client is not None and self.client != after, "another client"
        )


def make_engine(**options: Any) -> DaskEngine:
    engine = DaskEngine(dask_settings.DaskCluster(**options))
    engine.prepare()
    return engine


@pytest.fixture(scope="module")
def engine(cluster: DaskCluster) -> Iterator[DaskEngine]:
    names = {"gpu": "GPU", "memory": None}
    engine = make_engine(scheduler=cluster.address, resources=names)
    yield engine
    engine.close()


@pytest.fixture
def jobs(engine: DaskEngine, tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(tmp_path, engine)
    yield jobs
    for submission in jobs.submissions.values():
        submission.cancel()
    run_until(lambda: not jobs.guards("*"), "those that are cancelled end")


def test_more_jobs_run_than_a_worker_has_threads(jobs: Jobs) -> None:
    names = [f"job{number}" for number in range(5)]
    for name in names:
        jobs.submit(name, hosts=["two"])
    run_until(lambda: all(map(jobs.guards, names)), "all run")


def test_the_end_of_a_guard_is_told_with_its_status(jobs: Jobs) -> None:
    jobs.submit("well", "import sys; sys.stdin.readline()")
    jobs.submit("bad", "import sys; sys.exit(3)")
    assert jobs.over["well"].get(timeout=PATIENCE) is None
    assert "status 3" in jobs.over["bad"].get(timeout=PATIENCE)


def test_a_cancelled_job_ends_its_guard_and_frees_what_it_needed(
    jobs: Jobs, cluster: DaskCluster
) -> None:
    first, pid, worker = jobs.run("first", needs={"gpu": 1, "memory": 9})
    assert worker == cluster.two
    jobs.submit("second", needs={"gpu": 1})
    jobs.run("other")  # as long as a second one would take to start
    assert not jobs.guards("second")
    first.cancel()
    first.cancel()
    run_until(lambda: jobs.guards("second"), "the second one runs")
    assert not is_alive(pid)


def test_a_job_that_waits_can_be_cancelled(jobs: Jobs) -> None:
    waiting = [jobs.submit("a", needs={"tpu": 1}), jobs.submit("b", hosts=["nowhere"])]
    for each in waiting:
        each.cancel()
    jobs.run("other")
    assert not jobs.guards("a") and not jobs.guards("b")


@pytest.mark.parametrize("host", ["three", "127.0.0.3", "big"])
def test_a_host_is_a_workers_name_its_address_or_its_resource(
    jobs: Jobs, cluster: DaskCluster, host: str
) -> None:
    assert jobs.run("here", hosts=["elsewhere", host])[2] == cluster.three


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_client_that_dies_or_hangs_is_replaced_and_no_guard_notices(
    jobs: Jobs, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DaskEngine, "beat_timeout", 4.0)
    running, pid, _ = jobs.run("running")
    client = jobs.client
    os.kill(client, number)
    jobs.submit("meanwhile")
    jobs.wait_for_client(client)
    run_until(lambda: jobs.guards("meanwhile"), "the job that came meanwhile runs")
    assert [guard for guard, _ in jobs.guards("running")] == [pid]
    running.cancel()
    run_until(lambda: not is_alive(pid), "the new client can cancel it")


def test_a_guard_ends_with_its_worker(jobs: Jobs, cluster: DaskCluster) -> None:
    four = cluster.start_worker("127.0.0.4", "four", "--resources", "spare=1")
    by_worker = {jobs.run(name, needs={"spare": 1})[2]: name for name in ("one", "two")}
    assert {*by_worker} == {cluster.three, four.pid}
    lost, other = by_worker[four.pid], by_worker[cluster.three]
    ((pid, _),) = jobs.guards(lost)
    four.kill()
    run_until(lambda: not is_alive(pid), "the guard ends")
    jobs.submissions[other].cancel()
    # Whether the engine had heard of the start: if not, the job is placed anew.
    run_until(lambda: jobs.over[lost].ready() or jobs.guards(lost), "the engine knows of the loss")
    if jobs.over[lost].ready():
        assert jobs.over[lost].get() == "its worker four was lost"


def test_a_scheduler_that_is_started_again_gets_the_jobs_that_wait(
    tmp_path: Path,
) -> None:
    cluster = DaskCluster(tmp_path / "dask", free_ports(1)[0])
    worker = cluster.start_worker("127.0.0.2", "two")
    try:
        jobs = Jobs(tmp_path, make_engine(scheduler=cluster.address))
        _, pid, _ = jobs.run("running")
        jobs.submit("waiting", needs={"gpu": 1})
        client = jobs.client
        cluster.restart_scheduler()
        run_until(lambda: not is_alive(pid), "the guard ends, as its worker does")
        run_until(lambda: worker.poll() is not None, "the worker ends")
        jobs.wait_for_client(client)
        cluster.start_worker("127.0.0.2", "two", "--resources", "gpu=1")
        run_until(lambda: jobs.guards("waiting"), "the job runs that has waited")
        jobs.engine.close()
        run_until(lambda: not jobs.guards("waiting"), "closing the engine ends it")
    finally:
        cluster.close()


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        ("tcp://127.0.0.1:1", "cannot reach the scheduler of Dask at tcp://127.0.0.1:1"),
        ("tcp://192.0.2.1:8786", "is not encrypted, and not on this machine; use tls://"),
        ("/missing/scheduler.json", "/missing/scheduler.json: No such file or directory"),
        ("/dev/null", "cannot read the scheduler file /dev/null: it has no address in it"),
    ],
)
def test_a_service_does_not_start_without_a_scheduler_that_it_can_use(
    scheduler: str, words: str
) -> None:
    engine = DaskEngine(dask_settings.DaskCluster(scheduler=scheduler, connect_timeout=1))
    with pytest.raises(ShmoozeError) as refusal:
        engine.prepare()
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
