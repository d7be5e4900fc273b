"""What mpv says about what it plays, in the words of the jukebox.

Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

#: Properties of mpv that are followed. `time-pos` comes several times a second.
OBSERVED = (
    *("time-pos", "duration", "seekable", "media-title", "metadata", "track-list"),
    *("file-size", "volume", "mute", "idle-active"),
)
#: Better words for what mpv says.
_BETTER = {"audio output initialization failed": "it finds no sound device"}
#: Characters of a text that is shown.
_LONGEST = 300
#: What mpv puts before lines of its output.
_PREFIX = re.compile(r"^(\[[\w/.]+\] |(https?|tcp|tls|file): )+")
#: Lines that follow a better one.
_REPEATED = re.compile(r"^(Failed to (open|recognize)|Use the --|Opening failed)")


def is_live(facts: Mapping[str, Any]) -> bool:
    """Whether it has no end, such as a radio station. mpv guesses a duration all the same."""
    return facts.get("seekable") is False and facts.get("file-size") is None


def describe(facts: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """The parameters that follow from the properties of mpv; None for those that are unknown.

    `given` has the title, artist and album that it was added with. They precede those of the file.
    """
    tags = {key.lower(): text for key, text in (facts.get("metadata") or {}).items()}
    tracks, volume = facts.get("track-list"), facts.get("volume")
    title = given["title"] or tags.get("title") or facts.get("media-title")
    artist = given["artist"] or tags.get("artist")
    album = given["album"] or tags.get("album")
    if playing_now := tags.get("icy-title"):  # a station tells what it plays
        album = given["title"] or tags.get("icy-name") or album
        title = playing_now
    return {
        "title": _text(title),
        "artist": _text(artist),
        "album": _text(album),
        "duration": None if is_live(facts) else facts.get("duration"),
        "seekable": facts.get("seekable"),
        "has_video": any(map(_moves, tracks)) if tracks else None,
        "volume": None if volume is None else round(volume),
        "muted": facts.get("mute"),
    }


def explain(end: Mapping[str, Any], lines: Iterable[str]) -> str:
    """Why mpv has not played something, from its event `end-file` and its lines of output."""
    said = [_PREFIX.sub("", line) for line in lines]
    useful = [line for line in said if line and not _REPEATED.match(line)]
    error = end.get("file_error") or "unknown error"
    return useful[-1] if useful and error == "loading failed" else _BETTER.get(error, error)


def _moves(track: Mapping[str, Any]) -> bool:
    """Whether a track of a file is moving pictures, and not a cover."""
    is_picture = track.get("image") or track.get("albumart")
    return track.get("type") == "video" and not is_picture


def _text(value: Any) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) and value else None
