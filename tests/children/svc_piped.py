"""The gateway where the system does not kill workers whose supervisor has died."""

from gevent import monkey

monkey.patch_all()

import runpy

from shmooze.lib import workers

workers._is_killed_with_parent = lambda: False
runpy.run_module("shmooze.wsgi", run_name="__main__")
