"""A watcher of live state, as a program on the other side of the network has to be one."""

from __future__ import annotations

import json
import threading
from http.client import HTTPConnection
from typing import Any

from support import PATIENCE, Client, wait_until

#: What a change may say of a module, beside its parameters.
KEYS = (
    *("type", "state", "args", "label", "by", "added"),
    *("held", "web", "restarts", "next_attempt_at"),
)


class Watcher:
    """Follows a service's events, and keeps `state` as the protocol says that it adds up.

    `after` is another watcher, which it goes on from.
    """

    def __init__(
        self,
        port: int,
        path: str,
        last_id: str | None = None,
        after: Watcher | None = None,
        connection: Any = None,
        **headers: str,
    ) -> None:
        self.state: dict[str, Any] = after.state if after else {}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.gone: dict[str, str] = {}
        self.last_id = last_id = after.last_id if after else last_id
        self.ended = threading.Event()
        self.connection = connection or HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        self.connection.request("GET", path, headers=headers)
        self.socket = self.connection.sock
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.read()
        assert self.answer.headers["Content-Type"] == "text/event-stream"
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def close(self) -> None:
        try:
            self.socket.shutdown(2)
        except OSError:
            pass  # it has ended by itself
        self._thread.join(PATIENCE)
        self.connection.close()

    def wait_for(self, queue: Client) -> None:
        """Wait until what was watched is what the service says."""
        wait_until(lambda: self.state == asked(queue), "all events have come")

    def _follow(self) -> None:
        fields: dict[str, str] = {}
        try:
            for line in self.answer:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif fields.get("data"):
                    self._take(fields)
                    fields = {}
        except OSError:
            pass  # closed by ourselves
        self.ended.set()

    def _take(self, fields: dict[str, str]) -> None:
        self.last_id = fields["id"]
        kind, data = fields["event"], json.loads(fields["data"])
        if kind == "snapshot":
            entries = {each["uid"]: each for each in data["modules"]}
            self.state = {"modules": list(entries.values()), "background": data["background"]}
        else:
            self._apply(data)
        self.gone |= {uid: each["reason"] for uid, each in data.get("gone", {}).items()}
        self.events.append((kind, data))

    def _apply(self, change: dict[str, Any]) -> None:
        background = self.state["background"]
        known = {each["uid"]: each for each in self.state["modules"]}
        known |= {background["uid"]: background} if background else {}
        for uid, what in change.get("modules", {}).items():
            each = known.setdefault(uid, {"uid": uid, "parameters": {}})
            each |= {key: what[key] for key in KEYS if key in what}
            for key in ("args", "label", "held", "web", "next_attempt_at"):
                if each.get(key, 0) is None:
                    del each[key]
            each["parameters"] = {
                name: value
                for name, value in {**each["parameters"], **what.get("set", {})}.items()
                if name not in what.get("unset", [])
            }
        order = change.get("order", [each["uid"] for each in self.state["modules"]])
        place = change.get("background", background["uid"] if background else None)
        self.state = {
            "modules": [known[uid] for uid in order],
            "background": known[place] if place else None,
        }


def asked(queue: Client) -> dict[str, Any]:
    """The same state, as commands tell it."""

    def shown(module: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in module.items() if key != "next_attempt_in"}

    background = queue("bg", parameters=True) if queue.kind == "queue" else None
    return {
        "modules": [shown(module) for module in queue.roster()],
        "background": shown(background) if background else None,
    }
