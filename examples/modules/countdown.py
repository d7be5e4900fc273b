"""A module that counts down. It pauses while it is suspended, and leaves at zero.

It saves where it is, so if it crashes and is started again, it goes on from there.

Most modules have this structure: a thread does the work in `work`, the main thread answers
commands. A queue starts this file. `init` passes the arguments of `add`, and `work` begins with the
first `play`. What clients may send is described by hints, docstrings and `parameters`.
"""

from typing import Annotated

from shmooze.modules import Worker


class Countdown(Worker):
    """A countdown."""

    label = "countdown, {seconds} s"
    parameters = {"left": "time", "total": "time", "progress": "progress"}
    saved = None

    def cmd_restore(self, state):
        """Comes before `init`, and only if an earlier process of this module has saved a state."""
        self.saved = state

    def cmd_init(
        self,
        seconds: Annotated[float, "How long", {"exclusiveMinimum": 0, "maximum": 10**9}] = 10,
    ):
        self.left, self.total = self.saved or (seconds, seconds)
        self.report()

    def do_add(self, seconds: float) -> float:
        """Add time, as in `shmz tell UID add seconds=5`.

        Returns:
            The seconds that are left.
        """
        self.total += seconds
        self.left += seconds
        self.report()
        return self.left

    def work(self):
        while self.left > 0:
            self.sleep(min(1, self.left))  # pauses here while the module is suspended
            self.left = max(0, self.left - 1)
            self.report()

    def report(self):
        progress = 1 - self.left / self.total if self.total else 1
        self.set_parameters({"left": self.left, "total": self.total, "progress": progress})
        self.save([self.left, self.total])


if __name__ == "__main__":
    Countdown().run()
