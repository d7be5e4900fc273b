"""Error texts: whether they are written for users, or come from a language's own machinery."""

from __future__ import annotations

import re

#: What Python, JavaScript and shells say when a program makes a mistake.
_MACHINE_WORDS = re.compile(
    r"""
    Traceback | Exception\b | \b[A-Z]\w*Error\b | __\w+__
    | positional\ argument | keyword\ argument | missing\ \d+\ required
    | 'NoneType' | 'str'\ object | 'dict'\ object | object\ is\ not | not\ callable | unhashable
    | not\ supported\ between | unsupported\ operand | could\ not\ convert | invalid\ literal\ for
    | must\ be\ str,\ not | concatenate\ str | list\ indices | Expecting\ value
    | is\ not\ a\ function | is\ not\ defined | is\ not\ iterable | \bundefined\b
    | \[object\ Object\] | Cannot\ (?:read|set|destructure|convert|access) | Unexpected\ token
    | unbound\ variable | parameter\ not\ set | command\ not\ found | syntax\ error
    | \bline\ \d+: | (?:^|\n)\s*at\ .+:\d+:\d+ | panic: | segmentation\ fault | core\ dumped
    """,
    re.VERBOSE,
)


#: What the kits answer if the program has made a mistake, instead of the words above.
_INTERNAL = "internal error"


def hides_mistake(error: object) -> bool:
    """Whether the text of a failure packet hides a mistake of the program."""
    return isinstance(error, str) and _INTERNAL in error


def fault_of(error: object) -> str | None:
    """What is wrong with the text of a failure packet, or None."""
    if not isinstance(error, str):
        return f"`error` is not text: {error!r}"
    if not error.strip():
        return "`error` is empty"
    if len(error.splitlines()) > 1:
        return f"`error` has more than one line: {error!r}"
    if found := _MACHINE_WORDS.search(error):
        return f"{error!r}: {found[0].strip()!r} is not a word for users"
    return None
