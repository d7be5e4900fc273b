"""The pages of the documentation, as the blocks of code that they show.

What a writer of a page has to know (tests/test_snippets.py runs every block from top to bottom):

- **A file** is a block behind a line that ends with its name and a colon, such as "`hello.py`:",
  or with "Save this as `hello.py`:", or behind a paragraph that says "save this as `hello.py`".
  The name stands in backquotes. The file is written into the folder of the page.
- **`sh`** and **`bash`**: commands, typed in that order in that folder. Each must end with status
  0. `shmooze`, `shmz`, `python`, `python3`, `pip` and `curl` are there. What serves (`shmooze run`,
  `python -m shmooze.queue`, a program that calls `serve_forever`) goes on in the background. `UID`
  is the uid of a living item, and `CLONE/` a clone of the repository. Commands that change the
  machine or load something (`pip install`, `sudo`, `apt-get`, `git clone`) are not executed; what
  they name must exist.
- **`json`**: settings, if it has the key `ports`, or if all its keys are keys of settings. A part
  of settings is put where it belongs, below `modules` if it is a type. A packet with `cmd` must be
  a command of queue or pool. Anything else is what the command before it has printed, in shape.
- **`python`**: a file, or a program that runs in that folder, beside the application of the page.
- **`js`**, **`ts`**, **`html`**, **`ini`**, **`yaml`**, **`toml`**, **`nginx`**, **`sql`**,
  **`dockerfile`**: must be valid.
- **`console`**: lines behind `$ ` are typed as well. What follows one is what it prints, with `…`
  for anything; uids, times and numbers may differ. A command whose output is an error may fail.
  Lines behind `# ` are for root, and are not executed.
- **`text`**, and blocks without a language, are output. They are not run.
- A page that starts no application of its own has the example application beside it, with the
  module types of tests/shown_types.py. Ports are replaced by free ones, in all blocks of a page.
- Pages at the top and in examples are read in a clone. `scripts/shmz` speaks to the example
  application of a clone, which is started for it. Other scripts must exist, and are not executed.
- Folders of the system, such as `/etc/myapp`, are made below the folder of the page.
- `<!-- not run: REASON -->` on the line before a block leaves it out. The reason is one of REASONS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support import ROOT

#: Why a block may be left out.
REASONS = (
    "needs another machine",
    "needs a GPU",
    "needs root",
    "needs a cluster",
    "needs the network",
    "destroys data",
    "takes minutes",
    "is from 1.2.4",
    "is not for Linux",
)
#: What is shown and not run.
OUTPUT = ("", "text")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)$")
_HEADING = re.compile(r"^(#+) (.+)$")
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
_FILE_BEFORE = re.compile(r"`(~?[\w./-]*\.\w+|[A-Z]\w+)`:$")
_FILE_IN_SENTENCE = re.compile(
    r"\b(?:[Ss]ave (?:this|it|these settings)|[Pp]ut this)(?: next to it)? (?:as|into) `([\w./-]+)`"
)


@dataclass(frozen=True)
class Block:
    """A block of code on a page."""

    page: str
    line: int
    language: str
    text: str
    heading: str
    #: The name of the file that it shows, if it shows one.
    file: str | None = None
    #: Why it is not run, if that is said.
    reason: str | None = None

    @property
    def place(self) -> str:
        """Where it is, for people: `docs/how-to/mcp.md:17`."""
        return f"{self.page}:{self.line}"

    @property
    def is_output(self) -> bool:
        """Whether nothing in it can be run."""
        if self.language == "console":
            return not re.search(r"^\$ ", self.text, re.MULTILINE)
        return self.language in OUTPUT and self.file is None


class Page:
    """A page of Markdown. `name` is its path in the repository."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text
        self.blocks = list(_blocks(name, text))

    def __repr__(self) -> str:
        return f"<Page {self.name}: {len(self.blocks)} blocks>"

    @classmethod
    def read(cls, name: str) -> Page:
        return cls(name, (ROOT / name).read_text(encoding="utf-8"))

    @property
    def files(self) -> dict[str, str]:
        """The text of each file that it shows, by name."""
        return {block.file: block.text for block in self.blocks if block.file is not None}

    def shown(self, language: str, heading: str | None = None) -> list[Block]:
        """Its blocks of this language, of one section or of all."""
        return [
            block
            for block in self.blocks
            if block.language == language and heading in (None, block.heading)
        ]


def all_pages() -> list[Page]:
    """Every page of the repository that has a block of code."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    names = sorted(str(path.relative_to(ROOT)) for path in found if "node_modules" not in str(path))
    return [page for page in map(Page.read, names) if page.blocks]


def _blocks(page: str, text: str) -> Iterator[Block]:
    heading, paragraph, comment = "", "", None
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if fence := _FENCE.match(line):
            indent, body = fence["indent"], []
            for _, inner in lines:
                if inner == f"{indent}```":
                    break
                body.append(inner.removeprefix(indent))
            else:
                raise ValueError(f"{page}:{number}: the block has no end")
            shown = "".join(f"{each}\n" for each in body)
            language = fence["language"]
            yield Block(
                page, number, language, shown, heading, _file_of(paragraph, language), comment
            )
            paragraph, comment = "", None
        elif found := _HEADING.match(line):
            heading, paragraph, comment = found[2], "", None
        elif found := _NOT_RUN.search(line):
            comment = found[1]
        elif line.strip():
            paragraph = f"{paragraph} {line.strip()}".strip() if paragraph[-1:] != "\n" else line
        elif paragraph[-1:] != "\n":
            paragraph += "\n"  # a blank line: what comes next begins another paragraph


def _file_of(paragraph: str, language: str) -> str | None:
    if language in ("text", "console"):
        return None
    paragraph = paragraph.strip()
    found = _FILE_BEFORE.search(paragraph) or (
        _FILE_IN_SENTENCE.search(paragraph) if language not in ("sh", "console") else None
    )
    return found[1] if found else None


def folder_of(page: Page) -> Path:
    """The folder of the repository in which a page is."""
    return (ROOT / page.name).parent
