"""Text from anywhere, made fit to be shown: in a terminal, a log, an error message."""

from __future__ import annotations

import re

#: What a terminal obeys, what reorders or breaks a line, and halves of letters. All else may be
#: shown, formatting characters that scripts and emoji need included, and letters newer than we.
_UNFIT = re.compile(
    "[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    """The text in one line, with an escape such as `\\x1b` for what is not fit to be shown."""
    return text if text.isprintable() else _UNFIT.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
