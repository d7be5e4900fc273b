"""What is in the music folder at a moment: found by words, or by folder."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

#: Folders that one folder shows.
MOST_FOLDERS = 1000


class Track(msgspec.Struct, frozen=True):
    """A file of the music folder. `path` is relative to that, with "/" between."""

    path: str
    title: str
    artist: str
    album: str
    duration: float | None
    cover: str | None
    has_video: bool


class Folder:
    """A folder: what is directly in it, and the number of tracks in it and below."""

    def __init__(self) -> None:
        self.folders: set[str] = set()
        self.tracks: list[Track] = []
        self.count = 0


class Catalog:
    """All tracks, in the order of their paths. It does not change."""

    def __init__(self, tracks: Iterable[Track] = ()) -> None:
        self.tracks = sorted(tracks, key=lambda each: (plain(each.path), each.path))
        self._by_path = {each.path: each for each in self.tracks}
        self._texts = [
            plain(f"{each.title}\n{each.artist}\n{each.album}\n{each.path}") for each in self.tracks
        ]
        self._folders = {"": Folder()}
        for each in self.tracks:
            self._place(each)

    def find(self, path: str) -> Track | None:
        """The track of this path."""
        return self._by_path.get(path)

    def search(self, text: str, limit: int, offset: int) -> tuple[list[Track], int]:
        """Tracks in which all words of `text` occur, and the number of all of them."""
        words = plain(text).split()
        found = [
            track
            for track, known in zip(self.tracks, self._texts)
            if all(word in known for word in words)
        ]
        return found[offset : offset + limit], len(found)

    def browse(self, path: str, limit: int, offset: int) -> dict[str, Any] | None:
        """What is in a folder; None if there is none of this path."""
        folder = self._folders.get(path)
        if folder is None:
            return None
        below = sorted(folder.folders, key=plain) if offset == 0 else []
        return {
            "folder": path,
            "parent": path.rpartition("/")[0] if path else None,
            "folders": [
                {"name": each.rpartition("/")[2], "path": each, "tracks": self._folders[each].count}
                for each in below[:MOST_FOLDERS]
            ],
            "tracks": folder.tracks[offset : offset + limit],
            "total": len(folder.tracks),
        }

    def some(self, limit: int) -> list[Track]:
        """That many tracks at random."""
        return random.sample(self.tracks, min(limit, len(self.tracks)))

    @property
    def covers(self) -> Collection[str | None]:
        """The pictures that it uses."""
        return {each.cover for each in self.tracks}

    def _place(self, track: Track) -> None:
        path = track.path.rpartition("/")[0]
        self._folder(path).tracks.append(track)
        while True:
            self._folders[path].count += 1
            if not path:
                return
            path = path.rpartition("/")[0]

    def _folder(self, path: str) -> Folder:
        found = self._folders.get(path)
        if found is None:
            found = self._folders[path] = Folder()
            # Not by calling itself: there may be more folders in folders than calls in calls.
            while path:
                above, below = path.rpartition("/")[0], path
                is_known = above in self._folders
                self._folders.setdefault(above, Folder()).folders.add(below)
                if is_known:
                    break
                path = above
        return found


def plain(text: str) -> str:
    """Text without accents and in lower case, so that it is found however it is typed."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(each for each in decomposed if not unicodedata.combining(each))
