"""Waiting in a test whose own process runs what it waits for, in greenlets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from support import PATIENCE


def run_until(condition: Callable[[], Any], what: str = "it is so") -> Any:
    """As wait_until, while the event loop of this process runs."""
    with gevent.Timeout(PATIENCE, AssertionError(f"waited in vain: {what}")):
        while not (value := condition()):
            gevent.sleep(0.005)
        return value
