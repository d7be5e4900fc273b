"""Faults of an application: an exception from an action fails its module, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable

from shmooze.errors import ModuleError
from shmooze.modules.channel.command_stream import Superseded
from shmooze.modules.exit import fault_of
from shmooze.modules.lifecycle import ENDED, State
from shmooze.modules.module import Module

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
        if module.state not in ENDED:
            log.exception("%r: `%s` failed", module, name)
        module.fail(fault_of(name, bug))
    return False


def fail_if_still(module: Module, state: State, name: str) -> None:
    """Fail a module whose state an action should have changed: a subclass has not passed it on."""
    try:
        check_changed(module, state, name)
    except ModuleError as unchanged:
        module.fail(unchanged)


def check_changed(module: Module, state: State, name: str) -> None:
    """Raise ModuleError for a module that is in the same state as before an action."""
    if module.state is state:
        raise ModuleError(f"is still {state.shown} after `{name}`")


def given_up(successor: Module, ended: Module) -> ModuleError:
    """Why a module is not started again after the last of several ends."""
    count = successor.restarts.count
    times = "1 restart" if count == 1 else f"{count} restarts"
    return ModuleError(f"was given up after {times}; the last time it {ended.reason}")


def severity(ended: Module) -> int:
    """The level at which the end of a module is logged."""
    if ended.restarts.given_up:
        return logging.ERROR
    return logging.WARNING if ended.failed else logging.INFO
