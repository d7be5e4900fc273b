"""Show what was played most often, and for how long, from the history of a queue or pool.

Needs `state_path` in the settings, and the service running:

    python examples/most_played.py                  # the types of the queue
    python examples/most_played.py pool args.name   # the jobs of the pool, by name
"""

import sys

import shmooze.settings
from shmooze.errors import ShmoozeError
from shmooze.lib.packet import assert_success
from shmooze.lib.service import json_query


def most_played(service: str, what: str) -> list[dict]:
    """The ten most frequent values of `what`, each {"value", "count", "seconds", "last"}."""
    query = {"cmd": "history", "args": {"count": what, "limit": 10}}
    return assert_success(json_query("127.0.0.1", shmooze.settings.ports[service], query))


if __name__ == "__main__":
    service, what = [*sys.argv[1:], *["queue", "type"][len(sys.argv) - 1 :]][:2]
    try:
        for each in most_played(service, what):
            minutes = each["seconds"] / 60
            print(f"{each['count']:5} x  {minutes:8.1f} min  {each['value']}")
    except ShmoozeError as error:
        sys.exit(f"most_played: {error}")
