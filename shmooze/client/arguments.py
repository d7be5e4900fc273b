"""The arguments of a command, in the forms that callers of the client may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shmooze.client.errors import InvalidArgument

Arguments = Mapping[str, Any] | None


def either(cmd: str, args: Arguments, keywords: dict[str, Any]) -> dict[str, Any]:
    """Arguments that are given as a dict or as keywords. Raises InvalidArgument for both."""
    if args is None:
        return keywords
    if keywords:
        raise InvalidArgument(f"{cmd}: give its arguments as a dict or as keywords, not both")
    return dict(args)
