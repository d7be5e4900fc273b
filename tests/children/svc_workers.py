"""The gateway, as it would be elsewhere or later. It takes the difference as its argument:

piped    no system kills workers whose supervisor has died
healthy  each worker has lived for a while
"""

from gevent import monkey

monkey.patch_all()

import runpy
import sys

from shmooze.lib import workers

difference = sys.argv.pop()
if difference == "piped":
    workers._is_killed_with_parent = lambda: False
elif difference == "healthy":
    workers.Supervisor.healthy = 0.0
runpy.run_module("shmooze.wsgi", run_name="__main__")
