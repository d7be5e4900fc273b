"""The how-to pages as operators use them: their blocks, and the commands that they type."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from snippets import Page
from support import PATIENCE, ROOT, Site

from shmooze.modules.module import Module
from shmooze.processes.local_process import LocalProcess

#: The modules of the examples.
MODULES = ROOT / "examples" / "modules"
#: Seconds that a stop may take, with the default timeouts of modules.
SLOWEST_STOP = Module.natural_death_timeout + Module.sigterm_timeout + LocalProcess.survivor_timeout
#: Where the programs of this environment are.
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit status, and what it has printed."""

    status: int
    text: str


class Guide(Page):
    """One page of docs/how-to, with paths of the page replaced by those of a test."""

    def __init__(self, name: str, paths: Mapping[str, object] | None = None) -> None:
        page = f"docs/how-to/{name}.md"
        text = (ROOT / page).read_text()
        for path, ours in (paths or {}).items():
            text = text.replace(path, str(ours))
        super().__init__(page, text)

    def texts(self, language: str, beginning: str = "") -> list[str]:
        """The blocks of a language that begin so, in order."""
        return [each.text for each in self.shown(language) if each.text.startswith(beginning)]

    def block(self, language: str, beginning: str = "") -> str:
        """The one block of a language with this beginning."""
        (text,) = self.texts(language, beginning)
        return text

    def commands(self, beginning: str = "", prompt: str = "$ ") -> list[str]:
        """The commands behind the prompts of all `console` blocks that begin so.

        The prompt is "# " for root.
        """
        lines = "".join(self.texts("console")).replace("\\\n", " ").splitlines()
        commands = [line.removeprefix(prompt) for line in lines if line.startswith(prompt)]
        return [command for command in commands if command.startswith(beginning)]


def type_command(command: str, folder: Path, environ: Mapping[str, str]) -> Done:
    """Run one line of a shell in `folder`, with the programs of this environment."""
    path = f"{BIN}:{ROOT / 'scripts'}:{environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE * 2,
    )
    return Done(done.returncode, done.stdout)


def placed(guide: Guide, path: str) -> Path:
    """Write a file of the page to its place, which must be below the folder of the test."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(guide.files[path])
    return file


def paths_below(site: Site) -> dict[str, object]:
    """Where the files of the pages are in a test, and which ports they have."""
    folder = site.folder
    return {
        "/opt/myapp/venv/bin": BIN,
        **{path: folder / path[1:] for path in ("/opt/myapp", "/etc/myapp")},
        **{path: folder / path[1:] for path in ("/run/myapp", "/var/lib/myapp", "/var/log/myapp")},
        '"wsgi": 8080': f'"wsgi": {site.ports["wsgi"]}',
        '"queue": 5580': f'"queue": {site.ports["queue"]}',
        "user=myapp": f"user={getpass.getuser()}",
    }


def install(site: Site) -> None:
    """Make the folders of the page, and put the module of its settings there."""
    for each in ("opt/myapp", "run/myapp", "var/lib/myapp", "var/log/myapp"):
        (site.folder / each).mkdir(parents=True)
    shutil.copy(MODULES / "countdown.py", site.folder / "opt/myapp")
