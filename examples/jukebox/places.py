"""Where the music, the options of mpv and the files of the jukebox are.

All programs of the jukebox read that here: from the settings file, and from two environment
variables, which take precedence:

- JUKEBOX_MUSIC: the folder of the music, as `app.music` in the settings
- JUKEBOX_MPV: more options for mpv, such as "--ao=null --vo=null" on a machine without sound

Standard library only and light, since each track imports it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent

_SOUND = "aac aif aiff ape flac m4a m4b mka mp2 mp3 mpc oga ogg opus wav wma wv"
_VIDEO = "avi flv m4v mkv mov mp4 mpeg mpg ogv ts webm wmv"
#: Endings of the files that are played. Playlists are not among them: they could name any file.
SOUND = frozenset(f".{each}" for each in _SOUND.split())
VIDEO = frozenset(f".{each}" for each in _VIDEO.split())
ENDINGS = SOUND | VIDEO
_SCHEME = re.compile(r"[a-z][\w+.-]*://", re.ASCII | re.IGNORECASE)


def is_of_web(source: str) -> bool:
    """Whether this is an address of the web."""
    return source.lower().startswith(("http://", "https://"))


class Places:
    """What the settings and the environment say. Raises ValueError if it cannot be used."""

    def __init__(self) -> None:
        named = os.environ.get("SHMOOZE_SETTINGS")
        file = Path(named).absolute() if named else HERE / "settings.json"
        #: The folder of the settings file, in which the jukebox keeps its own files.
        self.folder = file.parent
        try:
            settings = json.loads(file.read_text(encoding="utf-8-sig"))
            own = settings.get("app", {})
            music, options = own.get("music", "~/Music"), own.get("mpv", [])
            static = settings.get("static_path", "page")
        except (OSError, ValueError, AttributeError) as bad:
            raise ValueError(f"cannot read the settings file {file}: {bad}") from bad
        if not isinstance(music, str) or not music:
            raise ValueError("`app.music` in the settings must be the path of a folder")
        if not isinstance(options, list) or not all(isinstance(each, str) for each in options):
            raise ValueError("`app.mpv` in the settings must be a list of options of mpv")
        if not isinstance(static, str):
            raise ValueError("`static_path` in the settings must be the path of a folder")
        #: The folder of the music.
        self.music = self._path(os.environ.get("JUKEBOX_MUSIC") or music)
        #: Options for mpv, after those that the jukebox gives it.
        self.mpv = [*options, *shlex.split(os.environ.get("JUKEBOX_MPV", ""))]
        #: Pictures of albums, where the gateway serves them as `covers/NAME`.
        self.covers = self._path(static) / "covers"

    @property
    def volume(self) -> Path:
        """The file in which the volume is kept."""
        return self.folder / "volume.json"

    @property
    def volume_socket(self) -> str:
        """The socket that tells of the volume. A short path: the system allows 107 bytes."""
        path = str(self.folder / "volume.sock")
        return min(path, os.path.relpath(path), key=len)

    @property
    def index(self) -> Path:
        """The file in which the library keeps what it knows."""
        return self.folder / "library.json"

    def locate(self, source: str) -> str:
        """What a player is to open: the address `source`, or the file of the music folder.

        Raises ValueError for an address of another kind than http and https, and see `find`.
        """
        if not _SCHEME.match(source):
            return str(self.find(source))
        if not is_of_web(source):
            scheme, _, _ = source.partition("://")
            raise ValueError(f"an address must begin with http:// or https://, not {scheme}://")
        if not urlsplit(source).hostname or any(each.isspace() or each < " " for each in source):
            raise ValueError(f"{source!r} is not an address of the web")
        return source

    def find(self, source: str) -> Path:
        """The file that `source` names, a path relative to the music folder.

        Raises ValueError if it is outside of that folder, by a symbolic link too, or not there, or
        not of a kind that is played.
        """
        if "\0" in source or os.path.isabs(source) or ".." in source.split("/"):
            raise ValueError(f"{source!r} is not a path in the music folder")
        root = self.music.resolve()
        file = (root / source).resolve()
        if not root.is_dir():
            raise ValueError(f"there is no folder {self.music}: set `app.music` in the settings")
        if not file.is_relative_to(root):
            raise ValueError(f"{source!r} leads out of the music folder")
        if not file.is_file():
            raise ValueError(f"there is no file {source!r} in the music folder")
        if file.suffix.lower() not in ENDINGS:
            raise ValueError(f"{source!r} is neither music nor a video")
        return file

    def _path(self, text: str) -> Path:
        return self.folder / os.path.expandvars(os.path.expanduser(text))
