"""A module as people write them: it does what it is told, and says at what time if asked to."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # the new one for 1.2.4's, too

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


polite = Polite()
while True:
    polite.handle_one_command()
