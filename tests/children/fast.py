"""Runs a module of Python whose seconds are tenths: `fast.py PROGRAM ARGUMENT…`."""

import runpy
import sys

from shmooze.modules import Worker

_sleep = Worker.sleep
Worker.sleep = lambda self, seconds: _sleep(self, seconds / 10)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
