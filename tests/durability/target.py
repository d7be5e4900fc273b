"""A queue or pool with a state file, as the thing to be killed."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

from support import ROOT, Refusal, Site, is_alive, parent_of, wait_until

CHILD = [sys.executable, "-S", str(ROOT / "tests" / "durability" / "child.py")]
#: Who is killed; the guardian ends the modules of a service, and the other way round.
VICTIMS = ("service", "guardian", "both")
#: Seconds that an answer may take.
LONG = 20.0


class NoAnswer(Exception):
    """The service was killed before it answered."""


LIMITS = {"natural_death_timeout": 1, "sigterm_timeout": 1, "show_args": True}
#: The section of a queue of one type.
QUEUE = {"modules": {"item": {"process": CHILD, "spawn": "lazy", "lookahead": 0, **LIMITS}}}


class Target:
    """The service, its clients' connections, and its end. `service` is `queue` or `pool`."""

    def __init__(
        self,
        folder: Path,
        state_folder: Path | None = None,
        service: str = "queue",
        section: dict[str, Any] = QUEUE,
        **settings: Any,
    ) -> None:
        self.service = service
        self.state_file = (state_folder or folder) / "state.db"
        state = {"state_path": str(self.state_file), "history_rows": 1_000_000}
        sections = {service: {"max_modules": 100_000, **section}}
        self.site = Site(folder, (service,), {**state, **sections, **settings})
        self.site.environ["PYTHONFAULTHANDLER"] = "1"
        del self.site.settings["log_database_path"]
        self.site.settings_file.write_text(json.dumps(self.site.settings))

    def start(self) -> None:
        """Start it; returns when it answers."""
        try:
            self.site.start(self.service)
            wait_until(self._answers, f"the {self.service} answers", LONG)
        except AssertionError as late:
            raise AssertionError(f"{late}:\n{self._state_of_service()}") from late

    def kill(self, source: random.Random) -> str:
        """Kill it, or its guardian, or both; returns who was killed when nothing of it is left."""
        victim = source.choice(VICTIMS)
        process = self.site.processes.pop(self.service)
        service = next(pid for pid in self.site.survivors() if parent_of(pid) == process.pid)
        if victim in ("guardian", "both"):
            os.kill(process.pid, signal.SIGKILL)
        if victim in ("service", "both"):
            os.kill(service, signal.SIGKILL)
        process.wait(LONG)
        wait_until(lambda: not is_alive(service), "the service has ended", LONG)
        return victim

    def stop(self) -> None:
        """End it properly."""
        self.site.stop()

    def known(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """All that live, in their order, and all that have ended.

        What ends in between counts as ended. A second look at the roster tells that from what is
        in both.
        """
        before, ended = self.roster(), self.history()
        left = {item["uid"] for item in self.roster()}
        gone = {item["uid"] for item in ended}
        return [item for item in before if item["uid"] in left or item["uid"] not in gone], ended

    def roster(self) -> list[dict[str, Any]]:
        """All that live, in their order."""
        return list(self.ask(self.service))

    def history(self) -> list[dict[str, Any]]:
        """All that have ended."""
        found: list[dict[str, Any]] = []
        before: dict[str, int] = {}
        while True:
            page = self.ask("history", limit=1000, **before)
            found += page["items"]
            if page["next"] is None:
                return found
            before = {"before": page["next"]}

    def connect(self) -> Connection:
        """A connection of one client."""
        return Connection(self.site.ports[self.service])

    def ask(self, command: str, **args: Any) -> Any:
        """The result of one command. Raises Refusal."""
        return self.site.ask(self.service, command, **args)

    def _state_of_service(self) -> str:
        """The end of its log, and where it is, which ends it."""
        for pid in self.site.survivors():
            os.kill(pid, signal.SIGABRT)  # which Python's fault handler reports
        wait_until(lambda: not self.site.survivors(), "all have ended", LONG)
        return self.site.log(self.service)[-5000:]

    def _answers(self) -> bool:
        try:
            self.roster()
        except (OSError, http.client.HTTPException, Refusal):
            return False
        return True


class Connection:
    """One client's kept connection."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)

    def ask(self, cmd: str, **args: Any) -> Any:
        """The result of one command. Raises NoAnswer, or Refusal."""
        body = json.dumps({"cmd": cmd, "args": args})
        try:
            self._http.request("POST", "/", body, {"Content-Type": "application/json"})
            answer = json.loads(self._http.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as bad:
            self._http.close()
            raise NoAnswer from bad
        if not answer["success"]:
            raise Refusal(answer["error"])
        return answer["result"]

    def close(self) -> None:
        self._http.close()
