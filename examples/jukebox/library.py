"""The service `library`: what is in the music folder.

    shmz -e library search text="miles blue"
    shmz -e library browse folder="Miles Davis"

It scans the folder when it starts, once a minute, and when it is told `scan`. What it has found is
kept in `library.json`, and covers in the folder `covers` of the page. Needs mutagen.
"""

from gevent import monkey

monkey.patch_all()

import logging
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import gevent
from catalog import Track
from gevent.event import Event
from gevent.threadpool import ThreadPool
from msgspec import Meta
from places import Places
from scan import Scanner

from shmooze.errors import CommandError
from shmooze.lib.service import JSONCommandProcessor, Service

log = logging.getLogger("library")

Limit = Annotated[int, Meta(ge=1, le=200, description="How many tracks at most.")]
Offset = Annotated[int, Meta(ge=0, le=10**6, description="How many tracks to leave out.")]
Path = Annotated[str, Meta(max_length=2000, description='A path, with "/" between.')]


class Found(TypedDict):
    """Tracks, and how many there are in all."""

    tracks: list[Track]
    total: int


class Below(TypedDict):
    """A folder in a folder, and the number of tracks in it and below."""

    name: str
    path: str
    tracks: int


class Contents(TypedDict):
    """What is directly in a folder. `parent` is null at the top."""

    folder: str
    parent: str | None
    folders: list[Below]
    tracks: list[Track]
    total: int


class Status(TypedDict):
    """The number of tracks, and what the scan does. `scanned` is when the last one ended."""

    tracks: int
    scanning: bool
    found: int
    scanned: float | None
    problem: str | None
    music: str


class Library(JSONCommandProcessor, Service):
    """Answers commands from what scans have found."""

    name = "library"
    #: Seconds between two scans.
    interval = 60.0

    def __init__(self, places: Places, scanner: Scanner) -> None:
        super().__init__()
        self._places, self._scanner = places, scanner
        #: Scans that were asked for, and those of them that are done.
        self._wanted = self._done = 0
        self._scanned: float | None = None
        self._is_scanning = False
        self._wake, self._changed = Event(), Event()
        self._scans = ThreadPool(1)
        self._searches = ThreadPool(2)
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        super().start()
        self._greenlet = gevent.spawn(self._scan_again_and_again)

    def stop(self) -> None:
        self._scanner.is_stopped = True
        self._changed.set()
        if self._greenlet is not None:
            self._greenlet.kill()
        super().stop()

    def search(
        self,
        text: Annotated[str, Meta(max_length=200, description="Words; empty for all.")] = "",
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> Found:
        """Tracks with all of these words in title, artist, album or path."""
        tracks, total = self._in_thread(self._scanner.catalog.search, text, limit, offset)
        return {"tracks": tracks, "total": total}

    def browse(self, folder: Path = "", limit: Limit = 200, offset: Offset = 0) -> Contents:
        """What is in a folder; without `folder`, in the music folder itself."""
        found = self._in_thread(self._scanner.catalog.browse, folder.strip("/"), limit, offset)
        if found is None:
            raise CommandError(f"there is no folder {folder!r} in the library")
        return found

    def track(self, path: Path) -> Track:
        """One track."""
        found = self._scanner.catalog.find(path)
        if found is None:
            raise CommandError(f"there is no track {path!r} in the library")
        return found

    def random(self, limit: Limit = 10) -> Found:
        """Some tracks, chosen at random."""
        catalog = self._scanner.catalog
        return {"tracks": catalog.some(limit), "total": len(catalog.tracks)}

    def status(self) -> Status:
        """How many tracks there are, and whether a scan runs."""
        return {
            "tracks": len(self._scanner.catalog.tracks),
            "scanning": self._is_scanning,
            "found": self._scanner.seen,
            "scanned": self._scanned,
            "problem": self._scanner.problem,
            "music": self._places.music.name,
        }

    def scan(
        self, wait: Annotated[float, Meta(ge=0, le=50, description="Seconds to wait for it.")] = 0
    ) -> Status:
        """Scan the folder for changes."""
        self._wanted += 1
        mine, until = self._wanted, time.monotonic() + wait
        self._wake.set()
        while self._done < mine and not self._scanner.is_stopped:
            if not self._changed.wait(max(0, until - time.monotonic())):
                break
        return self.status()

    commands = {
        "search": search,
        "browse": browse,
        "track": track,
        "random": random,
        "status": status,
        "scan": scan,
    }
    read_cmds = ("search", "browse", "track", "random", "status")
    cmd_scopes = {"scan": ("add",)}

    def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in a native thread, so that the service can answer others meanwhile."""
        return self._searches.apply(function, args)

    def _scan_again_and_again(self) -> None:
        problem = None
        while True:
            self._wake.clear()
            answers, self._is_scanning = self._wanted, True
            try:
                self._scans.apply(self._scanner.scan)
            except Exception:
                log.exception("library: the scan has failed")
            self._is_scanning, self._scanned = False, time.time()
            self._done = answers
            changed, self._changed = self._changed, Event()
            changed.set()
            if self._scanner.problem not in (None, problem):
                log.warning("library: %s", self._scanner.problem)
            problem = self._scanner.problem
            self._wake.wait(self.interval)


if __name__ == "__main__":
    try:
        import tags

        places = Places()
    except ModuleNotFoundError:
        print("library: mutagen is not installed: pip install mutagen", file=sys.stderr)
        sys.exit(2)
    except ValueError as bad:
        print(f"library: {bad}", file=sys.stderr)
        sys.exit(2)
    Library(places, Scanner(places, tags.read)).serve_forever()
