"""Where the commands of a page note what they have done. Standard library only."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

#: Where logs and notes of the page are, and the folder of its commands.
NOTES = Path(os.environ.get("PAGE_NOTES", "."))


def note(*words: str) -> None:
    """Write down that a command was not executed."""
    with (NOTES / "not-executed").open("a") as file:
        file.write(" ".join(words) + "\n")


def fail(problem: str) -> NoReturn:
    sys.exit(f"{' '.join(sys.argv[1:])}: {problem}")
