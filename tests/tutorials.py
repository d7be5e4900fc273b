"""The tutorials in docs/tutorials: the files that they show, as applications that run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

from support import ROOT, Site

from shmooze.settings import packaged_static_path

#: What a page shows as the text of a file.
_FILE = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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
        here = 'cd "$HERE" && exec '
        lines = [line for line in self.lines if line.startswith("SHMOOZE_SETTINGS=")]
        starts = {"wsgi": lines[-1], services[1]: lines[0]}
        programs = {
            name: ["sh", "-c", here + line.partition(" ")[2]] for name, line in starts.items()
        }
        site = make(settings=settings, services=services, programs=programs)
        for name, text in self.files.items():
            if name != "settings.json":
                (site.folder / name).write_text(text)
        shutil.copytree(packaged_static_path(), site.folder / "page")
        for line in self.lines:
            if line.startswith("cp CLONE/"):
                source, goal = line.split()[1:]
                shutil.copy(ROOT / source.removeprefix("CLONE/"), site.folder / goal)
        path = os.pathsep.join([str(self._pythons(site)), os.environ["PATH"]])
        site.environ |= {"PATH": path, "SHMZ_ENDPOINT": f"{site.url}queue"}
        return site.start()

    def _pythons(self, site: Site) -> str:
        """A folder in which `python3` is this Python, and `shmz` is ours."""
        folder = site.folder / "bin"
        folder.mkdir()
        for name, words in (("python3", ""), ("shmz", " -m shmooze.shmz")):
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
