"""The how-to pages as operators use them: their blocks, and the commands that they type."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support import PATIENCE, ROOT

#: Where the programs of this environment are.
BIN = Path(sys.executable).parent
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.M | re.S)
_FILE = re.compile(r"`([^`\n]+)`:\n\n```\w*\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit status, and what it has printed."""

    status: int
    text: str


class Guide:
    """One page of docs/how-to, with paths of the page replaced by those of a test."""

    def __init__(self, name: str, paths: Mapping[str, object] | None = None) -> None:
        self.name = name
        self._paths = dict(paths or {})
        self.text = self._replaced((ROOT / "docs" / "how-to" / f"{name}.md").read_text())

    @property
    def files(self) -> dict[str, str]:
        """The text of each file that the page shows, by its name."""
        return dict(_FILE.findall(self.text))

    def blocks(self, language: str, beginning: str = "") -> list[str]:
        """The blocks of a language that begin so, in order."""
        found = [
            re.sub(f"(?m)^{indent}", "", text)  # those in a list are indented
            for indent, name, text in _BLOCK.findall(self.text)
            if name == language
        ]
        return [text for text in found if text.startswith(beginning)]

    def block(self, language: str, beginning: str = "") -> str:
        """The one block of a language with this beginning."""
        (text,) = self.blocks(language, beginning)
        return text

    def commands(self, beginning: str = "", prompt: str = "$ ") -> list[str]:
        """The commands behind the prompts of all `console` blocks that begin so.

        The prompt is "# " for root.
        """
        lines = "".join(self.blocks("console")).replace("\\\n", " ").splitlines()
        commands = [line.removeprefix(prompt) for line in lines if line.startswith(prompt)]
        return [command for command in commands if command.startswith(beginning)]

    def _replaced(self, text: str) -> str:
        for path, ours in self._paths.items():
            text = text.replace(path, str(ours))
        return text


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
