"""A background that shows the time, updated once a second while nothing else plays."""

import threading
import time

from shmooze.modules import JSONParentPoller


class Clock(JSONParentPoller):
    def cmd_init(self, format="%H:%M:%S"):
        self.format = format
        self.playing = threading.Event()
        threading.Thread(target=self.tick, daemon=True).start()

    def cmd_play(self):
        self.playing.set()

    def cmd_suspend(self):
        self.playing.clear()

    def cmd_rm(self):
        pass

    def tick(self):
        while True:
            self.playing.wait()
            self.set_parameters({"time": time.strftime(self.format)})
            time.sleep(1 - time.time() % 1)

    commands = {"init": cmd_init, "play": cmd_play, "suspend": cmd_suspend, "rm": cmd_rm}


if __name__ == "__main__":
    clock = Clock()
    while True:
        clock.handle_one_command()
