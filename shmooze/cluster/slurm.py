"""The engine Slurm: guards run as jobs, one srun for each. Launcher `slurm`.

An srun asks for a node, runs the guard there, and ends with it. It costs a process on the machine
of the service, but it starts at once, and it knows at once when its job is over: a job of sbatch
starts seconds later, and would have to be asked after.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket

import gevent
from gevent import subprocess

from shmooze.cluster.declared import read
from shmooze.cluster.engine import TICKET_VARIABLE, Job
from shmooze.cluster.launcher import ClusterLauncher
from shmooze.cluster.slurm_job import SlurmJob
from shmooze.cluster.slurm_settings import SlurmCluster, options_of, placing
from shmooze.errors import ModuleError, ShmoozeError
from shmooze.runtime.printable import printable
from shmooze.settings import Settings

log = logging.getLogger(__name__)


class SlurmEngine:
    """See Engine of engine.py. `identity` is that of the service, also after a restart."""

    #: Seconds that a command of Slurm may take.
    timeout = 15.0

    def __init__(self, options: SlurmCluster, identity: str) -> None:
        self._options, self._identity = options, identity
        self._jobs: set[SlurmJob] = set()
        #: Cancels what an earlier life has left, once.
        self._sweep: gevent.Greenlet | None = None

    def prepare(self) -> None:
        for name in ("srun", "scancel", "squeue", "scontrol", "sinfo"):
            if shutil.which(name) is None:
                raise ShmoozeError(f"the launcher slurm needs the program {name} of Slurm")
        try:
            config = self._ask("scontrol", "show", "config")
        except ModuleError as bad:
            raise ShmoozeError(f"the launcher slurm cannot reach Slurm: {bad}") from bad
        limits = [line.partition("=")[2].split() for line in config if "InactiveLimit" in line]
        if limits == [["0", "sec"]]:
            log.warning(
                "Slurm has no InactiveLimit: if this service is killed, allocations in which"
                " nothing runs may stay until it is started again"
            )

    def submit(self, job: Job) -> SlurmJob:
        if self._sweep is None:  # once: a greenlet that has ended counts as false
            self._sweep = gevent.spawn(self._cancel_earlier)
        self._sweep.join()
        # The guard of node.py, which also ends its job.
        argv = [*self._srun(job), *job.argv[:-1], "shmooze.cluster.slurm_node"]
        submitted = SlurmJob(job.label, argv, job.ticket, _environ())
        self._jobs.add(submitted)
        submitted.when_over(lambda _: self._jobs.discard(submitted))
        return submitted

    def close(self) -> None:
        jobs = [*self._jobs]
        for job in jobs:
            job.cancel()
        for job in jobs:
            job.wait()

    def _srun(self, job: Job) -> list[str]:
        """The command line that asks for a node. Raises ModuleError."""
        own = self._options
        place = placing(job.hosts, self._nodes()) if job.hosts else []
        name = "-".join(printable(job.label).split())
        return [
            *("srun", "--nodes=1", "--ntasks=1", "--mpi=none", f"--job-name={name}"),
            *(f"--comment={self._identity}", *options_of(job.needs, own.resources), *place),
            *own.srun_options,
        ]

    def _nodes(self) -> dict[str, set[str]]:
        """All nodes, with their features. Raises ModuleError."""
        nodes: dict[str, set[str]] = {}
        for line in self._ask("sinfo", "--noheader", "--Node", "--format=%N|%f"):
            name, _, features = line.partition("|")
            nodes.setdefault(name, set()).update(features.split(","))
        return nodes

    def _cancel_earlier(self) -> None:
        """Cancel jobs of an earlier life of this service; there are none of this one yet.

        Their guards have ended by themselves, and mostly their jobs with them. But an srun that was
        killed may leave an allocation in which nothing runs.
        """
        try:
            lines = self._ask("squeue", "--noheader", "--me", "--format=%A|%k")
            left = [
                job
                for job, _, said in (line.partition("|") for line in lines)
                if said == self._identity
            ]
            if left:
                log.warning("cancelling %d jobs that an earlier life has left in Slurm", len(left))
                self._ask("scancel", *left)
        except ModuleError as bad:
            log.warning("cannot look for jobs of an earlier life in Slurm: %s", bad)

    def _ask(self, *argv: str) -> list[str]:
        """The lines that a command of Slurm prints. Raises ModuleError with what it says."""
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=self.timeout,
                env=_environ(),
            )
        except subprocess.TimeoutExpired as late:
            raise ModuleError(f"{argv[0]} did not answer within {self.timeout:g} s") from late
        except OSError as bad:
            raise ModuleError(f"{argv[0]}: {bad.strerror}") from bad
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise ModuleError(printable(said[-1]) if said else f"{argv[0]} has failed")
        return done.stdout.decode(errors="replace").splitlines()


def make_launcher(source: Settings, service: str) -> ClusterLauncher:
    """The launcher `slurm` of a service. Raises SettingsError."""
    options = read(source, service, SlurmCluster)
    port = source.get("ports", {}).get(service, "")
    identity = f"shmooze:{service}@{socket.gethostname()}:{port}"
    return ClusterLauncher("slurm", SlurmEngine(options, identity), options)


def _environ() -> dict[str, str]:
    """Our environment, without what an allocation has added in which we run ourselves.

    Otherwise the jobs would become steps of that one.
    """
    kept = ("SLURM_CONF", "SLURM_CLUSTERS")
    return {
        name: value
        for name, value in os.environ.items()
        if name != TICKET_VARIABLE and (name in kept or not name.startswith(("SLURM_", "SRUN_")))
    }
