"""Descriptions as text in generated code, escaped so that none can break out of it."""

from __future__ import annotations

import textwrap

from shmooze.runtime.printable import printable

WIDTH = 88


def wrapped(text: str, indent: str) -> list[str]:
    """The words of a text as lines that fit, each printable."""
    words = " ".join(printable(line) for line in text.split())
    return textwrap.wrap(words, WIDTH - len(indent), break_long_words=False)


def paragraphs(texts: list[str], indent: str) -> list[str]:
    """Lines of several texts, with an empty line in between."""
    lines: list[str] = []
    for text in filter(None, texts):
        lines += ["", *wrapped(text, indent)] if lines else wrapped(text, indent)
    return lines


def docstring(lines: list[str], indent: str) -> list[str]:
    """Lines as a docstring of Python; none if there are none."""
    safe = [line.replace("\\", "\\\\").replace('"', '\\"') for line in lines]
    return _enclosed(safe, '"""', '"""', '"""', indent)


def comment(lines: list[str], indent: str) -> list[str]:
    """Lines as a comment of TSDoc; none if there are none."""
    safe = [line.replace("*/", "*\\/") for line in lines]
    if len(safe) > 1:
        return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in safe), f"{indent} */"]
    return _enclosed(safe, "/** ", " */", " */", indent)


def _enclosed(lines: list[str], begin: str, end: str, last: str, indent: str) -> list[str]:
    if not lines:
        return []
    if len(lines) == 1:
        return [f"{indent}{begin}{lines[0]}{end}"]
    shown = [f"{indent}{line}" if line else "" for line in lines[1:]]
    return [f"{indent}{begin}{lines[0]}", *shown, f"{indent}{last}"]
