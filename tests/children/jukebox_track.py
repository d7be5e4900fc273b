"""A track of the jukebox that needs no mpv: it says what it was added with, and makes no sound."""

from __future__ import annotations

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
        self.length, self.can_play = duration, "unplayable" not in title
        about = {"title": title or source, "artist": artist, "album": album, "cover": cover}
        self.set_parameters({**about, "duration": duration, "seekable": True})

    def cmd_seek(self, position: float) -> float:
        self.set_parameters({"position": position})
        return position

    def work(self) -> None:
        if not self.can_play:
            self.fail("nothing in this file can be played")
        self.set_parameters({"position": 0.0, "paused": False})
        self.sleep(self.length)


if __name__ == "__main__":
    Track().run()
