"""The guard of one module on a node of Slurm: `python -m shmooze.cluster.slurm_node`.

The same as shmooze.cluster.node. But a job ends with its srun, and an srun that was killed together
with its service ends none: the allocation would stay, although nothing runs in it any more. If the
guard is killed as well, it does stay: see SlurmEngine.
"""

from __future__ import annotations

if __name__ == "__main__":
    from shmooze.runtime.patch import patch_all

    patch_all()

import os
import shutil

from shmooze.cluster.guard import NOT_NEEDED
from shmooze.cluster.node import main


def end_job() -> None:
    """Cancel the job that this is a part of, in place of this process."""
    job, scancel = os.environ.get("SLURM_JOB_ID"), shutil.which("scancel")
    if job is not None and scancel is not None:
        os.execv(scancel, [scancel, job])


if __name__ == "__main__" and main() != NOT_NEEDED:
    end_job()
