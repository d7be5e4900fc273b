"""An item of a queue or pool: what it is doing, its commands, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from shmooze.client.arguments import either
from shmooze.client.endpoint import Endpoint
from shmooze.client.errors import (
    InvalidArgument,
    NotDone,
    UnknownItem,
    Unreachable,
    WaitTimeout,
)
from shmooze.client.events import EventStream
from shmooze.client.state import find
from shmooze.errors import ServiceTimeout

Shown = dict[str, Any]


class Home(Protocol):
    """What an item needs of its service."""

    name: str
    endpoint: Endpoint

    def batch(self, *packets: dict[str, Any]) -> list[dict[str, Any]]: ...

    def command(
        self, cmd: str, args: Mapping[str, Any] | None = None, /, **keywords: Any
    ) -> Any: ...


class End(NamedTuple):
    """What is known of the end of an item: nothing yet, a first report, or all."""

    report: Shown | None
    is_final: bool


class Item:
    """An item, which need not live any more. Threads can share it."""

    #: Seconds for which one request waits for the end.
    turn = 20.0
    #: Seconds between questions about an item that has ended, until the history has it.
    pauses = (0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0)

    def __init__(
        self, service: Home, uid: str, type: str | None = None, is_background: bool = False
    ) -> None:
        if not isinstance(uid, str):
            raise InvalidArgument(f"a uid is text, not {uid!r}")
        self.service, self.uid = service, uid
        self._type = type
        self._is_background = is_background if type is not None else None

    @property
    def type(self) -> str:
        """The name of its type."""
        if self._type is None:
            self._type = str(self.show()["type"])
        return self._type

    @property
    def state(self) -> str:
        """What it is doing now, as in `show`."""
        return str(self.show()["state"])

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The current values of its parameters; empty if it has ended."""
        parameters: dict[str, Any] = self.show().get("parameters", {})
        return parameters

    def show(self) -> Shown:
        """All about it, now: {"uid", "type", "state", "parameters", …}.

        If it has ended, its state is `done`, `failed`, `removed` or `lost`, and "reason" says why.
        Raises UnknownItem if the service does not know it, or has forgotten it.
        """
        answers = self.service.batch(
            {"cmd": "item", "args": {"uid": self.uid}},
            *({"cmd": cmd, "args": {"parameters": True}} for cmd in ("queue", "bg", "pool")),
        )
        if (shown := self._found(*answers)) is not None:
            return shown
        end = self.look_for_end()
        return end.report or {"uid": self.uid, "type": self._type, "state": "ending"}

    def tell(self, cmd: str, args: Mapping[str, Any] | None = None, /, **keywords: Any) -> Any:
        """Send it a command of its own, with arguments as a dict or as keywords.

        Returns its answer. Raises CommandRefused with its reason.
        """
        given = either(cmd, args, keywords)
        if self._is_background is None:
            self._is_background = self._found(*self.service.batch({"cmd": "bg"})) is not None
        tell = "tell_background" if self._is_background else "tell_module"
        return self.service.command(tell, {"uid": self.uid, "cmd": cmd, "args": given})

    def remove(self) -> None:
        """Remove it. It does not matter whether it has ended already."""
        self.service.command("rm", uids=[self.uid])

    def output(self) -> list[str]:
        """The last lines that it has printed. Raises CommandRefused if it has ended."""
        lines: list[str] = self.service.command("output", uid=self.uid)
        return lines

    def wait(self, timeout: float | None = None) -> Shown:
        """Wait until it has ended. Returns how: {"state", "reason", "ended", "seconds", …}.

        `state` is `done`, `failed`, `removed` or `lost`. The other keys are those of `gone` and,
        with a state file, of the history. Raises WaitTimeout after `timeout` seconds, and
        UnknownItem if the service does not know it, or has forgotten it.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if (end := self._ask_to_wait(deadline)) is not None:
            return self._whole(end)
        now = self.look_for_end()
        if now.is_final and now.report is not None:
            return now.report
        try:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            with self.watch(left) as changes:
                for _ in changes:
                    pass
        except WaitTimeout as late:
            line = f"item {self.uid} has not ended within {timeout:g} s"
            raise WaitTimeout(line) from late
        if changes.end is None:
            raise WaitTimeout(f"item {self.uid}: the client was closed before it has ended")
        return changes.end

    def result(self, timeout: float | None = None) -> Any:
        """Wait until it is done, and return its result; None if it has given none.

        Raises NotDone if it has ended otherwise, and what `wait` raises.
        """
        began = time.monotonic()
        end = self._ask_to_wait(None if timeout is None else began + timeout)
        if end is None:
            end = self.wait(None if timeout is None else began + timeout - time.monotonic())
        if end.get("state") != "done":
            raise NotDone(f"item {self.uid} {end.get('reason') or 'has not been done'}", end)
        return end.get("result")

    def watch(self, timeout: float | None = None) -> ItemChanges:
        """Iterate over what it is, as in `show`, now and after each change. The last is its end.

        Raises WaitTimeout after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        return ItemChanges(self, EventStream(self.service.endpoint, deadline=deadline))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Item) and (self.service.endpoint.url, self.uid) == (
            other.service.endpoint.url,
            other.uid,
        )

    def __hash__(self) -> int:
        return hash(self.uid)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._type or 'item'} {self.uid}>"

    def look_for_end(self) -> End:
        """What the service knows of its end, now. Raises UnknownItem."""
        lives, gone, item = self.service.batch(
            {"cmd": "output", "args": {"uid": self.uid}},  # first, since it may end in between
            {"cmd": "gone"},
            {"cmd": "item", "args": {"uid": self.uid}},
        )
        report, kept = self._found(gone), self._found(item)
        if lives["success"] or (kept is not None and "ended" not in kept):
            return End(None, is_final=False)
        if report is None and kept is None:
            raise UnknownItem(f"{self.service.name} knows no item {self.uid}, or has forgotten it")
        keeps_history = item["success"] or "history" in item["error"]
        whole = {"state": None, **(report or {}), **(kept or {})}
        return End(whole, is_final=kept is not None or not keeps_history)

    def _ask_to_wait(self, deadline: float | None) -> Shown | None:
        """How it has ended, by the command `wait`; None: the service has no such command, or is out
        of reach, or `deadline` is over.
        """
        while True:
            left = self.turn if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return None
            packet = {"cmd": "wait", "args": {"uid": self.uid, "timeout": min(left, self.turn)}}
            try:
                [answer] = self.service.batch(packet)
            except (Unreachable, ServiceTimeout):
                return None
            if not answer["success"]:
                return None
            end: Shown | None = answer["result"]
            if end is not None:
                return end

    def _whole(self, end: Shown) -> Shown:
        """The end of an item with what the history knows, where it is written a moment later."""
        for pause in self.pauses:
            time.sleep(pause)
            now = self.look_for_end()
            if now.is_final and now.report is not None:
                return now.report
        return end

    def _found(self, *answers: dict[str, Any]) -> Shown | None:
        """This item among the results of commands."""
        for answer in answers:
            result = answer.get("result")
            for shown in result if isinstance(result, list) else [result]:
                if isinstance(shown, dict) and shown.get("uid") == self.uid:
                    return shown
        return None


