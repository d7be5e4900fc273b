"""A parent in memory, for modules in Python that are tested in the process of the test."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from shmooze.modules import JSONParentPoller, pymodule
from shmooze.modules.pymodule import CLOSED, OPEN, REMOVED


class FakeConnection:
    """What a module uses of ParentConnection; a test looks at `updates`."""

    def __init__(self) -> None:
        self.state, self.said_rm = OPEN, False
        self.next_command: Any = None
        self.answer: dict[str, Any] = {}
        #: What the module has sent on its update stream, as the test takes it.
        self.updates: queue.Queue[dict[str, Any]] = queue.Queue()

    def recv_cmd(self) -> Any:
        if self.next_command["cmd"] == "rm":
            self.state = REMOVED
        return self.next_command

    def send_resp(self, response: dict[str, Any]) -> None:
        self.answer = response

    def send_update(self, update: dict[str, Any]) -> None:
        if update["cmd"] == "rm":
            self.state, self.said_rm = REMOVED, True
        self.updates.put(update)

    def close(self) -> None:
        self.state = CLOSED
        self.updates.put({"cmd": "closed"})


class Stage:
    """One module, and a parent that asks it."""

    def __init__(self, module: type[JSONParentPoller], monkeypatch: Any) -> None:
        def on_uncaught(report: Callable[[BaseException], None]) -> None:
            monkeypatch.setattr(threading, "excepthook", lambda args: report(args.exc_value))

        monkeypatch.setattr(pymodule, "ParentConnection", FakeConnection)
        monkeypatch.setattr(pymodule.threads, "on_uncaught", on_uncaught)
        self.module = module()
        self.connection: Any = self.module.connection

    def ask(self, cmd: str, **args: Any) -> Any:
        """Send a command. Returns the result, or the error as text."""
        self.connection.next_command = {"cmd": cmd, "args": args}
        self.module.handle_one_command()
        answer = self.connection.answer
        return answer["result"] if answer["success"] else answer["error"]

    def next_update(self) -> dict[str, Any]:
        update: dict[str, Any] = self.connection.updates.get(timeout=10)
        return update

    def parameters(self) -> dict[str, Any]:
        """The parameters that the module sets next."""
        update = self.next_update()
        assert update["cmd"] == "set_parameters", update
        parameters: dict[str, Any] = update["args"]["parameters"]
        return parameters
