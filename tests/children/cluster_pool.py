"""A pool that also knows the launcher `here` of tests/cluster.py."""

from shmooze.runtime.patch import patch_all

patch_all()

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from shmooze.broker import launchers
from shmooze.pool import _from_settings
from shmooze.runtime.program import run_named

launchers.OURS["here"] = "cluster"

if __name__ == "__main__":
    run_named(_from_settings, "pool")
