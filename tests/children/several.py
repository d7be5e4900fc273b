"""Does one item after the other: several.py HOST PORT PORT, or without these over stdio.

The result of each is its pid and what it has been left by the items before.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from shmooze.modules.worker import Worker


class Several(Worker):
    patience = 0.2

    def cmd_init(self, leaves=""):
        self.leaves = leaves

    def work(self):
        print("output of an item that leaves", self.leaves or "nothing")
        self.set_parameters({self.leaves: True})
        if self.leaves == "a process":
            subprocess.Popen(["sleep", "1000"])
        self.result(os.getpid())
        self.set_parameters({"late": True})
        if self.leaves == "a pause":
            self.sleep(1000)
        if self.leaves == "a thread":
            time.sleep(1000)
        if self.leaves == "an error":
            raise ValueError("too late")


if __name__ == "__main__":
    Several().run()
