"""A background that shows the time, updated once a second while nothing else plays."""

import time

from shmooze.modules import Worker


class Clock(Worker):
    """A clock."""

    parameters = {"time": "title"}

    def cmd_init(self, format: str = "%H:%M:%S"):
        """Take the format.

        Args:
            format: Which parts of the time to show, as for `date`.
        """
        self.format = format

    def work(self):
        while True:
            self.wait_while_paused()
            self.set_parameters({"time": time.strftime(self.format)})
            self.sleep(1 - time.time() % 1)


if __name__ == "__main__":
    Clock().run()
