"""A queue or pool: its roster, its policy, its commands. `Broker` is what both share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shmooze.broker.broker import Broker as Broker

__all__ = ["Broker"]


def __getattr__(name: str) -> object:
    # Imported on first use, so that the parts can be imported without the whole.
    if name == "Broker":
        from shmooze.broker.broker import Broker

        return Broker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
