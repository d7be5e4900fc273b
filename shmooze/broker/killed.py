"""Modules that were killed from outside, which may be the first sign of the service's own end.

What ends a machine, or a container, ends the service too, but maybe a moment later. Then their
items have not ended: they come back with the service, as their types say.
"""

from __future__ import annotations

from shmooze.broker.keeper import Keeper
from shmooze.modules.module import Module
from shmooze.runtime import clock

#: Seconds within which the service ends if it was killed together with its modules.
MOMENT = 1.0


def keep_failed(keeper: Keeper, module: Module) -> None:
    """See Keeper. If the service ends too, its client asks again, and must get the same item."""
    is_from_outside = module.exit is not None and module.exit.is_from_outside
    if is_from_outside and not keeper.is_instant:
        clock.sleep(MOMENT)
    keeper.keep_failed(module)
