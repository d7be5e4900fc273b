"""Exponential backoff: how long to wait before the next attempt at something that fails."""

from __future__ import annotations

import random
from dataclasses import dataclass

#: Doublings after which any delay is past the longest one anyway.
_MAX_DOUBLINGS = 64


@dataclass(frozen=True)
class Backoff:
    """Delays that double with each attempt, up to a longest one. In seconds."""

    first: float
    longest: float
    #: By how much of itself a delay is varied at random, up and down, so that many do not come
    #: back at the same moment.
    jitter: float = 0.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, counted from 1."""
        doublings = min(failures - 1, _MAX_DOUBLINGS)
        delay = min(self.longest, self.first * 2.0**doublings)
        return delay * random.uniform(1 - self.jitter, 1 + self.jitter) if self.jitter else delay
