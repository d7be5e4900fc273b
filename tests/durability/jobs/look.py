"""What a pool of jobs knows, and what its jobs have noted themselves."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from durability.target import Target


class Look:
    """A look at everything, in an order in which nothing is missed that changes meanwhile."""

    def __init__(self, target: Target, folder: Path) -> None:
        runs = folder / "runs"
        #: How often each job has begun, by number: before what has ended is read.
        self.runs = Counter(map(int, runs.read_text().split())) if runs.exists() else Counter()
        #: The ids of schedules: before the items are read that come from them.
        self.schedules = {each["id"] for each in target.ask("schedules")}
        self.roster, self.ended = target.known()
        self.doubled_keys = doubled_keys(target.state_file)


def doubled_keys(path: Path) -> list[str]:
    """Keys that more than one item has."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        rows = file.execute(
            "SELECT key FROM (SELECT uid, key FROM pool_items UNION"
            " SELECT uid, key FROM pool_history) WHERE key IS NOT NULL"
            " GROUP BY key HAVING count(*) > 1"
        )
        return [key for (key,) in rows]
