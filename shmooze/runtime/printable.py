"""Making text from anywhere safe to show in a terminal, a log or an error message."""

from __future__ import annotations

import re

#: Characters that control a terminal, reorder or break a line, and surrogates. Everything else may
#: be shown, including formatting characters that scripts and emoji need, and new characters.
_UNSAFE = re.compile(
    "[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return the text in one line, with unsafe characters escaped, such as `\\x1b`."""
    return text if text.isprintable() else _UNSAFE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
