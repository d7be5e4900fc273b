"""The backlog of the command log: rows that wait in memory until they are written.

Rows that set parameters of one module and follow each other become one row with the merged
parameters, unless they have different callers, and rows with the states that it saves become one
with the last state. The two kinds may alternate, since neither says anything about the other. The
number of rows and their bytes are limited: the oldest are dropped and counted.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any, NamedTuple

import msgspec

from shmooze.lib.logfile import Values
from shmooze.runtime.time_slices import TimeSlices

log = logging.getLogger(__name__)

_encode = msgspec.json.encode

#: Of updates from modules. Elsewhere `save` may be anybody's command.
_UPDATES = "module-instance"


class _Row(NamedTuple):
    """One entry. `input` and `output` are JSON values, not yet encoded."""

    uid: str | None
    namespace: str
    timestamp: str
    input: Any
    output: Any
    #: The name of the caller's token; None: none, or no command of a client.
    by: str | None


class Backlog:
    """Rows on their way to the log `name`: added, encoded, being written."""

    def __init__(self, name: str, max_rows: int, max_bytes: int) -> None:
        self._name = name
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._added: deque[_Row] = deque()
        #: An added row that more can be merged into, by uid of the module: whose it is, and its
        #: parameters.
        self._open: dict[str | None, tuple[str | None, dict[str, Any]]] = {}
        #: The args of an added row whose saved state a later one can replace, likewise.
        self._open_saves: dict[str | None, dict[str, Any]] = {}
        self._encoded: deque[Values] = deque()
        self._being_written: deque[Values] = deque()
        #: Bytes of JSON in the last two.
        self._bytes = 0
        #: Rows that were dropped since the last write that succeeded.
        self.dropped = 0
        #: Rows that were dropped in all.
        self.lost = 0

    def __len__(self) -> int:
        """Rows that are not written yet."""
        return len(self._added) + len(self._encoded) + len(self._being_written)

    @property
    def has_encoded(self) -> bool:
        """Whether there are rows for `take`."""
        return bool(self._encoded)

    def add(
        self, uid: str | None, namespace: str, command: Any, answer: Any, by: str | None = None
    ) -> None:
        """Add a row with the current time, or merge it into the last one of its module."""
        if uid is not None:
            cmd = command.get("cmd") if isinstance(command, dict) else None
            if cmd == "save" and namespace == _UPDATES:
                if (saved := self._open_saves.get(uid)) is not None:
                    saved.update(command["args"])
                    return
                self._open_saves[uid] = command["args"]
            elif cmd != "set_parameters":
                self._close(uid)  # later updates must not move ahead of this row
            elif (earlier := self._open.get(uid)) is not None and earlier[0] == by:
                earlier[1].update(command["args"]["parameters"])
                return
            else:
                own = dict(command["args"]["parameters"])
                self._open[uid] = by, own
                command["args"] = {"parameters": own}
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        self._added.append(_Row(uid, namespace, now, command, answer, by))
        if len(self._added) > self._max_rows:
            self._pop_added()
            self._count_dropped()

    def encode(self) -> None:
        """Encode the rows that were added. Yields to other greenlets in between."""
        slices = TimeSlices()
        for _ in range(len(self._added)):
            slices.yield_if_over()
            if not self._added:
                break
            row = self._pop_added()
            try:
                texts = _encode(row.input).decode(), _encode(row.output).decode()
            except (TypeError, ValueError, RecursionError) as bad:
                log.error("log %s: dropped an entry that is not JSON: %s", self._name, bad)
                self.lost += 1
                continue
            except MemoryError:
                self._count_dropped()
                continue
            values = (*row[:3], *texts, row.by)
            self._encoded.append(values)
            self._bytes += _size(values)
            self._drop_surplus()

    def take(self) -> list[Values]:
        """The encoded rows, to be written now. Then call `written` or `put_back`."""
        self._being_written, self._encoded = self._encoded, deque()
        return list(self._being_written)

    def written(self) -> None:
        """The rows of the last `take` were written."""
        self._bytes -= sum(map(_size, self._being_written))
        self._being_written.clear()
        self.dropped = 0

    def put_back(self) -> None:
        """The rows of the last `take` were not written: the next one returns them again."""
        self._being_written.extend(self._encoded)
        self._encoded, self._being_written = self._being_written, deque()
        self._drop_surplus()

    def clear(self) -> None:
        """Forget all rows."""
        for rows in (self._added, self._encoded, self._being_written):
            rows.clear()
        self._open.clear()
        self._open_saves.clear()
        self._bytes = self.dropped = 0

    def _pop_added(self) -> _Row:
        row = self._added.popleft()
        self._close(row.uid)
        return row

    def _close(self, uid: str | None) -> None:
        """Merge nothing more into the rows of a module."""
        self._open.pop(uid, None)
        self._open_saves.pop(uid, None)

    def _drop_surplus(self) -> None:
        """Drop the oldest encoded rows until the limits are kept."""
        while self._encoded and (
            len(self._encoded) + len(self._being_written) > self._max_rows
            or self._bytes > self._max_bytes
        ):
            self._bytes -= _size(self._encoded.popleft())
            self._count_dropped()

    def _count_dropped(self) -> None:
        self.dropped += 1
        self.lost += 1


def _size(values: Values) -> int:
    return len(values[3]) + len(values[4])
