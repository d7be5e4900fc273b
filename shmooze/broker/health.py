"""What is not well at a queue or pool."""

from __future__ import annotations

from typing import Any

from shmooze.broker.keeper import Keeper
from shmooze.lib.database import Database


def problems_of(is_opening: bool, keeper: Keeper, logger: Any) -> dict[str, str]:
    """The problems by part. It may take some seconds to find out."""
    found = {
        "service": "is still starting" if is_opening else None,
        "state": keeper.problem(),
        "log": logger.problem if isinstance(logger, Database) else None,
    }
    return {part: problem for part, problem in found.items() if problem is not None}
