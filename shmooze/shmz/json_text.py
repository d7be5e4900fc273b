"""JSON that is read: from standard input, from a value on the command line, from an answer."""

from __future__ import annotations

import json
import math
from typing import Any

from shmooze.shmz.ending import Status, Stop


def read_input() -> tuple[Any, bytes]:
    """Read JSON from standard input. Returns its value, and the bytes to send."""
    try:
        with open(0, "rb", closefd=False) as stdin:
            body = stdin.read()
        body = body.removeprefix(b"\xef\xbb\xbf")  # a byte order mark is not JSON
        return from_json(body.decode()), body
    except (OSError, ValueError) as error:
        raise Stop(Status.MISUSED, f"standard input is not JSON: {error}") from error


def from_json(text: str | bytes) -> Any:
    """Parse JSON. Raises ValueError, also for extensions of Python such as NaN."""

    def finite(number: str) -> float:
        if math.isfinite(value := float(number)):
            return value
        raise ValueError(f"{number} is not a number")

    try:
        return json.loads(text, parse_float=finite, parse_constant=finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
