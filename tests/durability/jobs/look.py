"""What a pool of jobs knows, and what its jobs have noted themselves."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from durability.target import Target

KEPT = "SELECT json_extract(args, '$.number') FROM pool_items"
DOUBLED = """
SELECT key FROM (SELECT uid, key FROM pool_items UNION SELECT uid, key FROM pool_history)
WHERE key IS NOT NULL GROUP BY key HAVING count(*) > 1
"""


class Look:
    """A look at everything, in an order in which nothing is missed that changes meanwhile."""

    def __init__(self, target: Target, folder: Path) -> None:
        #: The numbers of jobs that have begun: before what has ended is read.
        self.begun = {*read_runs(folder)}
        #: The ids of schedules: before the items are read that come from them.
        self.schedules = {each["id"] for each in target.ask("schedules")}
        with closing(sqlite3.connect(f"file:{target.state_file}?mode=ro", uri=True)) as file:
            #: The numbers of items in the state file. One whose process is starting is not in the
            #: roster yet.
            self.kept = {number for (number,) in file.execute(KEPT)}
            #: Keys that more than one item has.
            self.doubled_keys = [key for (key,) in file.execute(DOUBLED)]
        self.roster, self.ended = target.known()
        #: How often each job has begun, by number: after that.
        self.runs = read_runs(folder)


def read_runs(folder: Path) -> Counter[int]:
    file = folder / "runs"
    return Counter(map(int, file.read_text().split())) if file.exists() else Counter()
