"""A pool of jobs, which run at the same time. Each runs one of the commands in the settings.

SHMOOZE_SETTINGS=examples/settings.json python examples/example_pool.py
"""

from gevent import monkey

monkey.patch_all()  # before all other imports: unpatched code would block the service

import sys
from pathlib import Path

from shmooze.modules import Module
from shmooze.pool import Pool


class Job(Module):
    TYPE_STRING = "job"
    process = [sys.executable, str(Path(__file__).parent / "modules" / "job.py")]
    describe = True


if __name__ == "__main__":
    Pool([Job]).serve_forever()
