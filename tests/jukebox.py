"""The jukebox of examples/jukebox as an application that runs, and music made for it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Site, wait_until
from test_fragments import block

EXAMPLE = ROOT / "examples" / "jukebox"

#: Options of mpv for machines without sound and screen.
SILENT = "--ao=null --vo=null"


def make_wav(file: Path, seconds: float) -> Path:
    """Silence of that length."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as opened:
        opened.setparams((1, 1, 8000, 0, "NONE", ""))
        opened.writeframes(b"\x80" * int(8000 * seconds))
    return file


def ffmpeg(folder: Path, *arguments: str) -> None:
    """Run ffmpeg in a folder. Skips the test where it is not installed."""
    found = pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")
    argv = [found.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def tag(**tags: str) -> list[str]:
    """Arguments of ffmpeg that give its next output these tags."""
    return [word for key, text in tags.items() for word in ("-metadata", f"{key}={text}")]


def type_from_page(beginning: str, url: str, token: str | None = None) -> Any:
    """Type the `shmz` line of a block of the tutorial, at this URL. Returns the answer."""
    text = block("docs/tutorials/jukebox.md", beginning).text
    (line,) = [each for each in text.splitlines() if each.startswith("shmz ")]
    argv = [sys.executable, "-m", "shmooze.shmz", *shlex.split(line)[1:]]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "SHMZ_ENDPOINT": f"{url}queue"}
    environ |= {} if token is None else {"SHMOOZE_TOKEN": token}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def needs_mpv() -> None:
    """Skip the test where mpv is not installed."""
    if shutil.which("mpv") is None:
        pytest.skip("mpv is not installed: apt install mpv")
    pytest.importorskip("mutagen", reason="mutagen is not installed")


class Jukebox:
    """The jukebox, run by `shmooze run` in a folder of its own. Its music is in `music`."""

    #: Services of the settings that are left out.
    left_out = ("guests",)

    def __init__(
        self, make: Callable[..., Site], music: Path, more: Mapping[str, Any] | None = None
    ) -> None:
        settings = json.loads((EXAMPLE / "settings.json").read_text())
        names = [name for name in settings.pop("ports") if name not in self.left_out]
        settings = {**settings, **(more or {})}
        for name in self.left_out:
            settings.pop(name, None)
        run = f'cd "$HERE" && exec {sys.executable} -m shmooze run'
        self.site = make(
            services=tuple(names),
            settings=settings,
            programs={"wsgi": ["sh", "-c", run]},
            environ={"JUKEBOX_MUSIC": str(music), "JUKEBOX_MPV": SILENT},
        )
        self.music = music
        for program in EXAMPLE.glob("*.py"):
            shutil.copy(program, self.site.folder)
        if (EXAMPLE / "page").is_dir():
            shutil.copytree(EXAMPLE / "page", self.site.folder / "page")
        (self.site.folder / "page").mkdir(exist_ok=True)

    def start(self) -> Jukebox:
        """Start it. Returns when all of its services listen."""
        self.site.start("wsgi")
        for name in self.site.ports:
            wait_until(lambda n=name: self.site.listens(n), f"{name} listens")
        self.site.wait_for_descriptions()
        return self

    def ask(self, service: str, command: str, /, **args: Any) -> Any:
        """The result of a command. Raises support.Refusal."""
        return self.site.ask(service, command, **args)

    def add(self, source: str, **args: Any) -> str:
        """Add a track. Returns its uid."""
        args = {"source": source, **args}
        uid: str = self.ask("queue", "add", type="track", args=args)["uid"]
        return uid

    def item(self, uid: str) -> dict[str, Any]:
        """An item of the queue with its parameters; {} if it has ended."""
        items = self.ask("queue", "queue", parameters=True)
        return next((each for each in items if each["uid"] == uid), {})

    def shown(self, uid: str, name: str) -> Any:
        """A parameter of an item; None if it is not set."""
        return self.item(uid).get("parameters", {}).get(name)

    def wait_for_restart(self, service: str) -> None:
        """Wait until a service that was killed answers again."""

        def answers() -> bool:
            try:
                self.ask(service, "describe")
            except OSError:  # a thread of the killed one may still hold the port
                return False
            return True

        wait_until(answers, f"{service} answers again")

    def wait_for(self, uid: str, name: str, value: Any) -> None:
        """Wait until an item has this parameter."""
        wait_until(lambda: self.shown(uid, name) == value, f"{name} is {value!r}")

    def wait_for_position(self, uid: str, least: float = 0.01) -> float:
        """The position of an item, as soon as it is that high."""
        position: float = wait_until(
            lambda: (found := self.shown(uid, "position") or 0) >= least and found,
            f"its position is {least}",
        )
        return position

    def end_of(self, uid: str) -> dict[str, Any]:
        """How an item has ended, as soon as it has."""
        end: dict[str, Any] = wait_until(
            lambda: next((each for each in self.ask("queue", "gone") if each["uid"] == uid), None),
            "it has ended",
        )
        return end

    def pids(self, word: str) -> list[int]:
        """Its processes with this word in their command line."""
        found = []
        for pid in self.site.survivors():
            try:
                argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it has just ended
            if word.encode() in (os.path.basename(each) for each in argv):
                found.append(pid)
        return found
