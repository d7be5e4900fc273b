"""A job about other jobs: it writes the results of a batch into a table, page/reports/BATCH.csv.

Add it with `after`, so that it begins when all of them are done.
"""

import csv
import json
import os
from pathlib import Path
from typing import Annotated

from shmooze import settings
from shmooze.client import Client
from shmooze.modules import Worker

#: The page's own folder, so that the gateway offers what is in it.
FOLDER = Path(__file__).resolve().parent / "page" / "reports"
COLUMNS = ("label", "type", "state", "seconds", "result", "reason", "uid")


class Report(Worker):
    """A report on a batch."""

    label = "report on {batch}"
    result_type = {"type": "object", "properties": {"url": {"type": "string"}}}

    def cmd_init(
        self,
        batch: Annotated[str, "The name of the batch", {"pattern": r"^\w[\w -]{0,99}$"}],
    ):
        self.batch = batch

    def work(self):
        if os.environ.get("SHMOOZE_CHECK"):
            self.stay()  # a check has no service with jobs
        with Client(f"http://127.0.0.1:{settings.ports['jobs']}/") as client:
            items = client.jobs.history(batch=self.batch, limit=1000)["items"]
        if not items:
            self.fail(f"no jobs of the batch {self.batch!r} have ended")
            return
        self.write(list(reversed(items)))
        states = [each["state"] for each in items]
        counts = {state: states.count(state) for state in sorted(set(states))}
        self.result({"url": f"reports/{self.batch}.csv", **counts})

    def write(self, items):
        """Write the table. Whoever reads it meanwhile finds the old one or the new one."""
        FOLDER.mkdir(exist_ok=True)
        new = FOLDER / f"{self.batch}.csv.new"
        with new.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            table.writeheader()
            for each in items:
                table.writerow({**each, "result": json.dumps(each.get("result"))})
        new.replace(FOLDER / f"{self.batch}.csv")


if __name__ == "__main__":
    Report().run()
