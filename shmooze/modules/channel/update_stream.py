"""The update stream: updates come up from a child, acknowledgements go down.

Many children never read acknowledgements. Those still owed are therefore only counted, equal ones
together, and a greenlet of its own writes them as fast as the child takes them: the reader never
waits for the writer, and memory stays flat.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import msgspec

from shmooze.errors import Failure, PacketError
from shmooze.modules.channel.stream import Breach, OnEnd, Stream, encode
from shmooze.modules.channel.updates import Parameters, SetParameters, Update
from shmooze.runtime import jsonsafe

_GOOD = b'{"success":true,"result":null}\n'

OnUpdate = Callable[[Update, int, int], None]

_decode_any = msgspec.json.Decoder().decode
_decode_update = msgspec.json.Decoder(Update).decode
_decode_updates = msgspec.json.Decoder(Update).decode_lines


class UpdateStream(Stream):
    """Updates come up, acknowledgements go down.

    `on_update(update, size, count)` takes each update as it comes, with the length of its line in
    bytes; it raises Failure to refuse it. `count` updates of `set_parameters` that have come
    together are one to it, with the last value of each parameter; if it refuses that, it gets them
    one by one. What is refused is answered so. A child that sends nothing else any more has ended
    its stream, and so has one that sends bytes which are no packet at all.
    """

    #: Updates in a row that may be refused.
    max_refused = 10

    #: Different acknowledgements that may wait for a child that does not read them.
    max_owed = 1000
    #: Bytes of acknowledgements written at once.
    write_size = 1 << 14

    name = "update stream"

    def __init__(self, on_update: OnUpdate, on_end: OnEnd) -> None:
        super().__init__(on_end)
        self._on_update = on_update
        self._refused = 0
        self._owed: deque[tuple[bytes, int]] = deque()
        self._writer: gevent.Greenlet | None = None

    def hand_over_with(self, on_update: OnUpdate, on_end: OnEnd) -> None:
        """Let another owner have it, who has refused nothing yet."""
        self.hand_over(on_end)
        self._on_update, self._refused = on_update, 0

    def close(self, reason: str = "was closed") -> None:
        super().close(reason)
        if self._writer is not None:
            self._writer.kill(block=False)

    def _take(self, block: bytes) -> None:
        try:
            if count := self._take_together(block):
                self._refused = 0
                self._owe(_GOOD, count)
            else:
                self._take_each(block.split(b"\n"))
        finally:
            if not self._writer:
                self._writer = gevent.spawn(self._write)

    def _take_together(self, block: bytes) -> int:
        """Take lines that all set parameters as one; their number, or 0 where none was taken."""
        count = block.count(b"}\n{") + 1
        if count == 1 or jsonsafe.block_needs_check(block):
            return 0
        try:
            updates = _decode_updates(block)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return 0
        if len(updates) != count or block.count(b"\n") != count - 1:
            return 0  # a line with two of them, or something else that is no line of ours
        merged: dict[str, Any] = {}
        for update in updates:
            if type(update) is not SetParameters:
                return 0
            merged |= update.args.parameters  # a third of the time that `update` takes
        try:
            self._on_update(SetParameters(Parameters(merged)), len(block), count)
        except Failure:
            return 0
        return count

    def _take_each(self, lines: list[bytes]) -> None:
        on_update = self._on_update
        for line in lines:
            try:
                update = _decode_update(line)
                if jsonsafe.needs_check(line):
                    jsonsafe.verify(line, _decode_any(line))
                on_update(update, len(line), 1)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
                words = jsonsafe.explain(line, bad)
                self._refuse(f"bad update: {words}", hopeless=not _is_packet(line))
            except (Failure, PacketError) as refusal:
                self._refuse(str(refusal))
            else:
                self._refused = 0
                self._owe(_GOOD)

    def _refuse(self, words: str, hopeless: bool = False) -> None:
        self._owe(encode({"success": False, "error": words}) + b"\n")
        self._refused += 1
        if hopeless:
            raise Breach(f"sent bytes on its {self.name} that are no packet: {words}")
        if self._refused > self.max_refused:
            raise Breach(f"went on sending updates that cannot be used; the last: {words}")

    def _owe(self, line: bytes, count: int = 1) -> None:
        owed = self._owed
        if owed and owed[-1][0] == line:
            owed[-1] = (line, owed[-1][1] + count)
            return
        if len(owed) >= self.max_owed:
            raise Breach("sends bad updates and does not read the answers")
        owed.append((line, count))

    def _write(self) -> None:
        while self._owed and self.connection is not None:
            line, count = self._owed.popleft()
            now = min(count, max(1, self.write_size // len(line)))
            if count > now:
                self._owed.appendleft((line, count - now))
            try:
                self.connection.write_all(line * now)
            except OSError:
                return  # the reader sees the end of the stream too, and says so


def _is_packet(line: bytes) -> bool:
    """Whether a line is a packet at all, if perhaps not one that we can use."""
    try:
        value = json.loads(line)  # which takes NaN, long integers and half a surrogate pair
    except RecursionError:
        return line.lstrip().startswith(b"{")
    except ValueError:
        return False
    return isinstance(value, dict) and isinstance(value.get("cmd"), str)
