"""Clones of this repository that pages speak of, with other ports in their settings.

Standard library only: the commands of pages import it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def with_free_ports(file: Path, notes: Path) -> None:
    """Replace the ports in a settings file: the usual ones by those of the page."""
    text = file.read_text()
    ports = json.loads((notes / "ports.json").read_text())
    named = re.search(r'"ports": *\{([^}]*)\}', text)
    for usual in re.findall(r": *(\d+)", named[1]) if named else ():
        ports.setdefault(usual, str(free_port()))
    for usual, port in ports.items():
        text = re.sub(rf"\b{usual}\b", port, text)
    file.write_text(text)


def free_port() -> int:
    """A port of loopback that nobody has now, below those that the system takes for connections."""
    import random
    import socket

    while True:
        port = random.randrange(10_000, 30_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def clone(folder: Path) -> None:
    """What a clone has, of which only the examples may be written to."""
    import shutil  # here, since few commands need it

    folder.mkdir(parents=True)
    for entry in ROOT.iterdir():
        if entry.name == "examples":
            left_out = shutil.ignore_patterns("node_modules", ".venv", "__pycache__")
            shutil.copytree(entry, folder / entry.name, ignore=left_out)
        elif not entry.name.startswith("."):
            (folder / entry.name).symlink_to(entry)


def cloned(notes: Path) -> Path:
    """The clone beside the page. The usual ports in its examples are those of the page."""
    folder = notes.parent / "clone"
    if not folder.exists():
        clone(folder)
        for file in (folder / "examples").rglob("*.json"):
            with_free_ports(file, notes)
    return folder
