"""A song that makes no sound: it shows for how long it would play.

A real jukebox has a player here; see docs/tutorials/jukebox.md.
"""

from typing import Annotated

from shmooze.modules import Worker


class Song(Worker):
    """A song."""

    label = "{title}"
    parameters = {"left": "time", "progress": "progress"}

    def cmd_init(
        self,
        title: str,
        seconds: Annotated[float, "How long it is", {"minimum": 1, "maximum": 3600}] = 180,
    ):
        self.left = self.length = seconds

    def work(self):
        while self.left > 0:
            progress = 1 - self.left / self.length
            self.set_parameters({"left": self.left, "progress": progress})
            self.sleep(min(1, self.left))  # pauses here while it is suspended
            self.left -= min(1, self.left)


if __name__ == "__main__":
    Song().run()
