"""A module that counts down. It pauses while it is suspended, and leaves at zero.

It saves where it is, so if it crashes and is started again, it goes on from there.

Most modules have this structure: one thread does the work, the main thread answers commands. A
queue starts this file. `init` passes the arguments of `add`, and nothing happens before `play`.
"""

import threading

from shmooze.modules import JSONParentPoller


class Countdown(JSONParentPoller):
    saved = None

    def cmd_restore(self, state):
        """Comes before `init`, and only if an earlier process of this module has saved a state."""
        self.saved = state

    def cmd_init(self, seconds=10):
        if not isinstance(seconds, (int, float)) or not 0 < seconds < 1e9:
            raise ValueError(f"seconds must be a number above 0, not {seconds!r}")
        self.left, self.total = self.saved or (seconds, seconds)
        self.playing = threading.Event()
        threading.Thread(target=self.count, daemon=True).start()
        self.report()

    def cmd_play(self):
        self.playing.set()

    def cmd_suspend(self):
        self.playing.clear()

    def cmd_rm(self):
        """Nothing to clean up: the program ends when the queue hangs up after this answer."""

    def do_add(self, seconds):
        """Add time, as in `shmz tell UID add seconds=5`. Returns the seconds that are left."""
        self.total += seconds
        self.left += seconds
        self.report()
        return self.left

    def count(self):
        self.playing.wait()
        tick = threading.Event()  # time.sleep would work as well
        while self.left > 0:
            self.playing.wait()
            tick.wait(min(1, self.left))
            if self.playing.is_set():
                self.left = max(0, self.left - 1)
                self.report()
        self.rm()  # announces that this module leaves, so that the next one plays
        self.close()  # wakes the main thread, which then exits

    def report(self):
        progress = 1 - self.left / self.total if self.total else 1
        self.set_parameters({"left": self.left, "total": self.total, "progress": progress})
        self.save([self.left, self.total])

    commands = {
        "restore": cmd_restore,
        "init": cmd_init,
        "play": cmd_play,
        "suspend": cmd_suspend,
        "rm": cmd_rm,
        "do_add": do_add,
    }


if __name__ == "__main__":
    countdown = Countdown()
    while True:
        countdown.handle_one_command()