class ItemChanges(Iterator[Shown]):
    """Iterates over what an item is, until it has ended; `end` is how. Any thread may close it."""

    #: Seconds between questions about an item that has gone, until its end is final. A service
    #: waits for a second before it decides what a signal from outside means.
    pauses = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 1.0)

    def __init__(self, item: Item, events: EventStream) -> None:
        self.end: Shown | None = None
        self._item, self._events = item, events
        self._last: Shown | None = None
        self._has_gone = False

    def __next__(self) -> Shown:
        if self.end is not None:
            raise StopIteration
        for event in self._events:
            shown = find(self._events.state, self._item.uid)
            # One that is started again has gone too, and may leave its place a moment later.
            self._has_gone |= self._item.uid in event["data"].get("gone", {})
            if shown is not None and shown is not self._last:
                self._last = shown
                return shown
            if shown is None and (self._has_gone or event["event"] == "snapshot"):
                self.end = self._ask_for_end()
                if self.end is not None:
                    self.close()
                    return self.end
        raise StopIteration

    def close(self) -> None:
        """End the iteration, in whatever thread it is."""
        self._events.close()

    def __enter__(self) -> ItemChanges:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask_for_end(self) -> Shown | None:
        """How it ended; None: it lives, or the service cannot be asked."""
        end = End(None, is_final=False)
        for pause in self.pauses:
            try:
                self._events.sleep(pause)
            except WaitTimeout:
                if end.report is None:
                    raise
                break  # it has ended in time: what is known of that is better than nothing
            try:
                end = self._item.look_for_end()
            except (Unreachable, ServiceTimeout):
                self._events.start_over()  # with a snapshot, after which it is asked again
                return None
            if end.is_final or (end.report is None and not self._has_gone):
                return end.report
        if end.report is None:  # its end is still being written: no event would tell
            self._events.start_over()
        return end.report
