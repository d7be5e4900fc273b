"""The tutorials in docs/tutorials: the files that they show, as applications that run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from snippets import Page
from support import ROOT, Site, is_listening, wait_until

#: Commands of ours, and the options of Python that run them.
_COMMANDS_OF_OURS = {"python3": "", "shmz": " -m shmooze.shmz", "shmooze": " -m shmooze"}
#: Examples whose folder has another name than their page.
_FOLDERS = {"lab-instrument": "lab", "model-server": "models"}


class Tutorial(Page):
    """One page, and its example in a folder of examples/."""

    def __init__(self, name: str) -> None:
        self.folder = ROOT / "examples" / _FOLDERS.get(name, name)
        page = f"docs/tutorials/{name}.md"
        super().__init__(page, (ROOT / page).read_text())
        #: The command lines that it shows, in order.
        self.lines = [line for block in self.shown("sh") for line in block.text.splitlines()]
        self.commands = [line for line in self.lines if line.startswith("shmz ")]
        self._copying = [line for line in self.lines if line.startswith("cp ")]

    def texts(self, language: str, words: str) -> list[str]:
        """The text of each block in a language that contains these words."""
        return [each.text for each in self.shown(language) if words in each.text]

    @property
    def copied(self) -> set[str]:
        """Names of the files and folders that it has copied from the clone."""
        words = [word for line in self._copying for word in line.split()]
        return {Path(word).name for word in words if word.startswith("CLONE/")}

    def start(self, make: Callable[..., Site], replaced: dict[str, str] | None = None) -> Site:
        """Do what the page says. Other than there are only the ports and what is `replaced`."""
        text = self.files["settings.json"]
        for old, new in (replaced or {}).items():
            assert old in text, f"the settings have no {old}"
            text = text.replace(old, new)
        settings = json.loads(text)
        services = tuple(settings.pop("ports"))
        (line,) = (line for line in self.lines if line.startswith("shmooze run"))
        programs = {"wsgi": ["sh", "-c", f'cd "$HERE" && exec {line}']}
        site = make(settings=settings, services=services, programs=programs)
        for name, text in self.files.items():
            if name != "settings.json":
                (site.folder / name).write_text(text)
        path = os.pathsep.join([str(self._pythons(site)), os.environ["PATH"]])
        site.environ |= {"PATH": path, "SHMZ_ENDPOINT": f"{site.url}queue"}
        for line in self._copying:
            run(site, line.replace("CLONE", str(ROOT)))
        site.start("wsgi")
        for name in services[1:]:
            wait_until(lambda n=name: is_listening(site.ports[n]), f"{name} listens")
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
