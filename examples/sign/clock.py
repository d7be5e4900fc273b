"""A clock, which the sign shows while there is no slide."""

import time
from typing import Annotated

from shmooze.modules import Worker


class Clock(Worker):
    """A clock."""

    parameters = {"text": "title"}

    def cmd_init(self, format: Annotated[str, "Which parts of the time, as for `date`"] = "%H:%M"):
        self.format = format

    def work(self):
        while True:
            self.wait_while_paused()
            self.set_parameters({"text": time.strftime(self.format)})
            self.sleep(1 - time.time() % 1)


if __name__ == "__main__":
    Clock().run()
