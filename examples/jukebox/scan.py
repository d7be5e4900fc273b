"""Scans of the music folder, which read only the files that have changed.

A scan runs in a native thread, and shares nothing with the service but the attributes of
`Scanner`, each of which it replaces as a whole.

Symbolic links and hidden files are left out, and so are names that are not UTF-8.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from catalog import Catalog, Track
from covers import Covers, picture_of_folder
from places import ENDINGS, VIDEO, Places

if TYPE_CHECKING:
    from tags import Tags

#: The time of the last change and the size of a file: if both are the same, so is the file.
Stamp = tuple[int, int]


class Known(msgspec.Struct):
    """What the index file holds."""

    music: str = ""
    #: The stamp of each file and the picture that is in it, beside what clients see.
    tracks: list[tuple[Stamp, str | None, Track]] = []
    #: The pictures of folders, by path: the stamp of the file, and what it was kept as.
    pictures: dict[str, tuple[Stamp, str | None]] = {}


class Scanner:
    """Scans the music folder, and remembers what it has found."""

    #: Files that are read at most.
    most = 100_000
    #: Files that have changed after which the catalog is renewed during a scan.
    portion = 500

    def __init__(self, places: Places, read: Callable[[Path], Tags]) -> None:
        self._places, self._read = places, read
        self._covers = Covers(places.covers)
        self._known = self._load()
        #: What has been found so far.
        self.catalog = Catalog(track for _, _, track in self._known.tracks)
        #: Files that the scan has seen so far.
        self.seen = 0
        #: What is wrong, in a line; None if all is well.
        self.problem: str | None = None
        #: Set this to end a scan early.
        self.is_stopped = False

    def scan(self) -> None:
        """Scan the folder. Never raises for files or folders that cannot be read."""
        self.seen = 0
        if not self._places.music.is_dir():
            self.problem = f"there is no folder {self._places.music}: set `app.music`"
            return
        self._covers.look()
        old = {track.path: (stamp, own, track) for stamp, own, track in self._known.tracks}
        fresh = Known(str(self._places.music))
        changed = 0
        problem = None
        for file, path, stamp, picture in self._files(fresh):
            if self.is_stopped:
                return
            if self.seen >= self.most:
                problem = f"there are more than {self.most} files; the others are left out"
                break
            before = old.get(path)
            entry = self._entry(file, path, stamp, picture, before)
            fresh.tracks.append(entry)
            self.seen += 1
            if entry != before:
                changed += 1
                if changed % self.portion == 0:
                    known = {**old, **{each[2].path: each for each in fresh.tracks}}
                    self.catalog = Catalog(track for _, _, track in known.values())
        if changed or len(fresh.tracks) != len(old) or fresh.pictures != self._known.pictures:
            self._known = fresh
            self.catalog = Catalog(track for _, _, track in fresh.tracks)
            problem = self._save() or problem
        self._covers.forget_others(self.catalog.covers)
        self.problem = problem or self._covers.problem

    def _entry(
        self,
        file: Path,
        path: str,
        stamp: Stamp,
        picture: str | None,
        before: tuple[Stamp, str | None, Track] | None,
    ) -> tuple[Stamp, str | None, Track]:
        """What is known of a file, which is read if it has changed."""
        if before is not None and before[0] == stamp and self._covers.has(before[1]):
            _, own, track = before
            return stamp, own, msgspec.structs.replace(track, cover=own or picture)
        tags = self._read(file)
        own = self._covers.keep(tags.picture)
        return (
            stamp,
            own,
            Track(
                path,
                tags.title or file.stem,
                tags.artist,
                tags.album,
                tags.duration,
                own or picture,
                file.suffix.lower() in VIDEO,
            ),
        )

    def _files(self, fresh: Known) -> Iterator[tuple[Path, str, Stamp, str | None]]:
        """All files that can be played, each with its path, stamp and its folder's picture."""
        folders = [""]
        while folders:
            folder = folders.pop()
            found = self._look_into(folder)
            picture = self._picture(folder, found, fresh)
            for name, entry in sorted(found.items()):
                path = f"{folder}/{name}" if folder else name
                try:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path)
                    elif Path(name).suffix.lower() in ENDINGS:
                        yield Path(entry.path), path, _stamp(entry), picture
                except OSError:
                    pass  # it has just vanished

    def _look_into(self, folder: str) -> dict[str, os.DirEntry[str]]:
        try:
            with os.scandir(self._places.music / folder) as entries:
                return {each.name: each for each in entries if _is_wanted(each)}
        except OSError:
            return {}  # it has just vanished, or others may not read it

    def _picture(self, folder: str, found: dict[str, os.DirEntry[str]], fresh: Known) -> str | None:
        """What the picture in a folder is kept as; None if there is none."""
        name = picture_of_folder(found)
        if name is None:
            return None
        path = f"{folder}/{name}" if folder else name
        try:
            stamp = _stamp(found[name])
        except OSError:
            return None
        before = self._known.pictures.get(path)
        if before is None or before[0] != stamp or not self._covers.has(before[1]):
            before = stamp, self._covers.keep_file(Path(found[name].path))
        fresh.pictures[path] = before
        return before[1]

    def _load(self) -> Known:
        try:
            known = msgspec.json.decode(self._places.index.read_bytes(), type=Known)
        except (OSError, ValueError, RecursionError):  # there is none, or it is damaged
            return Known()
        return known if known.music == str(self._places.music) else Known()

    def _save(self) -> str | None:
        """Write the index. Returns what is wrong if that fails."""
        file = self._places.index
        try:
            fresh = file.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(self._known))
            fresh.replace(file)
        except OSError as bad:
            return f"cannot write {file}: {bad.strerror}"
        return None


def _is_wanted(entry: os.DirEntry[str]) -> bool:
    """Whether a file or folder is neither hidden nor a link, and has a name that JSON can hold."""
    if entry.name.startswith("."):
        return False
    try:
        entry.name.encode()
        return entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
    except (UnicodeEncodeError, OSError):
        return False


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    found = entry.stat(follow_symlinks=False)
    return found.st_mtime_ns, found.st_size
