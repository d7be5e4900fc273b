"""Faults of an application: an exception from an action fails its module, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable

from shmooze.errors import ModuleError
from shmooze.modules.channel.command_stream import Superseded
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module, fault_of

log = logging.getLogger(__name__)


def attempt(module: Module, name: str, action: Callable[[], None]) -> bool:
    """Do something with a module. Returns True if it succeeded.

    Whatever it raises, faults of an application's subclass included, fails the module, and neither
    the service nor those who wait for it.
    """
    try:
        action()
        return True
    except Superseded:  # it is being removed
        pass
    except ModuleError as bad:
        module.fail(bad)
    except BaseException as bug:
        if module.state not in (State.ENDING, State.GONE):
            log.exception("%r: `%s` failed", module, name)
        module.fail(fault_of(name, bug))
    return False
