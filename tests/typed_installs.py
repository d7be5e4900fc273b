"""What installs something, as pages type it: checked, and not executed. Standard library only."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import sys
from pathlib import Path
from typing import NoReturn

from clones import ROOT, clone
from page_notes import NOTES, fail, note


def tokens_file() -> Path:
    """The token file that the settings name, or else one that they could name."""
    with contextlib.suppress(KeyError, OSError, ValueError):
        if named := json.loads(Path(os.environ["SHMOOZE_SETTINGS"]).read_text()).get("tokens_path"):
            return Path(named)
    return NOTES / "tokens.json"


def venv(folder: Path) -> NoReturn:
    """A virtual environment that has what this one has."""
    (folder / "bin").mkdir(parents=True)
    for command in (NOTES / "bin").iterdir():
        (folder / "bin" / command.name).symlink_to(command)
    (folder / "bin" / "activate").write_text(f'PATH="{folder.resolve()}/bin:$PATH"\n')
    note("python3 -m venv", str(folder))
    sys.exit(0)


def pip(words: list[str]) -> NoReturn:
    """Check that what is to be installed is there, or is known to setup.py."""
    note("pip", *words)
    if words[:1] not in (["install"], ["wheel"], ["download"]):
        sys.exit(0)
    setup = (ROOT / "setup.py").read_text()
    options_with_value = ("--find-links", "-r", "-w", "-c", "--wheel-dir")
    for before, word in itertools.pairwise(words):
        if word.startswith("-") or before in options_with_value:
            continue
        name, extra = re.match(r"([^\[=<>~!]*)(?:\[([\w,-]+)\])?", word).groups()  # type: ignore[union-attr]
        if "/" in name or name.strip(".") == "":
            if name != "." and not (Path(name) / "setup.py").exists() and not name.endswith(".whl"):
                fail(f"there is no package in {name}")
        elif name != "shmooze" and not re.search(rf'"{re.escape(name)}[\[">]', setup):
            fail(f"{name} is not in setup.py, so nobody tests that")
        for each in filter(None, (extra or "").split(",")):
            if (name == "shmooze" or "/" in name or name == ".") and f'"{each}":' not in setup:
                fail(f"there is no extra {each}")
    sys.exit(0)


def git(words: list[str]) -> NoReturn:
    """`git clone` makes a clone of what is here; nothing else is executed."""
    note("git", *words)
    if words[:1] == ["clone"]:
        where = [word for word in words[1:] if not word.startswith("-")]
        clone(
            Path(where[1] if len(where) > 1 else where[0].rpartition("/")[2].removesuffix(".git"))
        )
    sys.exit(0)
