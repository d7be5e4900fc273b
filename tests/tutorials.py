"""The tutorials in docs/tutorials: the files that they show, as applications that run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

from support import ROOT, Site, is_listening, wait_until

#: What a page shows as the text of a file.
_FILE = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Commands of ours, and the options of Python that run them.
_COMMANDS_OF_OURS = {"python3": "", "shmz": " -m shmooze.shmz", "shmooze": " -m shmooze"}
_COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Tutorial:
    """One page, whose example is in the folder of the same name in examples/."""

    def __init__(self, name: str) -> None:
        self.folder = ROOT / "examples" / name
        self.text = (ROOT / "docs" / "tutorials" / f"{name}.md").read_text()
        #: The files that it shows, by name.
        self.files: dict[str, str] = dict(_FILE.findall(self.text))
        blocks = _COMMANDS.findall(self.text)
        #: The command lines that it shows, in order.
        self.lines = [line for block in blocks for line in block.splitlines()]
        self.commands = [line for line in self.lines if line.startswith("shmz ")]

    def start(self, make: Callable[..., Site]) -> Site:
        """Do what the page says. Only the ports are others."""
        settings = json.loads(self.files["settings.json"])
        services = tuple(settings.pop("ports"))
        (line,) = (line for line in self.lines if line.startswith("shmooze run"))
        programs = {"wsgi": ["sh", "-c", f'cd "$HERE" && exec {line}']}
        site = make(settings=settings, services=services, programs=programs)
        for name, text in self.files.items():
            if name != "settings.json":
                (site.folder / name).write_text(text)
        (site.folder / "page").mkdir()
        for line in self.lines:
            if line.startswith("cp CLONE/"):
                source, goal = line.split()[1:]
                shutil.copy(ROOT / source.removeprefix("CLONE/"), site.folder / goal)
        path = os.pathsep.join([str(self._pythons(site)), os.environ["PATH"]])
        site.environ |= {"PATH": path, "SHMZ_ENDPOINT": f"{site.url}queue"}
        site.start("wsgi")
        wait_until(lambda: is_listening(site.ports[services[1]]), f"{services[1]} listens")
        return site

    def _pythons(self, site: Site) -> str:
        """A folder in which `python3` is this Python, and our commands are ours."""
        folder = site.folder / "bin"
        folder.mkdir()
        for name, words in _COMMANDS_OF_OURS.items():
            (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable}{words} "$@"\n')
            (folder / name).chmod(0o755)
        return str(folder)


def run(site: Site, line: str) -> str:
    """Run a command line in the folder of an application, and return what it prints."""
    done = subprocess.run(
        ["sh", "-c", line], cwd=site.folder, env=site.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout
