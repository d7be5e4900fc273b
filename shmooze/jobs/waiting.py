"""Waiting for the end of an item, or of all items of a batch."""

from __future__ import annotations

from typing import Any

from shmooze.errors import CommandError
from shmooze.jobs.ends import Ends


class Waiting:
    """Answers `wait`. Nobody waits for more than `longest` seconds, but may ask again."""

    def __init__(self, ends: Ends, longest: float) -> None:
        self._ends, self._longest = ends, longest

    def wait(self, uid: str, timeout: float) -> dict[str, Any] | None:
        """See Jobs."""
        entry: dict[str, Any] | None = None

        def has_ended() -> bool:
            nonlocal entry
            entry = self._ends.entry_of(uid)
            return entry is not None

        self._ends.wait_until(has_ended, min(timeout, self._longest), uid)
        return entry

    def wait_for_batch(self, batch: str, timeout: float) -> dict[str, Any] | None:
        """See Jobs."""
        if not self._ends.batch_lives(batch) and not self._ends.count_batch(batch):
            raise CommandError(f"wait: no item of a batch {batch!r} is known")
        most = min(timeout, self._longest)
        self._ends.wait_until(lambda: not self._ends.batch_lives(batch), most, None)
        if self._ends.batch_lives(batch):
            return None
        return {"batch": batch, **self._ends.count_batch(batch)}
