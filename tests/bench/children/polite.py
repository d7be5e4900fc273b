"""A typical module in Python. Its command `stamp` sets a parameter to the time."""

import sys
import time
from pathlib import Path

# This version's pymodule, also under 1.2.4.
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from shmooze.modules.pymodule import JSONParentPoller


class Polite(JSONParentPoller):
    def agree(self):
        pass

    def stamp(self):
        self.set_parameters({"stamp": time.monotonic()})

    commands = {
        "init": agree,
        "play": agree,
        "suspend": agree,
        "rm": agree,
        "do_stamp": stamp,
        "do_nothing": agree,
    }


if __name__ == "__main__":
    polite = Polite()
    while True:
        polite.handle_one_command()
