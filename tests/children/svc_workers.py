"""The gateway, as it would be elsewhere or later. It takes the difference as its argument:

piped    no system kills workers whose supervisor has died
healthy  each worker has lived for a while
strict   a worker that hangs is killed after a second or two
"""

from gevent import monkey

monkey.patch_all()

import runpy
import sys

from shmooze.runtime import workers

difference = sys.argv.pop()
if difference == "piped":
    workers._is_killed_with_parent = lambda: False
elif difference == "healthy":
    workers.Supervisor.healthy = 0.0
elif difference == "strict":
    workers.Supervisor.healthy = 0.0
    workers.Supervisor.hang_timeout = 1.0
    workers.Heartbeats.interval, workers.Heartbeats.look_interval = 0.2, 0.5
runpy.run_module("shmooze.wsgi", run_name="__main__")
