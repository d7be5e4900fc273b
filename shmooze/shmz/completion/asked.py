"""What the application says for a completion: each question is asked once, when it is needed."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from shmooze.shmz.described import LISTS, Description, describe, part, services_beside
from shmooze.shmz.service import Service
from shmooze.shmz.uids import modules_in


class Asked:
    """The application behind a URL."""

    #: How many items of the history are candidates.
    max_ended = 100

    def __init__(self, url: str, timeout: float, token: str | None) -> None:
        self._service = Service(url, timeout, token)

    @cached_property
    def services(self) -> list[str]:
        return services_beside(self._service)

    @cached_property
    def described(self) -> Description:
        return describe(self._service) or {}

    @property
    def commands(self) -> Description:
        return part(self.described, "commands")

    def types(self, command: str) -> Description:
        """The types that `add`, `schedule` or `set_bg` takes, with their descriptions."""
        if command == "schedule":
            command = "add"
        return next(
            (part(self.described, key) for key, each in LISTS.items() if each == command), {}
        )

    @cached_property
    def _answers(self) -> list[list[dict[str, Any]]]:
        questions: list[dict[str, Any]] = [
            {"cmd": "queue", "args": {"parameters": True}},
            {"cmd": "pool", "args": {"parameters": True}},
            {"cmd": "bg", "args": {"parameters": True}},
        ]
        return [modules_in(each.get("result")) for each in self._service.send(questions)]

    @property
    def items(self) -> list[dict[str, Any]]:
        """All that is running or waiting."""
        return [item for items in self._answers for item in items]

    @property
    def backgrounds(self) -> list[dict[str, Any]]:
        return self._answers[2]

    @cached_property
    def ended(self) -> list[dict[str, Any]]:
        """The latest items of the history."""
        question = {"cmd": "history", "args": {"limit": self.max_ended}}
        (answer,) = self._service.send([question])
        return modules_in(answer.get("result"))

    def item(self, uid: str) -> dict[str, Any]:
        """The item whose uid begins like this; empty if there is not exactly one."""
        found = [item for item in self.items if item["uid"].startswith(uid)]
        return found[0] if len(found) == 1 else {}

    def type_of_item(self, uid: str) -> Description:
        kind = self.item(uid).get("type")
        return (describe(self._service, kind) or {}) if isinstance(kind, str) else {}
