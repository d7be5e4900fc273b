"""The example application beside pages that show none of their own: all types that they name."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shown_packets import Commands
from support import CHILDREN, ROOT, Client, child

_MODULES = ROOT / "examples" / "modules"
#: Tenths of a second are seconds in it, so that pages need not wait.
_FAST = [sys.executable, "-S", str(CHILDREN / "fast.py")]
_WELL = {"process": child("well")}


def settings(folder: Path) -> dict[str, Any]:
    """Its settings, without ports: a queue, a pool, and a state file."""
    countdown = {"process": [*_FAST, str(_MODULES / "countdown.py")], "describe": True}
    clock = {"process": [sys.executable, "-S", str(_MODULES / "clock.py")], "describe": True}
    ticker = {"process": ["sh", str(_MODULES / "ticker.sh")]}
    job = {"process": [sys.executable, "-S", str(_MODULES / "job.py")], "describe": True}
    types = dict.fromkeys(("slide", "backup", "song", "movie", "door", "report", "tea"), _WELL)
    return {
        "name": "example",
        "queue": {
            "order": "priority",
            "votes": {"up": True, "skip": 3},
            "modules": {"countdown": countdown, "ticker": ticker, **types},
            "backgrounds": {"clock": clock},
        },
        "pool": {"slots": 2, "modules": {"countdown": countdown, "job": job, **types}},
        "vol": {"program": [sys.executable, str(ROOT / "examples" / "volume.py")]},
        "app_jobs": {"count": ["echo", "1"], "disk": ["df", "-h"]},
        "state_path": str(folder / "state.db"),
        "log_database_path": str(folder / "shmooze.db"),
        "log_path": str(folder),
        "metrics": True,
        "sighup": "reload",
    }


@dataclass
class Example:
    """The example application, which several pages use one after the other."""

    #: Its ports by those that pages show.
    ports: dict[str, str]
    commands: Commands
    settings: dict[str, Any]
    #: Files of SQLite that a page may speak of.
    databases: list[Path]
    #: Its queue and its pool.
    services: list[Client]

    def reset(self) -> None:
        """Make it what it was before other pages have used it."""
        for service in self.services:
            service("resume")
            if service.kind == "queue":
                service("repeat", mode="off")
            for schedule in service("schedules"):
                service("unschedule", id=schedule["id"])
            service.clear()
