"""The broker: everything that queue and pool share. They differ in policy and commands.

A command changes the roster at once. The reconciler then makes the modules do what the policy
wants, and the command waits for those that it has moved.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from shmooze.broker.admission import Admission
from shmooze.broker.catalog import by_type, log_warnings
from shmooze.broker.commands import Commands
from shmooze.broker.describer import is_described
from shmooze.broker.events import EventHub
from shmooze.broker.factory import ModuleFactory
from shmooze.broker.health import problems_of
from shmooze.broker.items import Items
from shmooze.broker.keeper import Loss
from shmooze.broker.launchers import Launchers
from shmooze.broker.ordering import is_ordered
from shmooze.broker.policy import Policy, Room, Wanted
from shmooze.broker.reconcile import Reconciler
from shmooze.broker.renewing import Renewing
from shmooze.broker.restoring import restore
from shmooze.broker.roster import Place, Roster
from shmooze.broker.section import max_starting
from shmooze.broker.supervision import STOPPED, Supervision
from shmooze.broker.usage import UsageSampler
from shmooze.errors import SettingsError
from shmooze.lib.database import Database
from shmooze.lib.service import Service
from shmooze.modules.channel.adapters import has_door
from shmooze.modules.kind import has_limits_in_time
from shmooze.modules.module import Module
from shmooze.runtime import declared, schema
from shmooze.runtime.program import exit_unguarded, exit_with
from shmooze.settings import Settings

log = logging.getLogger(__name__)


class Broker(Renewing, Commands, Service):
    """A roster of modules as a service."""

    log_cmds = (*Commands.log_cmds, "reload")
    #: Ended modules that `gone` tells of.
    remembered = 100
    #: Modules at the same time; a key of the settings, for all or in the section of one.
    max_modules = 1000
    #: Modules that one client may start in a minute; None: any number. A key, likewise.
    max_adds_per_minute: int | None = None

    def __init__(
        self,
        modules: Iterable[type[Module]],
        logfilename: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.name = name or self.name
        self.modules_available_dict = by_type(modules)
        self._logfilename = logfilename
        self._launchers: Launchers | None = None
        #: Which modules there are, where, and what each is doing.
        self.roster = Roster()
        #: What browsers see live.
        self.events = EventHub(self.roster)
        self._supervision = Supervision(
            self.roster,
            str(self.name),
            self.remembered,
            self.events.tell_gone,
            lambda: self.items.keeper,
        )
        self._factory = ModuleFactory(
            str(self.name), self.roster, self._supervision.on_change, self._log_module
        )
        self._supervision.renew = self._factory.definitions.replace
        self._usage = UsageSampler(lambda: self._reconciler.living())
        self.renewals = []
        self._policy = self.make_policy()
        self._supervision.needs_turn = self._policy.needs_turn
        self._reconciler = Reconciler(self.roster, self._policy, self._before_start)
        #: Puts something in front of the application that answers commands.
        self.front: Callable[[Any], Any] = lambda app: app
        #: What `keep_value` has kept in an earlier life, by key.
        self.kept_values: Mapping[str, Any] = {}
        #: Called when there can be new modules, and before the service ends.
        self.on_open: list[Callable[[], object]] = []
        self.on_stop: list[Callable[[], object]] = []
        #: Called when there are no modules any more.
        self.on_closed: list[Callable[[], object]] = []
        #: Called with the uids of items that a client wants forgotten.
        self.on_forget: list[Callable[[Collection[str]], object]] = []
        #: Whether there cannot be processes yet.
        self.is_opening = True
        #: How long items of a type usually take, in seconds; None if that is not known. Without a
        #: history nobody knows of any.
        self.durations: Callable[[str], float | None] | None = None
        #: Why items of an earlier life do not come back, by uid.
        self.lost: dict[str, Loss] = {}
        #: The numbers of those that were starting when it ended, by uid.
        self._arrived: dict[str, float] = {}
        #: All changes to the items, each kept before it is carried out.
        self.items = Items(
            str(self.name), self.roster, self._factory, self._policy, self._reconciler
        )
        self.items.tell_status = self.events.tell_status
        self.allow_order_commands()

    # What queue and pool decide.

    def make_policy(self) -> Policy:
        """Who plays. Called once, when all types are known."""
        raise NotImplementedError

    @property
    def factory(self) -> ModuleFactory:
        """Makes the modules."""
        return self._factory

    def kinds(self) -> Iterable[type[Module]]:
        """All types on offer."""
        return self.modules_available_dict.values()

    @property
    def supervision(self) -> Supervision:
        """Knows how modules have ended."""
        return self._supervision

    @property
    def takes_turns(self) -> bool:
        """Whether what plays needs something that there is not enough of for all."""
        return False

    def room(self) -> Room | None:
        """What is free for more modules now; None: any number may play, or their order decides."""
        return None

    def waiting(self) -> Sequence[Module]:
        """Those whose turns have not come since there is not enough for them, first to last."""
        return ()

    def want(self, wanted: Sequence[Wanted]) -> None:
        """Let these play before all others that wait for a slot. Does not wait."""

    @property
    def is_closed(self) -> bool:
        """Whether there can be no new modules, since the service ends."""
        return self._factory.is_closed

    def types_by_place(self) -> dict[Place, dict[str, type[Module]]]:
        """The types on offer for each place of an item."""
        return {Place.ORDER: self.modules_available_dict}

    # Life of the service.

    def serve_forever(self) -> None:
        """Serve until SIGTERM, SIGINT, SIGQUIT or SIGHUP; returns when every child is gone.

        The process splits in two here: what was started before, a thread say, is lost.
        """
        try:
            self._launchers = Launchers(self.kinds(), str(self.name))
        except SettingsError as bad:
            exit_with(bad)
        self._launchers.guard()
        super().serve_forever()

    def start(self) -> None:
        source = declared.current()
        if self._logfilename or source.get("log_database_path"):
            self.logger = Database(self._logfilename, log_table=f"{self.name}_log")
            self.logger.open()  # programs that read it may start with us
        launchers, admission = self._configure(source, opens=True)
        launchers.prepare()  # ahead of listening: clients would find us half started
        self.restore(launchers)
        super().start()
        # The port is ours, so nobody else can be this service now.
        identity = f"{self.host}:{self.port}"
        if swept := launchers.open(identity, exit_unguarded):
            log.warning("%s: ended %d processes that an earlier crash had left", self.name, swept)
        launchers.preload(self.kinds())
        self.open(launchers, admission)
        if not source.get("state_path"):
            log.info("%s: no `state_path` in the settings: it forgets all when it ends", self.name)
        log_warnings(str(self.name), self.kinds(), launchers.warnings())

    def check(self) -> None:
        source = declared.current()
        schema.read(declared.State, source.values, source.error)
        launchers, _ = self._configure(source, opens=False)
        super().check()
        log_warnings(str(self.name), self.kinds(), launchers.warnings())

    def _configure(self, source: Settings, opens: bool) -> tuple[Launchers, Admission]:
        """Do what the settings say before anything is started. Raises SettingsError.

        `opens` says whether the state file and log files are opened.
        """
        name = str(self.name)
        quota = declared.quota(source, name)
        admission = Admission(quota, self.max_modules, self.max_adds_per_minute)
        self.check_section(source, self.kinds())
        launchers = self._launchers = self._launchers or Launchers(self.kinds(), name)
        if opens and source.get("state_path"):
            self.attach_state()
            self.attach_schedules()
        if source.get("metrics"):
            self.attach_metrics()
        self.attach_observers(source, opens)
        if is_ordered(source, name):
            self.attach_ordering()
        if any(map(is_described, self.kinds())):
            self.attach_descriptions()
        if any(map(has_door, self.kinds())):
            self.attach_doors()
        self._reconciler.max_starting = max_starting(source, name)
        return launchers, admission

    def restore(self, launchers: Launchers) -> None:
        """Bring the items of an earlier life back. None gets a process before `open`."""
        self._reconciler.stop_starting()
        kept = self.items.keeper.load()
        self._supervision.remember(kept.gone)
        types, ordering = self.types_by_place(), self.items.ordering
        self.lost, self._arrived = restore(
            kept, types, self.roster, self._factory, launchers, ordering
        )
        if any(module.terms.has_times for module in self.roster.everyone):
            self.need_times()
        has_after = any(module.terms.after for module in self.roster.everyone)
        if has_after or any(map(has_limits_in_time, self.kinds())):
            self.need_jobs()
        self.items.conditions.update_all()
        self.items.restore_pause(kept.values)
        self.kept_values = kept.values

    def open(self, launchers: Launchers, admission: Admission) -> None:
        """From now on there can be processes of modules, and new modules."""
        self._factory.open(launchers, admission, self.kinds())
        self.items.describer.open(launchers)
        # Which waits, and commands may come meanwhile.
        self.items.keeper.begin(self.lost, self._arrived)
        self._reconciler.begin_starting()
        self.is_opening = False
        for begin in self.on_open:
            begin()

    def stop(self) -> None:
        """End every child, then stop serving. Returns when the last one is gone."""
        self._supervision.stop_restarting()
        self._reconciler.stop_starting()
        for end in self.on_stop:
            end()
        self._factory.close()
        self.items.describer.close()
        if self._server is not None:
            self._server.stop_listening()
        self.end_all(STOPPED)
        if self._launchers is not None:
            self._launchers.close()
        super().stop()
        for end in self.on_closed:
            end()
        self.items.keeper.close()
        if self.logger is not None:
            self.logger.close()

    def end_all(self, reason: str) -> None:
        """End all modules, for this reason. Returns when the last process is gone."""
        living = self._reconciler.living()
        for module in living:
            module.removal = reason
        self.items.dismiss(living)
        for module in living:
            module.gone.wait()

    def _before_start(self, module: Module) -> None:
        self.items.keeper.keep_attempt(module)
        self._factory.reuse.lend(module)

    def health_problems(self) -> Mapping[str, str]:
        return problems_of(self.is_opening, self.items.keeper, self.logger)

    def _application(self) -> Any:
        app = super()._application()
        app.route("/events", "GET", self.events.serve)
        app.route(
            "/output/<uid:re:[0-9A-Za-z-]+>", "GET", lambda uid: self.need_jobs().serve_output(uid)
        )
        return self.front(app)

    def _log_module(self, uid: str, namespace: str, command: Any, answer: Any) -> None:
        if self.logger is not None:
            self.logger.log(uid, namespace, command, answer)
