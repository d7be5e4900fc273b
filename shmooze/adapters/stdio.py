"""The adapter `stdio`: both streams over standard input and output of a program.

A line of standard input is a command. A line of standard output is the answer to one, which has
`success`, or an update, which has `cmd`. Updates are not acknowledged, since an acknowledgement
could be taken for a command; one that is refused is logged. Standard error is output.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from shmooze.modules.channel.contract import Owner
from shmooze.modules.channel.stream import Breach, OnEnd, Stream
from shmooze.modules.channel.streams import StreamChannel
from shmooze.processes.contract import ByteStream, NoEndpoint, Process
from shmooze.runtime.patience import Patience
from shmooze.runtime.printable import printable

log = logging.getLogger(__name__)


class StdioAdapter:
    """See Adapter of modules/channel/adapters.py."""

    keys: Collection[str] = ("reuse",)
    has_door = False

    def problem(self, kind: type[Any]) -> tuple[str, str] | None:
        return None

    def description(self, kind: type[Any]) -> dict[str, Any] | None:
        return None

    def make_channel(self, owner: Owner) -> StdioChannel:
        return StdioChannel(owner)


ADAPTER = StdioAdapter()


class StdioChannel(StreamChannel):
    """See Channel of modules/channel/contract.py."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self.commands.name, self.updates.name = "standard input", "standard output"
        self._lines: Lines | None = None

    def connect(self, timeout: float) -> None:
        stdio = self._owner.launch(NoEndpoint(), has_stdio=True).stdio
        commands = Half(stdio)
        self._update_half = updates = UpdateHalf(self._owner)
        self._lines = Lines(commands, updates, self._owner.channel_ended, self.give_up)
        # Both are ready before anything is read.
        self.commands.attach(commands)
        self.updates.attach(updates)
        self._lines.attach(stdio)
        self._wait_connected(Patience(timeout))

    def release(self, patience: Patience) -> bool:
        return super().release(patience) and self._lines is not None and self._lines.is_quiet

    def hand_over(self, owner: Owner) -> None:
        super().hand_over(owner)
        if self._lines is not None:
            self._lines.hand_over(owner.channel_ended)
        self._update_half.owner = owner

    def has_unread(self, process: Process) -> bool:
        return process.has_unread(None)

    def wait_end(self, timeout: float) -> None:
        if self._lines is not None:
            self._lines.wait_end(timeout)


class Half:
    """One of the two streams over standard input and output.

    What is written goes to `stdio`; None: nothing can be written.
    """

    #: Bytes that are read at once, which does not matter here.
    piece = 0

    def __init__(self, stdio: ByteStream | None) -> None:
        self._stdio = stdio
        self._receive: Callable[[bytes], None] | None = None

    def deliver_lines(self, lines: list[bytes]) -> None:
        """Hand on whole lines."""
        if lines and self._receive is not None:
            self._receive(b"\n".join([*lines, b""]))

    def read_with(self, receive: Callable[[bytes], None]) -> None:
        self._receive = receive

    def stop_reading(self) -> None:
        self._receive = None

    def write(self, data: bytes) -> int:
        return len(data) if self._stdio is None else self._stdio.write(data)

    def write_all(self, data: bytes) -> None:
        if self._stdio is not None:
            self._stdio.write_all(data)

    def end_writing(self) -> None:
        if self._stdio is not None:
            self._stdio.end_writing()

    def wait_end(self, timeout: float) -> None:
        pass  # the channel waits for both

    def close(self) -> None:
        self.stop_reading()
        if self._stdio is not None:
            self._stdio.close()


class UpdateHalf(Half):
    """Updates come up, and acknowledgements of them go nowhere. Refusals are logged."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(None)
        self.owner = owner
        self._last_words = ""

    def write_all(self, data: bytes) -> None:
        if data.startswith(_FAILURE):
            words = json.loads(data.partition(b"\n")[0])["error"]
            if words != self._last_words:
                log.warning("%r: an update was refused: %s", self.owner, words)
            self._last_words = words


#: How a refusal of an update begins.
_FAILURE = b'{"success":false'
_ABSENT = msgspec.Raw()


class _Line(msgspec.Struct):
    """As much of a line as tells where it belongs."""

    success: msgspec.Raw = _ABSENT
    cmd: msgspec.Raw = _ABSENT


_decode = msgspec.json.Decoder(_Line).decode


class Lines(Stream):
    """What a program prints: each line belongs to one of the streams."""

    name = "standard output"

    def __init__(
        self, commands: Half, updates: Half, on_end: OnEnd, give_up: Callable[[str], None]
    ) -> None:
        super().__init__(on_end)
        self._commands, self._updates, self._give_up = commands, updates, give_up

    def _take(self, block: bytes) -> None:
        # Lines that follow each other on the same stream are handed on together.
        together: list[bytes] = []
        current = self._updates
        try:
            for line in block.split(b"\n"):
                half = self._half_of(line)
                if half is not current:
                    current.deliver_lines(together)
                    current, together = half, []
                together.append(line)
        finally:  # what came before a breach counts
            current.deliver_lines(together)

    def _half_of(self, line: bytes) -> Half:
        keys = _keys_of(line)
        if "success" in keys:
            return self._commands
        if "cmd" in keys:
            return self._updates
        shown = printable(line[:60].decode(errors="backslashreplace"))
        raise Breach(
            "printed a line on standard output that is neither an answer nor an update"
            f" (other output belongs on standard error): `{shown}`"
        )

    def _set_ended(self, reason: str) -> None:
        super()._set_ended(reason)
        self._give_up(reason)  # whoever waits for an answer will get none


def _keys_of(line: bytes) -> Collection[str]:
    """Which of `success` and `cmd` a line has."""
    try:
        found = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _keys_of_lenient(line)
    keys = {"success": found.success, "cmd": found.cmd}
    return [name for name, value in keys.items() if value is not _ABSENT]


def _keys_of_lenient(line: bytes) -> Collection[str]:
    """The same for a line that is not JSON as we want it, which its stream explains better."""
    try:
        value = json.loads(line)  # which takes NaN, long integers and half a surrogate pair
    except RecursionError:
        return [name for name in ("success", "cmd") if f'"{name}"'.encode() in line]
    except ValueError:
        return []
    return value if isinstance(value, dict) else []
