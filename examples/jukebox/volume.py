"""The service `volume`: how loud the jukebox is, for everybody and for all that plays.

    shmz -e volume set volume=40
    shmz -e volume mute

It is kept in `volume.json`, and sent to tracks through a socket, see loudness.py.
"""

from gevent import monkey

monkey.patch_all()

import logging
import os
import socket
import sys
import time
from typing import Annotated, TypedDict

import gevent
import loudness
from gevent.event import Event
from gevent.server import StreamServer
from loudness import Loudness
from msgspec import Meta
from places import Places

from shmooze.errors import ShmoozeError
from shmooze.lib.service import JSONCommandProcessor, Service

log = logging.getLogger("volume")

Percent = Annotated[int, Meta(ge=0, le=100, description="From 0, silent, to 100.")]
Step = Annotated[int, Meta(ge=1, le=100, description="By how much.")]


class State(TypedDict):
    """The volume from 0 to 100, whether it is muted, and a version that each change renews."""

    volume: int
    muted: bool
    version: str


class Volume(JSONCommandProcessor, Service):
    """Answers commands, and tells tracks of each change."""

    name = "volume"

    def __init__(self, places: Places) -> None:
        super().__init__()
        self._places = places
        self._now = loudness.read(places.volume)
        self._changes = 0
        #: Told of the next change. Each change has an event of its own.
        self._changed = Event()
        self._tracks: StreamServer | None = None

    def start(self) -> None:
        super().start()  # first: it fails if another one runs, whose socket must stay
        path = self._places.volume_socket
        try:
            if os.path.exists(path):
                os.unlink(path)  # of one that was killed
            listener = socket.socket(socket.AF_UNIX)
            mask = os.umask(0o177)
            try:
                listener.bind(path)
            finally:
                os.umask(mask)
        except OSError as bad:
            super().stop()
            raise ShmoozeError(f"cannot listen at {path}: {bad.strerror or bad}") from bad
        listener.listen(64)
        self._tracks = StreamServer(listener, self._tell)
        self._tracks.start()

    def stop(self) -> None:
        if self._tracks is not None:
            self._tracks.stop()
            self._tracks = None
            try:
                os.unlink(self._places.volume_socket)
            except FileNotFoundError:
                pass
        self._changed.set()  # so that nobody waits any more
        super().stop()

    def get(self) -> State:
        """The volume."""
        return {**self._now._asdict(), "version": self._version}

    def set(self, volume: Percent) -> State:
        """Set the volume."""
        return self._change(self._now._replace(volume=volume))

    def up(self, by: Step = 5) -> State:
        """Make it louder, and unmute it."""
        return self._change(Loudness(min(100, self._now.volume + by)))

    def down(self, by: Step = 5) -> State:
        """Make it quieter."""
        return self._change(self._now._replace(volume=max(0, self._now.volume - by)))

    def mute(self, muted: bool | None = None) -> State:
        """Mute or unmute it. Without `muted`, switch between the two."""
        return self._change(
            self._now._replace(muted=not self._now.muted if muted is None else muted)
        )

    def wait(
        self,
        version: Annotated[
            str, Meta(description="The version that the caller knows.", max_length=100)
        ],
        seconds: Annotated[float, Meta(ge=0, le=50, description="How long to wait.")] = 25,
    ) -> State:
        """The volume, as soon as its version differs from this one, or else after some seconds."""
        if version == self._version:
            self._changed.wait(seconds)
        return self.get()

    def get_vol(self) -> int:
        """The volume as a number."""
        return self._now.volume

    def set_vol(self, vol: Percent) -> None:
        """Set the volume."""
        self.set(vol)

    commands = {
        "get": get,
        "set": set,
        "up": up,
        "down": down,
        "mute": mute,
        "wait": wait,
        "get_vol": get_vol,
        "set_vol": set_vol,
    }
    read_cmds = ("get", "wait", "get_vol")
    #: All who may add songs share the volume.
    cmd_scopes = dict.fromkeys(("set", "up", "down", "mute", "set_vol"), ("add",))

    @property
    def _version(self) -> str:
        return f"{_BEGAN}.{self._changes}"

    def _change(self, new: Loudness) -> State:
        if new != self._now:
            self._now = new
            self._changes += 1
            changed, self._changed = self._changed, Event()
            changed.set()
            self._save()
        return self.get()

    def _save(self) -> None:
        file = self._places.volume
        try:
            fresh = file.with_suffix(".new")
            fresh.write_bytes(self._now.line)
            fresh.replace(file)
        except OSError as bad:
            log.warning("cannot save the volume in %s: %s", file, bad.strerror or bad)

    def _tell(self, track: socket.socket, _address: object) -> None:
        """Tell a track of the volume until it hangs up."""
        gone, told = gevent.spawn(_read_to_end, track), None
        try:
            while self._tracks is not None and not gone.ready():
                changed = self._changed
                if told != self._now:
                    told = self._now
                    track.sendall(told.line)
                gevent.wait([gone, changed], count=1)
        except OSError:
            pass  # it has ended
        finally:
            gone.kill()


def _read_to_end(track: socket.socket) -> None:
    """Wait until a track hangs up. It says nothing."""
    try:
        while track.recv(64):
            pass
    except OSError:
        pass


#: Part of each version, so that those of an earlier run are different.
_BEGAN = f"{time.time():.3f}"


if __name__ == "__main__":
    try:
        Volume(Places()).serve_forever()
    except ValueError as bad:
        print(f"volume: {bad}", file=sys.stderr)
        sys.exit(2)
