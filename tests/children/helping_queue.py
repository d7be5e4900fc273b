"""A queue that starts helpers of its own, before and after it listens, and writes down their pids.

Its modules connect by IPv6.
"""

from gevent import monkey

monkey.patch_all()

import os
import pathlib
import sys
from subprocess import Popen

from shmooze.modules import Module
from shmooze.queue import Queue

HERE = pathlib.Path(os.environ["HERE"])


class Well(Module):
    TYPE_STRING = "well"
    process = (sys.executable, str(pathlib.Path(__file__).with_name("well.py")))
    listen_host = "::1"


class HelpingQueue(Queue):
    def start(self):
        self.helper = Popen(["sleep", "1000"])
        daemon = f"setsid sleep 1000 & echo $! >> {HERE}/pids-helpers"
        assert Popen(["sh", "-c", daemon]).wait() == 0
        super().start()
        self.late_helper = Popen(["sleep", "1000"])
        with (HERE / "pids-helpers").open("a") as pids:
            print(self.helper.pid, self.late_helper.pid, file=pids)


if __name__ == "__main__":
    HelpingQueue([Well]).serve_forever()
