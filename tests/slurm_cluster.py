"""A cluster of Slurm for tests: its daemons as processes of ours, all on loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from support import PATIENCE, free_ports, wait_until

#: The daemons are in folders that only root has in PATH.
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "scancel", "squeue", "sinfo", "scontrol")

NODES = ("n1", "n2")

_CONF = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=1
SlurmdTimeout=5
InactiveLimit=120
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.2 Port={ports[1]} CPUs=8 Feature=big
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.3 Port={ports[2]} CPUs=8 Feature=small
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Why there can be no cluster here; None: there can."""
    missing = [each for each in _PROGRAMS if shutil.which(each, path=_PATH) is None]
    if missing:
        return f"needs {', '.join(missing)}: apt-get install slurmctld slurmd slurm-client munge"
    return None if os.getuid() == 0 else "slurmd must be run as root"


class SlurmCluster:
    """Two nodes of eight processors each, `n1` with the label `big` and `n2` with `small`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("state", *(f"spool.{node}" for node in NODES)):
            (folder / name).mkdir()
        conf = folder / "slurm.conf"
        conf.write_text(_CONF.format(folder=folder, ports=free_ports(3), user="root"))
        (folder / "cgroup.conf").write_text("")
        key = folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(1024))
        self.environ = {**os.environ, "PATH": _PATH, "SLURM_CONF": str(conf)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._start(
            *("munged", "munged", "--foreground", "--force", f"--socket={folder}/munge.sock"),
            *(f"--{each}-file={folder}/munge.{each}" for each in ("pid", "log", "seed", "key")),
        )
        wait_until((folder / "munge.sock").exists, "munged listens")
        self._start("slurmctld", "slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        wait_until(lambda: self.ask("sinfo", "-h", "-o", "%D %t") == "2 idle", "the nodes are up")

    def restart_controller(self) -> None:
        """Stop slurmctld, which saves what it knows, and start it again."""
        self.processes["slurmctld"].terminate()
        self.processes["slurmctld"].wait(PATIENCE)
        self._start("slurmctld", "slurmctld", "-D")
        wait_until(lambda: self.ask("scontrol", "ping").endswith("is UP"), "slurmctld is back")

    def start_node(self, node: str) -> None:
        self._start(node, "slurmd", "-D", "-N", node)

    def _start(self, name: str, *argv: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                argv, env=self.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def ask(self, *argv: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            argv, env=self.environ, capture_output=True, text=True, timeout=PATIENCE
        )
        return done.stdout.strip()

    def jobs(self) -> list[str]:
        """The names of all jobs that are not over."""
        return self.ask("squeue", "-h", "-o", "%j").splitlines()

    def job_ids(self) -> list[str]:
        return self.ask("squeue", "-h", "-o", "%A").splitlines()

    def expect_no_jobs(self) -> None:
        wait_until(lambda: not self.jobs(), "no job is left")

    def close(self) -> None:
        """End all jobs and daemons."""
        if left := self.job_ids():
            self.ask("scancel", *left)
            self.expect_no_jobs()
        for name in (*NODES, "slurmctld", "munged"):
            if (process := self.processes.get(name)) is not None:
                process.terminate()
                process.wait(PATIENCE)
