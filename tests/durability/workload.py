"""What clients do to a service that is killed again and again, and what it must know afterwards."""

from __future__ import annotations

import random
from typing import Any, Protocol

from durability.target import Connection, Target


class Workload(Protocol):
    """One kind of work, with all that its clients know."""

    #: The service, `queue` or `pool`, and its section of the settings.
    service: str
    section: dict[str, Any]

    def work(self, connection: Connection, source: random.Random, number: int) -> None:
        """Do one thing, as the client with this number. Raises NoAnswer, or Refusal."""

    def compare(self, target: Target) -> list[str]:
        """A line for each fault in what the service knows. Called when it runs again."""

    def ask_again(self, connection: Connection) -> None:
        """Ask again for what was not answered."""

    def finish(self, target: Target) -> list[str]:
        """Called once after the last round. Returns the faults."""

    def answered(self) -> int:
        """Commands that were answered."""

    def refused(self) -> int:
        """Commands that could not be kept."""
