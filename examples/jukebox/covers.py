"""Pictures of albums, copied to where the gateway serves them.

The name of a picture is a hash of its content, so that the songs of an album share one, and a
browser that knows it need not fetch it again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection
from pathlib import Path

#: How files of pictures begin. Nothing else is served: an SVG could contain a script.
_BEGINNINGS = ((b"\xff\xd8\xff", "jpg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GIF8", "gif"))
#: Names of files that are kept here. Others in the folder are left alone.
_OURS = re.compile(r"[0-9a-f]{40}\.(jpg|png|gif|webp)")
#: Names of a picture that belongs to all songs in its folder, the best first, in lower case.
_NAMES = ("cover", "folder", "front", "album")
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif")


class Covers:
    """The pictures in the folder `folder`, of which pages know them as `covers/NAME`."""

    #: Bytes that a picture may have.
    largest = 4 << 20
    #: Bytes that all of them may have together.
    most = 512 << 20

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sizes: dict[str, int] = {}
        #: Why pictures cannot be kept; None if they can.
        self.problem: str | None = None

    def look(self) -> None:
        """Find out which pictures are there."""
        self.problem = None
        try:
            self._folder.mkdir(exist_ok=True)
            with os.scandir(self._folder) as found:
                ours = [each for each in found if _OURS.fullmatch(each.name)]
                self._sizes = {each.name: each.stat().st_size for each in ours}
        except OSError as bad:
            self._sizes = {}
            self.problem = f"covers cannot be kept in {self._folder}: {bad.strerror}"

    def has(self, cover: str | None) -> bool:
        """Whether a picture that was kept is still there; True if there was none."""
        return cover is None or cover.rpartition("/")[2] in self._sizes

    def keep(self, data: bytes | None) -> str | None:
        """Keep a picture. Returns what pages know it by; None if it cannot be used."""
        ending = _format(data) if data and len(data) <= self.largest else None
        if data is None or ending is None or self.problem is not None:
            return None
        name = f"{hashlib.sha1(data).hexdigest()}.{ending}"
        if name not in self._sizes:
            if sum(self._sizes.values()) + len(data) > self.most:
                self.problem = f"there are more covers than {self.most >> 20} MiB"
                return None
            try:
                fresh = self._folder / f".{name}"
                fresh.write_bytes(data)
                fresh.replace(self._folder / name)
            except OSError as bad:
                self.problem = f"covers cannot be kept in {self._folder}: {bad.strerror}"
                return None
            self._sizes[name] = len(data)
        return f"covers/{name}"

    def keep_file(self, file: Path) -> str | None:
        """The same with a file."""
        try:
            with file.open("rb") as opened:
                return self.keep(opened.read(self.largest + 1))
        except OSError:
            return None

    def forget_others(self, used: Collection[str | None]) -> None:
        """Remove the pictures that nothing uses any more."""
        for name in [each for each in self._sizes if f"covers/{each}" not in used]:
            del self._sizes[name]
            try:
                (self._folder / name).unlink()
            except OSError:
                pass  # it is tried again after the next scan


def picture_of_folder(names: Collection[str]) -> str | None:
    """The file among these names whose picture belongs to the whole folder."""
    known = {name.lower(): name for name in names}
    for stem in _NAMES:
        for ending in _ENDINGS:
            if name := known.get(stem + ending):
                return name
    return None


def _format(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((ending for start, ending in _BEGINNINGS if data.startswith(start)), None)
