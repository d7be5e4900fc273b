"""A pool of jobs: each runs one of the commands that the settings name, all at the same time.

SHMOOZE_SETTINGS=examples/settings.json python examples/example_pool.py
"""

from gevent import monkey

monkey.patch_all()  # first of all: what is imported before it would block the whole service

import sys
from pathlib import Path

from shmooze.modules import Module
from shmooze.pool import Pool


class Job(Module):
    TYPE_STRING = "job"
    process = [sys.executable, str(Path(__file__).parent / "modules" / "job.py")]


if __name__ == "__main__":
    Pool([Job]).serve_forever()
