"""A song, a video or a radio station, played by mpv.

`source` is a path in the music folder, or an address of the web. For the settings see places.py.
The volume is that of the service `volume`. A track saves its position, so after a crash of the
queue it goes on from there.

Standard library only. mpv must be installed.
"""

from __future__ import annotations

import collections
import threading
from typing import Annotated, Any

import facts
import loudness
from mpv import QUIET, Connection, MpvError
from places import Places, is_of_web

from shmooze.errors import CommandError
from shmooze.modules import Player

Text = Annotated[str, {"maxLength": 300}]
Source = Annotated[
    str,
    "A path in the music folder, or an address that begins with http:// or https://",
    {"minLength": 1, "maxLength": 2000},
]
Cover = Annotated[
    str,
    "A picture, as the library names it",
    {"pattern": r"^(covers/[0-9a-f]{40}\.(jpg|png|gif|webp))?$", "maxLength": 60},
]
Duration = Annotated[float | None, "In seconds, if it is known", {"minimum": 0}]
Seconds = Annotated[float | None, {"minimum": -86400, "maximum": 10**6}]


class Track(Player):
    """A song, a video or a radio station."""

    label = "{title}"
    parameters = {
        "title": "title",
        "artist": str,
        "album": str,
        "position": "time",
        "duration": "time",
        "progress": "progress",
        "paused": bool,
        "has_video": bool,
        "seekable": bool,
        "volume": {"type": "number", "unit": "%"},
        "muted": bool,
        "cover": "image",
    }
    #: Seconds of playing after which the position is reported and saved again.
    interval = 1.0
    #: Where it is, in seconds.
    position = 0.0
    #: Whether mpv is silent, and whether that is because a live stream was stopped.
    is_paused = is_stopped = False
    #: Where to go as soon as mpv can, which is not while it loads or is paused. Until then, its own
    #: position does not count.
    goal: float | None = None

    def cmd_restore(self, state: Any) -> None:
        """Go on where an earlier process of this item was."""
        position = state.get("position") if isinstance(state, dict) else None
        if isinstance(position, (int, float)):
            self.position = float(position)

    def cmd_init(
        self,
        source: Source,
        title: Text = "",
        artist: Text = "",
        album: Text = "",
        cover: Cover = "",
        duration: Duration = None,
    ) -> None:
        self.places = Places()
        self.source = source
        self.check()
        self.given = {"title": title, "artist": artist, "album": album}
        #: The parameters so far, and the lock under which they change.
        self.told: dict[str, Any] = {}
        self.telling = threading.Lock()
        #: What mpv says, by property; how its last file has ended; and its output.
        self.facts: dict[str, Any] = {}
        self.end: dict[str, Any] = {}
        self.lines: collections.deque[str] = collections.deque(maxlen=20)
        self.is_loaded = False
        self.mpv = Connection(self.take)
        self.follower = loudness.Follower(self.places.volume_socket, self.set_volume)
        self.tell({**self.given, "cover": cover, "duration": duration, "paused": True})
        if self.position > 0:
            self.report_position(self.position)

    def check(self) -> str:
        """What mpv is to play. Raises CommandError if it may not, or cannot."""
        try:
            return self.places.locate(self.source)
        except ValueError as bad:
            raise CommandError(str(bad)) from bad

    def start(self) -> None:
        """Start mpv, which begins to play."""
        now = loudness.read(self.places.volume)
        place = self.check()  # again: the file may have vanished while this has waited
        self.argv = [
            *("mpv", *QUIET, self.mpv.option),
            f"--volume={now.volume}",
            f"--mute={'yes' if now.muted else 'no'}",
            *([f"--start={self.position:.3f}"] if self.position > 0 else []),
            # A file of ours must not refer to others.
            f"--access-references={'yes' if self.is_of_web else 'no'}",
            *(*self.places.mpv, "--", place),
        ]
        self.options = {"pass_fds": [self.mpv.inherited]}
        try:
            super().start()
        except CommandError as bad:
            if isinstance(bad.__cause__, FileNotFoundError):
                raise CommandError("mpv is not installed: apt install mpv") from bad
            raise
        self.mpv.listen()
        for number, name in enumerate(facts.OBSERVED, 1):
            self.mpv.tell("observe_property", number, name)
        self.follower.start()
        self.tell({"paused": False})

    @property
    def is_of_web(self) -> bool:
        """Whether it comes from the web."""
        return is_of_web(self.source)

    @property
    def is_live(self) -> bool:
        """Whether it is a live stream, which cannot be paused."""
        return self.is_of_web and self.is_loaded and facts.is_live(self.facts)

    def pause(self) -> None:
        """Be silent, and leave sound device and screen to others. A live stream is stopped."""
        self.is_paused, self.is_stopped = True, self.is_live
        try:
            if self.is_stopped:
                self.mpv.ask("stop")
            else:
                self.mpv.ask("set_property", "pause", True)
        except MpvError:
            super().pause()  # a stopped process is silent, too; nothing happens if it has ended
        else:
            self.leave_devices()
        self.tell({"paused": True})

    def leave_devices(self) -> None:
        """Report where it is paused, and close sound device and window."""
        if self.is_stopped or not self.is_loaded or not self.facts.get("seekable"):
            return  # mpv could not go on there
        try:
            position = self.mpv.ask("get_property", "time-pos")
        except MpvError:
            return  # it has just ended
        if self.goal is None:
            self.report_position(position)
        self.mpv.tell("set_property", "vid", "no")
        self.mpv.tell("set_property", "aid", "no")

    def resume(self) -> None:
        """Go on where it was. A live stream goes on where it is now."""
        super().resume()
        if self.is_stopped:
            self.mpv.tell("loadfile", self.source)
        self.mpv.tell("set_property", "vid", "auto")
        self.mpv.tell("set_property", "aid", "auto")
        self.is_paused = self.is_stopped = False
        self.go_to_goal()
        self.mpv.tell("set_property", "pause", False)
        self.tell({"paused": False})

    def do_seek(self, position: Seconds = None, by: Seconds = None) -> float:
        """Go to a position, or forward or back from where it is.

        Args:
            position: Where to go, in seconds.
            by: Seconds to go forward, or back if it is negative.

        Returns:
            The new position in seconds.
        """
        if (position is None) == (by is None):
            raise CommandError("seek needs either `position` or `by`")
        goal = max(0.0, position if by is None else self.position + by)
        length = self.told.get("duration")
        goal = goal if length is None else min(goal, length)
        if self.is_running and self.is_loaded and not self.is_paused:
            try:
                self.mpv.ask("seek", goal, "absolute+exact")
            except MpvError as bad:
                raise CommandError(f"mpv cannot seek here: {bad}") from bad
        elif self.is_running:
            self.goal = goal
            self.go_to_goal()  # if it has been loaded meanwhile
        self.report_position(goal)
        return goal

    def go_to_goal(self) -> None:
        """Go where somebody wanted to when mpv could not, if it can now."""
        if self.is_loaded and not self.is_paused and self.goal is not None:
            self.mpv.tell("seek", self.goal, "absolute+exact")

    def set_volume(self, now: loudness.Loudness) -> None:
        """Called with each change of the volume, in a thread."""
        self.mpv.tell("set_property", "volume", now.volume)
        self.mpv.tell("set_property", "mute", now.muted)

    def take(self, event: dict[str, Any]) -> None:
        """Called with each event of mpv, in a thread."""
        kind = event["event"]
        if kind == "property-change":
            self.take_property(event["name"], event.get("data"))
        elif kind == "start-file":
            self.end, self.is_loaded = {}, False
        elif kind == "file-loaded":
            self.is_loaded = True
            self.go_to_goal()
        elif kind == "seek":
            self.goal = None
        elif kind == "end-file":
            self.end = event

    def take_property(self, name: str, value: Any) -> None:
        """Called with each property of mpv that has changed."""
        if name == "time-pos":
            before = self.told.get("position", -self.interval)
            if value is not None and self.goal is None and abs(value - before) >= self.interval:
                self.report_position(value)
        elif name == "idle-active":
            if value and self.end.get("reason") in ("eof", "error"):
                self.mpv.tell("quit")
        # What has ended or was stopped has no properties, but is still what it was.
        elif not self.end or name in ("volume", "mute"):
            self.facts[name] = value
            if name == "seekable" and value is False:
                self.goal = None
            self.tell(facts.describe(self.facts, self.given))

    def report_position(self, seconds: float) -> None:
        """Tell clients where it is, and save that."""
        self.position = seconds
        length = self.told.get("duration")
        progress = round(min(1.0, seconds / length), 4) if length else None
        self.tell({"position": round(seconds, 2), "progress": progress})
        if not self.is_live:
            self.save({"position": seconds})

    def tell(self, parameters: dict[str, Any]) -> None:
        """Set the parameters that have changed. Those that are None or empty are removed."""
        with self.telling:
            new = {name: each for name, each in parameters.items() if each not in (None, "")}
            changed = {name: each for name, each in new.items() if self.told.get(name) != each}
            lost = [name for name in parameters if name in self.told and name not in new]
            self.told = {**self.told, **changed}
            for name in lost:
                del self.told[name]
            if changed:
                self.set_parameters(changed)
            if lost:
                self.unset_parameters(lost)

    def line(self, text: str) -> None:
        """Called with each line of mpv's output."""
        self.lines.append(text)

    def ended(self, status: int) -> None:
        """Called when mpv has ended by itself."""
        if status == 0 and self.end.get("reason") == "error":
            self.fail(f"mpv cannot play {self.source}: {facts.explain(self.end, self.lines)}")
            return
        if status == 0:
            self.save({"position": 0})  # a background that is started again begins anew
        super().ended(status)

    def cmd_rm(self) -> None:
        """End mpv."""
        super().cmd_rm()
        self.follower.close()
        self.mpv.close()


if __name__ == "__main__":
    Track().run()
