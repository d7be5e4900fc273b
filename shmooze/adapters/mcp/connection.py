"""The connection to an MCP server: requests, their answers, and notifications, as lines of JSON.

Strategy. Answers are matched to requests by numbers of ours, so any number of requests may be under
way, and one that is given up is cancelled. All callbacks are called by the reader, and must not
wait.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from gevent.event import AsyncResult
from msgspec import UNSET, Raw

from shmooze.adapters.mcp import messages
from shmooze.adapters.mcp.calls import Call, Reply
from shmooze.adapters.mcp.messages import METHOD_NOT_FOUND, Message
from shmooze.adapters.mcp.outbox import Outbox
from shmooze.errors import CommandError, ModuleError
from shmooze.modules.channel.stream import Breach, OnEnd, Stream, StreamEnded
from shmooze.processes.contract import ByteStream
from shmooze.runtime.patience import Patience
from shmooze.runtime.printable import printable
from shmooze.runtime.time_slices import TimeSlices

#: on_notification(method, params)
OnNotification = Callable[[str, Raw | None], None]


class Connection(Stream):
    """Standard input and output of one server.

    `on_noise` takes lines that are not messages, of which many servers print some.
    """

    #: Longest message of a server, in bytes.
    max_line = 8 << 20
    #: Requests that may be under way.
    max_calls = 1000
    #: Lines that are not messages, ahead of the first one that is.
    max_noise = 1000

    name = "standard output"

    def __init__(
        self, on_end: OnEnd, on_notification: OnNotification, on_noise: Callable[[str], None]
    ) -> None:
        super().__init__(on_end)
        self._on_notification, self._on_noise = on_notification, on_noise
        self.calls: dict[int, Call] = {}
        self._numbers = itertools.count(1)
        self._outbox: Outbox | None = None
        self._slices = TimeSlices()
        #: Lines so far that were not messages; None: there was one that is.
        self._noise: int | None = 0

    def attach(self, connection: ByteStream) -> None:
        self._outbox = Outbox(connection)
        super().attach(connection)

    def begin(
        self,
        method: str,
        params: dict[str, Any] | None,
        on_reply: Callable[[Reply], None],
        caller: object = None,
        on_progress: Callable[[Raw], None] | None = None,
    ) -> int:
        """Send a request, and return its number. Raises StreamEnded, or CommandError if there are
        too many already.
        """
        if len(self.calls) >= self.max_calls:
            raise CommandError(f"too many requests are under way ({self.max_calls})")
        number = next(self._numbers)
        if on_progress is not None:
            meta = {**((params or {}).get("_meta") or {}), "progressToken": number}
            params = {**(params or {}), "_meta": meta}
        self.calls[number] = Call(caller, on_reply, on_progress)
        try:
            self._send(messages.request(number, method, params))
        except BaseException:
            del self.calls[number]
            raise
        return number

    def ask(
        self,
        method: str,
        params: dict[str, Any] | None,
        patience: Patience,
        caller: object = None,
    ) -> Reply | None:
        """Send a request and wait for its answer; None if that does not come in time.

        Raises ModuleError if it cannot come any more, and what `begin` raises.
        """
        reply: AsyncResult[Reply] = AsyncResult()
        number = self.begin(method, params, reply.set, caller)
        try:
            if not patience.wait(reply):
                return None
        finally:
            if method != "initialize":  # which must not be cancelled
                self.cancel(number, "nobody waits for it any more")
        answer = reply.get()
        if answer.lost is not None:
            raise answer.lost
        return answer

    def cancel(self, number: int, reason: str) -> None:
        """Tell the server that nobody wants an answer any more, if there was none yet."""
        if self.calls.pop(number, None) is not None:
            self.notify("notifications/cancelled", {"requestId": number, "reason": reason})

    def notify(self, method: str, params: Any = None) -> None:
        """Send a notification, if that is possible."""
        try:
            self._send(messages.notification(method, params))
        except (ModuleError, CommandError):
            pass  # whoever waits for something hears of it

    def lose_calls(self, why: ModuleError) -> None:
        """Let nobody wait for an answer any more."""
        while self.calls:
            _, call = self.calls.popitem()
            call.on_reply(Reply(lost=why))

    def hang_up(self) -> None:
        """Let the server read an end of file: it has to end."""
        if self._outbox is not None:
            self._outbox.hang_up()

    def close(self, reason: str = "was closed") -> None:
        super().close(reason)
        if self._outbox is not None:
            self._outbox.close()

    def _set_ended(self, reason: str) -> None:
        super()._set_ended(reason)
        self.lose_calls(StreamEnded(reason))

    def _send(self, message: dict[str, Any]) -> None:
        if self._ended is not None or self._outbox is None:
            raise StreamEnded(self._ended or "was not started")
        self._outbox.send(messages.encode(message) + b"\n")

    # Reading.

    def _take(self, block: bytes) -> None:
        self._slices.begin()
        for line in block.split(b"\n"):
            self._slices.yield_if_over()  # each message may concern a thousand clients
            try:
                found = messages.decode(line)
            except messages.UNDECODABLE:
                self._take_noise(line)
                continue
            for message in found:
                self._take_message(message, line)

    def _take_message(self, message: Message, line: bytes) -> None:
        id, method = message.id, message.method
        params = None if message.params is UNSET else message.params
        if method is not UNSET:
            self._noise = None
            if id is not UNSET and id is not None:
                self._answer(id, method)
            elif method == "notifications/progress":
                self._take_progress(params)
            else:
                self._on_notification(method, params)
        elif message.result is not UNSET or message.error is not UNSET:
            self._noise = None
            call = self.calls.pop(id, None) if isinstance(id, int) else None
            if call is None:
                return  # of a request that was given up
            if message.error is not UNSET:
                call.on_reply(Reply(error=message.error))
            elif message.result is not UNSET:
                call.on_reply(Reply(result=message.result))
        else:
            self._take_noise(line)

    def _answer(self, id: messages.Id, method: str) -> None:
        """Answer a request of the server: we have announced that we can do nothing of the kind."""
        if method == "ping":
            answer = messages.result(id, {})
        else:
            answer = messages.error(id, METHOD_NOT_FOUND, f"{method} is not supported")
        try:
            self._send(answer)
        except CommandError:
            raise Breach("sends requests and does not read the answers") from None
        except StreamEnded:
            pass  # nobody reads it

    def _take_progress(self, params: Raw | None) -> None:
        token = messages.progress_token(params)
        call = self.calls.get(token) if token is not None else None
        if call is not None and call.on_progress is not None and params is not None:
            call.on_progress(params)

    def _take_noise(self, line: bytes) -> None:
        text = printable(line[:4096].decode(errors="backslashreplace")).strip()
        if not text:
            return
        self._on_noise(text)
        if self._noise is not None:
            self._noise += 1
            if self._noise > self.max_noise:
                raise Breach(f"is not an MCP server: it prints lines such as {text[:60]!r}")
