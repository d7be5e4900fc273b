"""What the file of a song or a video says about itself, read with mutagen."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, NamedTuple

import mutagen
import mutagen.flac

#: Names of the tags in ID3, MP4, Vorbis comments and APE (which ignore case), and ASF.
_TITLE = ("TIT2", "\xa9nam", "title")
_ARTIST = ("TPE1", "\xa9ART", "artist", "Author")
_ALBUM = ("TALB", "\xa9alb", "album", "WM/AlbumTitle")
#: Characters of a text that is kept.
_LONGEST = 300


class Tags(NamedTuple):
    """What is known of a file. `duration` is in seconds, `picture` a whole file of any format."""

    title: str = ""
    artist: str = ""
    album: str = ""
    duration: float | None = None
    picture: bytes | None = None


def read(file: Path) -> Tags:
    """The tags of a file. What cannot be read is missing; never raises."""
    try:
        found = mutagen.File(file)
        if found is None:  # mutagen does not know the format, such as Matroska
            return Tags()
        length = getattr(found.info, "length", None)
        return Tags(
            *(_text(found.tags, names) for names in (_TITLE, _ARTIST, _ALBUM)),
            round(float(length), 3) if length and length > 0 else None,
            _picture(found),
        )
    except Exception:  # files come from anywhere, and damaged ones raise whatever they like
        return Tags()


def _text(tags: Any, names: tuple[str, ...]) -> str:
    """The first of these tags that is there, as one line."""
    for name in names:
        value = _get(tags, name)
        if not value:
            continue
        value = getattr(value, "text", value)  # a frame of ID3
        several = value if isinstance(value, list) else [value]
        lines = [" ".join(str(each).split()) for each in several]
        text = ", ".join(dict.fromkeys(filter(None, lines)))
        if text:
            return text.replace("\0", ", ")[:_LONGEST].encode(errors="replace").decode()
    return ""


def _get(tags: Any, name: str) -> Any:
    try:
        return tags.get(name) if tags is not None else None
    except ValueError:  # Vorbis comments do not accept each name
        return None


def _picture(found: Any) -> bytes | None:
    """The first picture in the file."""
    for picture in getattr(found, "pictures", ()):  # FLAC
        return picture.data
    tags = found.tags
    if tags is None:
        return None
    if hasattr(tags, "getall"):  # ID3
        for frame in tags.getall("APIC"):
            return frame.data
        return None
    for cover in _get(tags, "covr") or ():  # MP4
        return bytes(cover)
    for text in _get(tags, "metadata_block_picture") or ():  # Ogg
        return mutagen.flac.Picture(base64.b64decode(text)).data
    return None
