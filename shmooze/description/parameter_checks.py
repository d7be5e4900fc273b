"""Parameters of modules, checked against their schemas: misfits are logged.

Strategy. What a module reports is shown, whether it fits or not. Only the parameters that have
changed are checked, from time to time, so that a busy module costs no more than a calm one. Each
module is told of once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gevent

from shmooze.broker.roster import Change, Roster
from shmooze.description.description import Description
from shmooze.description.schemas import Unchecked, Validator
from shmooze.description.words import problem_of
from shmooze.modules.module import Module
from shmooze.runtime import clock

log = logging.getLogger(__name__)

_UNSET = object()


class ParameterChecks:
    """Checks the parameters of the modules of a roster.

    `description_of` returns the description of a module's type, None if it has none.
    """

    #: Seconds between two checks.
    interval = 1.0

    def __init__(
        self,
        service: str,
        roster: Roster,
        description_of: Callable[[Module], Description | None],
    ) -> None:
        self._service, self._roster, self._description_of = service, roster, description_of
        self._changed: set[str] = set()
        #: What was checked last, by uid; None: nothing more is checked, since a fault was found.
        self._checked: dict[str, dict[str, Any] | None] = {}
        self._checking: gevent.Greenlet | None = None
        self._is_closed = False
        roster.listen(self._on_change)

    def close(self) -> None:
        """Check nothing more."""
        self._is_closed = True
        if self._checking is not None:
            self._checking.kill()

    def _on_change(self, uid: str, what: Change) -> None:
        if what is Change.PARAMETERS:
            self._changed.add(uid)
            if self._checking is None and not self._is_closed:
                self._checking = gevent.spawn(self._check_later)
        elif Change.PLACE in what and self._roster.find(uid) is None:
            self._checked.pop(uid, None)

    def _check_later(self) -> None:
        try:
            while self._changed:
                clock.sleep(self.interval)
                changed, self._changed = self._changed, set()
                for uid in changed:
                    self._check(uid)
                    gevent.sleep(0)
        finally:
            self._checking = None

    def _check(self, uid: str) -> None:
        module = self._roster.find(uid)
        description = self._description_of(module) if module is not None else None
        if module is None or description is None:
            return
        before = self._checked.setdefault(uid, {})
        if before is None:
            return
        for name, validator in description.parameters.items():
            value = module.parameters.get(name, _UNSET)
            if value is _UNSET or value is before.get(name, _UNSET):
                continue
            before[name] = value
            if problem := _problem(validator, value):
                log.warning("%s: %r: its parameter `%s` %s", self._service, module, name, problem)
                self._checked[uid] = None
                return


def _problem(validator: Validator, value: Any) -> str | None:
    """Why a value does not fit; None: it does."""
    try:
        error = validator.error(value)
    except Unchecked as bad:
        return f"is not checked: its parts {bad}"
    if error is None:
        return None
    return f"does not fit the description of its type: {problem_of(error)}"
