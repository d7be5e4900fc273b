"""The launcher `slurm`: what srun is asked for, and modules on a real cluster of one machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from greenlets import run_until
from slurm_cluster import SlurmCluster, why_not
from support import CHILDREN, Client, Site, is_alive, wait_until

from shmooze.cluster import declared
from shmooze.cluster.launcher import ClusterLauncher
from shmooze.cluster.slurm import SlurmEngine, make_launcher
from shmooze.cluster.slurm_job import reason_of
from shmooze.cluster.slurm_settings import SlurmCluster as Options
from shmooze.cluster.slurm_settings import options_of, placing
from shmooze.errors import ModuleError, SettingsError, ShmoozeError
from shmooze.processes.contract import LaunchSpec, NoEndpoint, Process
from shmooze.settings import Settings

# What srun is asked for.


@pytest.mark.parametrize(
    ("needs", "names", "options"),
    [
        ({}, {}, []),
        ({"cpu": 2, "memory_mb": 512}, {}, ["--cpus-per-task=2", "--mem=512M"]),
        ({"cpu": 0.5}, {}, ["--cpus-per-task=1"]),
        ({"cpu": 0}, {}, []),
        ({"gpu": 1}, {}, ["--gres=gpu:1"]),
        ({"gpu": 2, "disk": 1}, {"gpu": "gres:gpu:a100"}, ["--gres=gpu:a100:2,disk:1"]),
        ({"gpu": 1, "seat": 1}, {"gpu": None, "seat": "license:maya"}, ["--licenses=maya:1"]),
        ({"ram": 100, "memory_mb": 28}, {"ram": "memory"}, ["--mem=128M"]),
    ],
)
def test_needs_are_options_of_srun(
    needs: dict[str, float], names: dict[str, str | None], options: list[str]
) -> None:
    assert options_of(needs, names) == options


NODES_OF_FOUR = {"a": {"big", "gpu"}, "b": {"big"}, "c": {"small"}, "d": set()}


@pytest.mark.parametrize(
    ("hosts", "options"),
    [
        ([], []),
        (["c"], ["--nodelist=c"]),
        (["small"], ["--nodelist=c"]),
        (["big"], ["--exclude=c,d"]),
        (["gpu", "c"], ["--exclude=b,d"]),
        (["a", "b", "c", "d"], []),
    ],
)
def test_hosts_are_names_or_features_of_nodes(hosts: list[str], options: list[str]) -> None:
    assert placing(hosts, NODES_OF_FOUR) == options


def test_a_host_that_slurm_does_not_have_is_refused() -> None:
    with pytest.raises(ModuleError, match="Slurm has no node among e, f"):
        placing(["f", "e"], NODES_OF_FOUR)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"srun_options": ["-p main"]}, "has '-p main' in it, which does not begin with --"),
        ({"srun_options": "--x"}, 'must be a list of options such as ["--partition=gpu"]'),
        ({"resources": {"gpu": "gpu"}}, '`cluster.resources.gpu` must be "cpus", "memory", "gres:'),
        ({"resources": {"gpu": "gres:"}}, 'or null, not "gres:"'),
        ({"partition": "x"}, "`cluster.partition` is unknown"),
    ],
)
def test_bad_settings_are_refused_in_one_line(
    tmp_path: Path, keys: dict[str, Any], words: str
) -> None:
    source = Settings(tmp_path / "settings.json", {"ports": {"pool": 1}, "cluster": keys})
    with pytest.raises(SettingsError) as refused:
        declared.read(source, "pool", Options)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("status", "errors", "reason"),
    [
        (0, [], None),
        (0, ["Node failure on n1"], "Slurm: Node failure on n1"),
        (1, [], "srun has ended with status 1"),
        (1, ["Unable to allocate resources: x", "more"], "Slurm: Unable to allocate resources: x"),
    ],
)
def test_the_reason_is_what_slurm_says(status: int, errors: list[str], reason: str | None) -> None:
    assert reason_of(status, errors) == reason


def test_a_service_without_slurm_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ShmoozeError, match="the launcher slurm needs the program srun of Slurm"):
        SlurmEngine(Options(), "test").prepare()


# On a cluster.

needs_slurm = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    with pytest.MonkeyPatch.context() as patch:
        cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"))
        for name in ("PATH", "SLURM_CONF"):
            patch.setenv(name, cluster.environ[name])
        yield cluster
        cluster.close()


class Stage:
    """The launcher, in the process of the test."""

    def __init__(self, **options: Any) -> None:
        self.engine = SlurmEngine(Options(**options), "shmooze:test")
        self.launcher = ClusterLauncher("slurm", self.engine, Options(**options))
        self.launcher.prepare()
        self.launcher.open("test", lambda: None)
        self._processes: list[Process] = []

    def launch(self, code: str, **keys: Any) -> Process:
        argv = [sys.executable, "-S", "-c", code]
        process = self.launcher.launch(LaunchSpec(argv, "test 1", **keys), NoEndpoint())
        self._processes.append(process)
        return process

    def close(self) -> None:
        for process in self._processes:
            process.end(None)
            process.close(1)
        self.launcher.close()


@pytest.fixture
def make_stage(cluster: SlurmCluster) -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(**options: Any) -> Stage:
        made.append(Stage(**options))
        return made[-1]

    yield make
    for stage in made:
        stage.close()
    cluster.expect_no_jobs()


SLEEP = "import os, time; print(os.getpid(), flush=True); time.sleep(1000)"


def pid_of(process: Process) -> int:
    """The pid that a process has printed."""
    return int(run_until(lambda: process.output, "it prints its pid")[0])


@needs_slurm
@pytest.mark.slow
def test_a_process_runs_where_it_is_placed_and_its_end_is_told(
    make_stage: Callable[..., Stage], cluster: SlurmCluster
) -> None:
    stage = make_stage()
    code = "import os, sys; print(os.environ['SLURMD_NODENAME']); sys.exit(3)"
    process = stage.launch(code, hosts=["small"], needs={"cpu": 2})
    assert process.wait(20) == 3
    assert process.output == ["n2"]


@needs_slurm
@pytest.mark.slow
def test_a_process_that_is_ended_leaves_nothing(
    make_stage: Callable[..., Stage], cluster: SlurmCluster
) -> None:
    stage = make_stage()
    process = stage.launch(SLEEP)
    pid = pid_of(process)
    assert cluster.jobs() == ["test-1"]
    assert process.end(5.0) == "SIGTERM"
    assert not is_alive(pid)


@needs_slurm
@pytest.mark.slow
def test_a_job_that_an_administrator_cancels_is_told_with_the_reason(
    make_stage: Callable[..., Stage], cluster: SlurmCluster
) -> None:
    stage = make_stage()
    process = stage.launch(SLEEP)
    pid = pid_of(process)
    cluster.ask("scancel", "-s", "TERM", *cluster.job_ids())
    assert process.wait(20) == -signal.SIGTERM
    assert not is_alive(pid)
    assert "SIGTERM" in str(process.loss)


@needs_slurm
@pytest.mark.slow
@pytest.mark.parametrize(
    ("needs", "words"),
    [
        ({"cpu": 64}, "cannot be started: no node with cpu 64 within 0.2 s"),
        ({"moon": 1}, "cannot be started: Slurm: Invalid generic resource"),
    ],
)
def test_what_nobody_has_is_refused_and_not_waited_for(
    make_stage: Callable[..., Stage], cluster: SlurmCluster, needs: dict[str, float], words: str
) -> None:
    stage = make_stage(start_timeout=0.2 if "cpu" in needs else 20)
    with pytest.raises(ModuleError, match=words):
        stage.launch(SLEEP, needs=needs)


@needs_slurm
@pytest.mark.slow
def test_an_allocation_that_an_earlier_life_has_left_is_cancelled(
    make_stage: Callable[..., Stage], cluster: SlurmCluster
) -> None:
    for owner in ("shmooze:test", "somebody"):
        cluster.ask("salloc", "--no-shell", f"--comment={owner}", f"--job-name={owner}", "-n1")
    assert sorted(cluster.jobs()) == ["shmooze:test", "somebody"]
    stage = make_stage(start_timeout=0.1)
    with pytest.raises(ModuleError):
        stage.launch(SLEEP, needs={"moon": 1})
    wait_until(lambda: cluster.jobs() == ["somebody"], "what was left is cancelled")
    cluster.ask("scancel", "--name=somebody")


@needs_slurm
@pytest.mark.slow
def test_a_later_process_leaves_the_earlier_ones_alone(
    make_stage: Callable[..., Stage], cluster: SlurmCluster
) -> None:
    stage = make_stage()
    pids = [pid_of(stage.launch(SLEEP)) for _ in range(2)]
    assert len(cluster.jobs()) == 2
    assert all(map(is_alive, pids))


@needs_slurm
@pytest.mark.slow
def test_no_process_notices_a_restart_of_slurmctld(
    make_stage: Callable[..., Stage], cluster: SlurmCluster
) -> None:
    stage = make_stage()
    process = stage.launch(SLEEP)
    pid = pid_of(process)
    cluster.restart_controller()
    other = stage.launch(SLEEP)
    assert is_alive(pid)
    assert is_alive(pid_of(other))
    for each in (process, other):
        each.end(5.0)
        assert each.wait(20) is not None
    assert not is_alive(pid)


WELL = {"process": [sys.executable, "-S", str(CHILDREN / "well.py")], "launcher": "slurm"}


@needs_slurm
@pytest.mark.slow
def test_a_service_that_is_killed_leaves_nothing_on_the_nodes_and_later_nothing_in_slurm(
    make_site: Callable[..., Site], cluster: SlurmCluster
) -> None:
    site = make_site(services=("pool",), settings={"pool": {"modules": {"well": WELL}}}).start()
    pool = Client(site, "pool")
    uid = pool.add_settled("well", name="a")
    (pid,) = [int(pool.parameters(uid)["pid"])]
    assert is_alive(pid)
    assert pool.tell(uid, "echo", a=1) == {"a": 1}
    (job,) = cluster.jobs()
    assert job.startswith("well-")
    os.kill(pool.service, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "the module has ended")
    site.processes.pop("pool").wait()
    # An allocation may be left, in which nothing runs, until there is a module again.
    again = Client(site.start("pool"), "pool").add()
    wait_until(lambda: cluster.jobs() == [f"well-{again[:8]}"], "only the new job is left")


def test_the_identity_survives_a_restart(tmp_path: Path) -> None:
    source = Settings(tmp_path / "settings.json", {"ports": {"pool": 5590}})
    first, second = (make_launcher(source, "pool") for _ in range(2))
    assert first._engine._identity == second._engine._identity
    assert first._engine._identity.startswith("shmooze:pool@")
