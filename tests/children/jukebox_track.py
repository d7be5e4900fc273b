"""A track of the jukebox that needs no mpv: it says what it was added with, and makes no sound.

One with "unplayable" in its title fails when it is told to seek, and one with "refused" is refused.
"""

from __future__ import annotations

from shmooze.errors import CommandError
from shmooze.modules import Worker


class Track(Worker):
    label = "{title}"

    def cmd_init(
        self,
        source: str,
        title: str = "",
        artist: str = "",
        album: str = "",
        cover: str = "",
        duration: float = 3600.0,
    ) -> None:
        if "refused" in title:
            raise CommandError("there is no such file")
        self.length, self.can_play = duration, "unplayable" not in title
        about = {"title": title, "artist": artist, "album": album, "cover": cover}
        known = {name: text for name, text in about.items() if text}
        self.set_parameters({**known, "duration": duration, "seekable": True})

    def do_seek(self, position: float) -> float:
        if not self.can_play:
            self.fail("nothing in this file can be played")
        self.set_parameters({"position": position})
        return position

    def work(self) -> None:
        self.set_parameters({"position": 0.0, "paused": False})
        self.sleep(self.length)


if __name__ == "__main__":
    Track().run()
