"""The command stream: commands go down to a child, answers come up, one command at a time.

An answer nobody waits for is a breach of the protocol, and a request that is given up ends the
stream, so a late answer never reaches another caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import msgspec
from gevent.event import AsyncResult
from gevent.lock import Semaphore

from shmooze.errors import ModuleError, PacketError
from shmooze.modules.channel.stream import Breach, OnEnd, Stream, StreamEnded, encode
from shmooze.runtime import jsonsafe
from shmooze.runtime.patience import Patience


class Answer(msgspec.Struct):
    """What a child says to a command."""

    success: bool
    result: Any = None
    error: Any = None


_decode_answer = msgspec.json.Decoder(Answer).decode


class Superseded(ModuleError):
    """The last command was sent, so that this one is not carried out, or nobody hears of it."""

    def __init__(self) -> None:
        super().__init__("is being removed")


class Withdrawn(Exception):
    """Whoever wanted a command has left before it was sent."""


class CommandStream(Stream):
    """Commands go down, answers come up.

    Each command has its turn. A request that was sent and is given up, by its own patience or by
    a Timeout or kill from elsewhere, ends the stream: the answer may still come, and must not be
    taken for that of the next command. Only the last command does not wait for its turn: whoever
    waits for an answer or a turn then gets Superseded.
    """

    name = "command stream"

    def __init__(self, on_end: OnEnd) -> None:
        super().__init__(on_end)
        self._turn = Semaphore()
        self._line = Semaphore()
        #: Counts owners: what one of them has not sent yet is not sent for the next one.
        self._owners = 1
        #: Answers that are to come, in this order.
        self._awaited: deque[AsyncResult[Answer]] = deque()
        #: Whether the final command has been sent.
        self.final_is_sent = False
        #: What the child has not taken yet, and the greenlet that waits until it does.
        self._unsent = b""
        self._writer: gevent.Greenlet | None = None
        self._hung_up = False

    def request(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        """Send a command when it is its turn, and wait for its answer.

        Raises ModuleError when the stream ends or `patience` is over first, Superseded when the
        last command comes first.
        """
        owner = self._owners
        with self._turn:
            self._check_owner(owner)
            return self._request(cmd, args, patience)

    def request_in_line(
        self,
        cmd: str,
        args: dict[str, Any] | None,
        patience: Patience,
        is_withdrawn: Callable[[], bool] = lambda: False,
    ) -> Answer:
        """The same for one of many: only the first in line is in the way of a `request`.

        Raises Withdrawn, and sends nothing, when nobody wants it any more at its turn.
        """
        has_to_wait = self._line.locked() or self._turn.locked()
        owner = self._owners
        with self._line, self._turn:
            self._check_owner(owner)
            if has_to_wait and is_withdrawn():
                raise Withdrawn
            return self._request(cmd, args, patience)

    def request_final(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        """Send a last command at once, ahead of all that wait, and wait for its answer.

        The child answers in order, so the answer to a command under way comes first and is dropped.
        Raises ModuleError as `request` does, and Superseded where it is not the first of its kind.
        """
        if self.final_is_sent:
            raise Superseded
        waiting = list(self._awaited)
        answer = self._send(cmd, args)
        self.final_is_sent = True
        for each in waiting:
            if not each.ready():
                each.set_exception(Superseded())
        if patience.wait(answer):
            return answer.get()
        raise ModuleError(_late(cmd, "in time"))

    def _request(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        if self.final_is_sent:
            raise Superseded
        allowed = patience.left
        answer = self._send(cmd, args)
        given_up = _late(cmd, "before its caller gave up")
        try:
            if not patience.wait(answer):
                given_up = _late(cmd, f"within {allowed:g} s")
                raise ModuleError(given_up)
            return answer.get()
        finally:
            if not answer.ready():
                self._set_ended(given_up)  # before the next one has its turn
                self._on_end(given_up, True)

    def release(self, patience: Patience) -> bool:
        """Let its owner send no more commands, and wait for the answer to the one under way.

        Whoever waits for a turn gets Superseded. Returns whether the child has answered everything
        and can take commands of another owner.
        """
        self._owners += 1
        return (
            patience.wait(self._turn)
            and self.is_quiet
            and not (self._awaited or self.final_is_sent or self._writer)
        )

    def _check_owner(self, owner: int) -> None:
        if owner != self._owners:
            raise Superseded

    def hang_up(self, final_command: str | None = None) -> bool:
        """Tell the child that no more commands will come: it reads an end of file.

        `final_command` is a command that is sent before, unless a last one has been sent already;
        whether one has.
        """
        if self.connection is None:
            return False
        try:
            if final_command is not None and not self.final_is_sent:
                self._write(_command_line(final_command, None))
                self.final_is_sent = True
        except OSError:
            pass  # broken: it will see the end
        self._hung_up = True
        if self._writer is None:
            self._shut_down()
        return self.final_is_sent

    def close(self, reason: str = "was closed") -> None:
        super().close(reason)
        if self._writer is not None:
            self._writer.kill(block=False)

    def _send(self, cmd: str, args: dict[str, Any] | None) -> AsyncResult[Answer]:
        """Send a command without waiting; its answer to come. Raises StreamEnded."""
        if self._ended is not None or self.connection is None:
            raise StreamEnded(self._ended or f"has no {self.name}")
        try:
            self._write(_command_line(cmd, args))
        except OSError:
            raise StreamEnded(f"closed its {self.name}") from None
        self._awaited.append(answer := AsyncResult())
        return answer

    def _write(self, line: bytes) -> None:
        """Write a line, or have it written when the child has taken all that was sent before.

        So a line is always written whole, whatever becomes of the request. Raises OSError.
        """
        if self._writer is not None:
            self._unsent += line
            return
        assert self.connection is not None
        sent = self.connection.write(line)
        if sent < len(line):
            self._unsent = line[sent:]
            self._writer = gevent.spawn(self._write_rest)

    def _write_rest(self) -> None:
        try:
            while self._unsent and self.connection is not None:
                piece, self._unsent = self._unsent, b""
                self.connection.write_all(piece)
        except OSError:
            return  # the reader sees the end of the stream too, and says so
        finally:
            self._writer = None
        if self._hung_up:
            self._shut_down()

    def _shut_down(self) -> None:
        assert self.connection is not None
        self.connection.end_writing()

    def _take(self, block: bytes) -> None:
        for line in block.split(b"\n"):
            try:
                answer = _decode_answer(line)
                if jsonsafe.needs_check(line):
                    jsonsafe.verify(line, answer.result)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
                words = jsonsafe.explain(line, bad)
                raise Breach(f"sent an answer that is no packet: {words}") from bad
            except PacketError as bad:
                raise Breach(f"sent an answer that cannot be passed on: {bad}") from bad
            if self._awaited:
                awaited = self._awaited.popleft()
                if not awaited.ready():  # or superseded meanwhile
                    awaited.set(answer)
            elif not self.final_is_sent:  # or nobody cares any more
                raise Breach("sent an answer that nobody waited for")

    def _set_ended(self, reason: str) -> None:
        super()._set_ended(reason)
        while self._awaited:
            awaited = self._awaited.popleft()
            if not awaited.ready():
                awaited.set_exception(StreamEnded(reason))


def _late(cmd: str, when: str) -> str:
    return f"did not answer `{cmd}` {when}"


def _command_line(cmd: str, args: dict[str, Any] | None) -> bytes:
    command = {"cmd": cmd} if args is None else {"cmd": cmd, "args": args}
    return encode(command) + b"\n"
