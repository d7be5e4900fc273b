"""What the state file knows of items that have ended, for the service itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from shmooze.modules.exit import Outcome
from shmooze.state.file import StateFile
from shmooze.state.item_table import ItemTable
from shmooze.state.write_behind import WriteBehind


class Ended:
    """The part of a keeper that changes nothing. See Keeper."""

    _behind: WriteBehind

    def __init__(self, file: StateFile, name: str) -> None:
        self._file, self._name, self._table = file, name, ItemTable(name)

    def find_outcome(self, uid: str) -> Outcome | None:
        known = self._read_outcome(uid)
        if known is None:  # its end may be written this moment
            self._behind.flush()
            known = self._read_outcome(uid)
        return known

    def known(self, uids: Collection[str]) -> Collection[str]:
        self._behind.flush()
        return self._file.read(lambda connection: self._table.known(connection, uids))

    def count_batch(self, batch: str) -> Mapping[str, int]:
        self._behind.flush()
        return self._file.read(lambda connection: self._table.count_batch(connection, batch))

    def problem(self) -> str | None:
        return self._file.check(*self._table.write_nothing_new())

    def _read_outcome(self, uid: str) -> Outcome | None:
        return self._file.read(lambda connection: self._table.find_outcome(connection, uid))
