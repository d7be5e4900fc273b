"""The gateway under other conditions. Its argument says which:

piped    there is no parent-death signal
healthy  each worker counts as healthy from its start
strict   the same, and a worker that hangs is killed after a second or two
hasty    a worker that dies young is soon restarted, and one that does not stop is soon killed
slow     a worker that dies young is restarted much later
"""

from gevent import monkey

monkey.patch_all()

import runpy
import sys

from shmooze.runtime import workers
from shmooze.runtime.backoff import Backoff

condition = sys.argv.pop()
if condition == "piped":
    workers._set_parent_death_signal = lambda: False
elif condition == "healthy":
    workers.Supervisor.healthy = 0.0
elif condition == "strict":
    workers.Supervisor.healthy = 0.0
    workers.Supervisor.hang_timeout = 1.0
    workers.Heartbeats.interval, workers.Heartbeats.check_interval = 0.2, 0.5
elif condition == "hasty":
    workers.Supervisor.backoff = Backoff(first=0.05, longest=30.0)
    workers.Supervisor.stop_timeout = 0.5
elif condition == "slow":
    workers.Supervisor.backoff = Backoff(first=1000.0, longest=1000.0)
runpy.run_module("shmooze.wsgi", run_name="__main__")
