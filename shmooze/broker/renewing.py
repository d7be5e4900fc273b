"""New settings for a broker that runs: checked as at a start, then taken."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from shmooze.broker.catalog import check_preempt
from shmooze.broker.factory import ModuleFactory
from shmooze.broker.items import Items
from shmooze.broker.launchers import Launchers
from shmooze.broker.policy import Policy
from shmooze.broker.reconcile import Reconciler
from shmooze.broker.renewal import Prepare, Reloader, Renewal
from shmooze.broker.roster import Place, Roster
from shmooze.broker.section import max_starting, order, refuse_key
from shmooze.broker.shapes import Reloaded
from shmooze.broker.supervision import Supervision
from shmooze.errors import ShmoozeError
from shmooze.modules.channel.adapters import has_door
from shmooze.modules.kind import has_limits_in_time
from shmooze.modules.lifecycle import WITHOUT_PROCESS
from shmooze.modules.module import Module
from shmooze.runtime import declared
from shmooze.settings import Settings

log = logging.getLogger(__name__)


class Renewing:
    """The part of a broker, which has the attributes declared here, that can be changed."""

    name: str | None
    roster: Roster
    items: Items
    _factory: ModuleFactory
    _policy: Policy
    _reconciler: Reconciler
    _supervision: Supervision
    _launchers: Launchers | None
    types_by_place: Callable[[], dict[Place, dict[str, type[Module]]]]
    kinds: Callable[[], Any]
    need_jobs: Callable[[], Any]
    need_reloader: Callable[[], Reloader]
    prepare_gate: Callable[[Settings], Callable[[], None]]
    #: Takes new settings, part by part.
    renewals: list[Prepare]
    #: Makes a service of the present settings, which is never started; None: the types of this one
    #: are a program's.
    from_settings: Callable[[], Any] | None = None

    @property
    def launchers(self) -> Launchers:
        """The launchers of its types, from the start of the service on."""
        assert self._launchers is not None
        return self._launchers

    def reload(self) -> Reloaded:
        """Read the settings of this service again, and apply what has changed.

        Modules that run keep the definition of their type until their process ends. If the file
        has a mistake, it is returned as the error, and nothing changes.
        """
        return self.need_reloader().reload()

    def on_hangup(self) -> None:
        """Reload because of a signal."""
        try:
            self.reload()
        except ShmoozeError as bad:
            log.error("%s: %s", self.name, bad)

    def check_section(self, source: Settings, kinds: Iterable[type[Module]]) -> None:
        """Raise SettingsError for what its section must not have beside these types."""
        kinds = [*kinds]
        check_preempt(kinds, order(source, str(self.name)))
        if not any(map(has_door, kinds)):
            problem = "needs a type with `http`, to which requests can be passed on"
            refuse_key(source, str(self.name), "route_by", problem)

    def prepare_renewal(self, renewal: Renewal) -> Callable[[], None]:
        """See Prepare."""
        source, kinds = renewal.source, renewal.kinds
        self.check_section(source, kinds)
        quota = declared.quota(source, str(self.name))
        starting = max_starting(source, str(self.name))
        prepared = [prepare(renewal) for prepare in self.renewals]
        prepared.append(self.prepare_gate(source))

        def take() -> None:
            outdated = {*self.kinds()} - {*kinds}
            self._offer(renewal)
            self._reconciler.max_starting = starting
            for each in prepared:
                each()
            self._factory.renew(kinds, outdated, quota)
            self.launchers.preload_only(kinds)
            if any(map(has_limits_in_time, kinds)):
                self.need_jobs()

        return take

    def define_by(self, newest: Callable[[type[Module], Place], type[Module]]) -> None:
        """Let this say which definition of a type counts now for new processes, at a place."""
        self._factory.definitions.newest = newest

    def replace_outdated(self) -> None:
        """Let items that have no process, and do not get one now, have the present definitions."""
        background = [self.roster.background] if self.roster.background else []
        for module in [*self.roster.order, *background]:
            if module.state in WITHOUT_PROCESS and not self._reconciler.is_starting(module):
                self._factory.definitions.replace(module)

    def use_policy(self, policy: Policy) -> None:
        """Let another policy decide who plays from now on."""
        self._policy = policy
        self._supervision.needs_turn = policy.needs_turn
        self.items.use_policy(policy)
        self._reconciler.use_policy(policy)

    def _offer(self, renewal: Renewal) -> None:
        """Have other types on offer. Those who have asked for them see the same objects."""
        for place, kinds in self.types_by_place().items():
            new = dict(renewal.types[place])
            kinds.clear()
            kinds.update(new)
