"""The examples in folders of their own: each has a settings.json, which says what it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import wave
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from support import ROOT, Site

HERE = ROOT / "examples"
#: Folders that are not part of the examples.
_FOREIGN = {"node_modules", ".venv", "__pycache__"}
#: What examples need that is not Python's or the system's own: programs, and packages of Python.
NEEDS = {"jukebox": ("mpv", "mutagen"), "terminal": ("websockets",)}
#: Arguments with which modules work, where those from their description would name nothing.
ARGS: dict[str, dict[str, Any]] = {
    f"jukebox: {name}": {"source": "silence.wav"} for name in ("track", "radio")
}
#: Adapters whose programs know nothing of the protocol.
_FOR_ANY_PROGRAM = ("command", "mcp")


class Type(NamedTuple):
    """One module type of an example."""

    example: str
    service: str
    name: str
    keys: dict[str, Any]

    @property
    def speaks_the_protocol(self) -> bool:
        return self.keys.get("adapter") not in _FOR_ANY_PROGRAM

    def __str__(self) -> str:
        return f"{self.example}: {self.name}"


def names() -> list[str]:
    """The examples, by their folders; that in the folder `examples` itself is `.`."""
    files = [file for file in HERE.rglob("settings.json") if not _FOREIGN & set(file.parts)]
    return sorted(str(file.parent.relative_to(HERE)) for file in files)


def settings_of(name: str) -> dict[str, Any]:
    return json.loads((HERE / name / "settings.json").read_text())


def types() -> Iterator[Type]:
    """All module types of all examples."""
    for name in names():
        settings = settings_of(name)
        for service in settings["ports"]:
            section = settings.get(service, {})
            for kind in ("modules", "backgrounds"):
                for each, keys in section.get(kind, {}).items():
                    yield Type(name, service, each, keys)


def missing(name: str) -> list[str]:
    """What an example needs that is not there."""
    return [each for each in NEEDS.get(name, ()) if not (shutil.which(each) or find_spec(each))]


def copy(name: str, folder: Path) -> None:
    """Copy the files of an example, as a user would; those that its Dockerfile copies as well."""
    ignored = shutil.ignore_patterns(*_FOREIGN, "*.db*", "*.log", "logs", "reports")
    shutil.copytree(HERE / name, folder, ignore=ignored, dirs_exist_ok=True)
    dockerfile = HERE / name / "Dockerfile"
    if dockerfile.exists():
        for source in re.findall(r"examples/modules/\w+\.py", dockerfile.read_text()):
            shutil.copy(ROOT / source, folder)


def environment(name: str, folder: Path) -> dict[str, str]:
    """Make in the folder of an example what it is to play; the variables that lead there."""
    if name != "jukebox":
        return {}
    music = folder / "music"
    music.mkdir()
    with wave.open(str(music / "silence.wav"), "wb") as file:
        file.setparams((1, 1, 8000, 0, "NONE", ""))
        file.writeframes(b"\x80" * 8000 * 600)
    return {"JUKEBOX_MUSIC": str(music), "JUKEBOX_MPV": "--ao=null --vo=null"}


def make(name: str, make_site: Callable[..., Site]) -> Site:
    """An example that `shmooze run` is going to run, on free ports and with its state here."""
    settings = settings_of(name)
    services = tuple(settings.pop("ports"))
    if "state_path" in settings:
        settings["state_path"] = "$HERE/state.db"
    run = f'cd "$HERE" && exec {sys.executable} -m shmooze run'
    site = make_site(settings=settings, services=services, programs={"wsgi": ["sh", "-c", run]})
    text = site.settings_file.read_text()
    copy(name, site.folder)
    site.settings_file.write_text(text)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    site.environ |= {"PATH": path, **environment(name, site.folder)}
    return site
