"""Takes more and more memory in a process of its own that has left its session, once it plays."""

import os
import time

from shmooze.modules import JSONParentPoller


class Hog(JSONParentPoller):
    def cmd_init(self):
        self.set_parameters({"pid": os.getpid()})

    def cmd_play(self):
        if os.fork() == 0:
            os.setsid()
            kept = []
            while True:
                kept.append(b"x" * (4 << 20))
                time.sleep(0.01)

    commands = {**JSONParentPoller.commands, "init": cmd_init, "play": cmd_play}


if __name__ == "__main__":
    hog = Hog()
    while True:
        hog.handle_one_command()
