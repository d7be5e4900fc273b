"""Check several modules at the same time, in one process: their reports by name, as JSON.

python tests/check_all.py < '{NAME: {"argv": […], …options}, …}'
"""

from __future__ import annotations

import json
import os
import sys

import gevent

from shmooze.conformance.checker import check, open_launcher
from shmooze.conformance.options import Options

if __name__ == "__main__":
    os.environ["SHMOOZE_CHECK"] = "1"
    wanted = json.load(sys.stdin)
    launcher = open_launcher(lambda: os._exit(1))
    checking = {
        name: gevent.spawn(
            check, launcher, Options(**{**options, "skip": frozenset(options.get("skip", ()))})
        )
        for name, options in wanted.items()
    }
    json.dump({name: each.get().as_dict() for name, each in checking.items()}, sys.stdout)
