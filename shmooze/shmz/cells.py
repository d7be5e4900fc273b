"""Text in the cells of a terminal: width, clipping, tables."""

from __future__ import annotations

from unicodedata import category, east_asian_width

from shmooze.runtime.printable import printable


def align(grid: list[list[str]], columns: int) -> list[str]:
    grid = [[clip(printable(text), columns) for text in line] for line in grid]
    widths = [max(map(width, column)) for column in zip(*grid)]
    padded = ([text + " " * (w - width(text)) for text, w in zip(line, widths)] for line in grid)
    return [clip("  ".join(line).rstrip(), columns) for line in padded]


def width(text: str) -> int:
    """Return the number of terminal cells that the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if category(c) in ("Mn", "Me", "Cf") else 2 if east_asian_width(c) in "WF" else 1
        for c in text
    )


def clip(text: str, columns: int) -> str:
    if width(text) <= columns:
        return text
    text = text[:columns]
    while width(text) >= columns:
        text = text[:-1]
    return text + "…"
