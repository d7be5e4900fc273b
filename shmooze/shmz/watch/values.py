"""Values of any size, as text of limited length."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

#: Characters of a value that are shown if there is no other limit.
MAX_LENGTH = 200


def truncate(value: Any, limit: int = MAX_LENGTH) -> str:
    """Format a value, which may be megabytes, as text or JSON of limited length."""
    pieces = [value] if isinstance(value, str) else encoder.iterencode(value)
    return join_limited(pieces, limit)


def format_pair(name: str, value: Any, limit: int = MAX_LENGTH) -> str:
    """Format key=value, with the value as JSON of limited length."""
    if isinstance(value, float):
        value = float(f"{value:.{6 if abs(value) < 1000 else 15}g}")
    if isinstance(value, str):
        value = value[: limit + 1]
    return f"{truncate(name, limit)}={join_limited(encoder.iterencode(value), limit)}"


encoder = json.JSONEncoder(ensure_ascii=False)


def join_limited(pieces: Iterable[str], limit: int) -> str:
    text = ""
    for piece in pieces:
        text += piece[: limit + 1]
        if len(text) > limit:
            return text[:limit] + "…"
    return text
