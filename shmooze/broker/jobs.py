"""The contract of what jobs need besides a place: dependencies, waiting, and following output."""

from __future__ import annotations

from typing import Any, Protocol

from shmooze.modules.terms import Terms


class Jobs(Protocol):
    """What hangs on a queue or pool as soon as a job needs it."""

    def resolve(self, terms: Terms) -> Terms:
        """The terms of a new item, with those of `after` that are done already.

        Raises CommandError for a uid that is not known.
        """

    def wait(self, uid: str, timeout: float) -> dict[str, Any] | None:
        """How an item has ended; None: it has not, within `timeout` seconds or less. Raises
        CommandError.
        """

    def wait_for_batch(self, batch: str, timeout: float) -> dict[str, Any] | None:
        """How the items of a batch have ended; None: some live, likewise."""

    def follow(self, uid: str, since: int, timeout: float) -> dict[str, Any]:
        """What an item has printed since then, and how it has ended. Raises CommandError."""

    def serve_output(self, uid: str) -> Any:
        """Answer a request for the output of an item as it comes, with a stream of events."""
