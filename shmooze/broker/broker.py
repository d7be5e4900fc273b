"""The broker: everything that queue and pool share. They differ in policy and commands.

A command changes the roster at once. The reconciler then makes the modules do what the policy
wants, and the command waits for those that it has moved.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import bottle

from shmooze.access.permission import Target
from shmooze.access.scopes import ADD, OWN
from shmooze.broker.admission import Admission
from shmooze.broker.catalog import by_type, impatient_gateway
from shmooze.broker.declared import unknown_keys
from shmooze.broker.events import EventHub
from shmooze.broker.factory import ModuleFactory
from shmooze.broker.launchers import Launchers
from shmooze.broker.policy import Policy
from shmooze.broker.reconcile import Reconciler
from shmooze.broker.roster import Place, Roster
from shmooze.broker.supervision import Supervision
from shmooze.broker.usage import UsageSampler
from shmooze.broker.views import Wanted, explain, select, show
from shmooze.errors import CommandError
from shmooze.lib.database import Database
from shmooze.lib.service import JSONCommandProcessor, Service
from shmooze.modules.lifecycle import UNSTARTED, State
from shmooze.modules.module import Module
from shmooze.runtime import declared
from shmooze.runtime.program import flush_log

log = logging.getLogger(__name__)


class Broker(JSONCommandProcessor, Service):
    """A roster of modules as a service."""

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
            self.roster, str(self.name), self.remembered, self.events.tell_gone
        )
        self._factory = ModuleFactory(
            str(self.name), self.roster, self._supervision.on_change, self._log_module
        )
        self._usage = UsageSampler(self._living)
        self._policy = self.make_policy()
        self._reconciler = Reconciler(self.roster, self._policy)

    # What queue and pool decide.

    def make_policy(self) -> Policy:
        """Who plays. Called once, when all types are known."""
        raise NotImplementedError

    def kinds(self) -> Iterable[type[Module]]:
        """All types on offer."""
        return self.modules_available_dict.values()

    # Commands.

    def add(self, type: str, args: dict[str, Any] = {}) -> dict[str, str]:
        kind = self._kind(self.modules_available_dict, type)
        if self._policy.is_due(kind, len(self.roster.order)):
            module = self._factory.new_started(kind, args, Place.ARRIVING)
            self.roster.change(module, Place.ORDER)
            self._wait_for_new(module)
        else:
            module = self._factory.new_waiting(kind, args)
            self.roster.change(module, Place.ORDER)
        return {"uid": module.uid}

    def rm(self, uids: list[str]) -> None:
        self._reconciler.wait_for(self._dismiss_named(uids))

    def show_roster(self, parameters: Wanted = {}) -> list[dict[str, Any]]:
        """The modules in order, then those that are still starting and have no place yet."""
        return [show(module, parameters) for module in self.roster.listed]

    def modules_available(self) -> list[str]:
        return list(self.modules_available_dict)

    def tell_module(self, uid: str, cmd: str, args: dict[str, Any] = {}) -> Any:
        return self._find(uid).tell(cmd, args)

    def ask_module(self, uid: str, parameters: list[str]) -> dict[str, Any]:
        return select(self._find(uid), parameters)

    def output(self, uid: str) -> list[str]:
        lives = [module for module in self.roster.everyone if module.uid == uid]
        if not lives:
            raise CommandError(f"no module with uid {uid!r} lives in {self.name}")
        return lives[-1].output

    def gone(self) -> list[dict[str, Any]]:
        return list(self._supervision.ended)

    def standby_available(self) -> dict[str, Any]:
        """The children that wait to be needed; see standby."""
        return self._factory.standby.show()

    def usage(self) -> dict[str, Any]:
        """What each module uses; see usage."""
        return self._usage.read()

    # Who may do what.

    def cmd_targets(self, cmd: str, args: dict[str, Any]) -> Iterable[Target] | None:
        if cmd == "add" and "type" in args:
            return [Target(args["type"])]
        if cmd == "rm" and "uids" in args:
            return as_targets(self._named(args["uids"]))
        if cmd == "tell_module" and "uid" in args:
            return as_targets(self._named([args["uid"]]))
        return super().cmd_targets(cmd, args)

    # Life of the service.

    def serve_forever(self) -> None:
        """Serve until SIGTERM, SIGINT, SIGQUIT or SIGHUP; returns when every child is gone.

        The process splits in two here: what was started before, a thread say, is lost.
        """
        self._launchers = Launchers(self.kinds())
        self._launchers.guard()
        super().serve_forever()

    def start(self) -> None:
        source = declared.current()
        quota = declared.quota(source, str(self.name))
        admission = Admission(quota, self.max_modules, self.max_adds_per_minute)
        if self._logfilename or source.get("log_database_path"):
            self.logger = Database(self._logfilename, log_table=f"{self.name}_log")
            self.logger.open()  # programs that read it may start with us
        launchers = self._launchers or Launchers(self.kinds())
        launchers.prepare()  # ahead of listening: clients would find us half started
        super().start()
        # The port is ours, so nobody else can be this service now.
        identity = f"{self.host}:{self.port}"
        if swept := launchers.open(identity, self._exit_unguarded):
            log.warning("%s: ended %d processes that an earlier crash had left", self.name, swept)
        self.open(launchers, admission)
        unknown = unknown_keys(source, str(self.name))
        for warning in [*unknown, *launchers.warnings()]:
            log.warning("%s: %s", self.name, warning)
        if impatient := impatient_gateway(self.kinds()):
            log.warning("%s: %s", self.name, impatient)

    def open(self, launchers: Launchers, admission: Admission) -> None:
        """From now on there can be modules."""
        self._factory.open(launchers, admission, self.kinds())

    def stop(self) -> None:
        """End every child, then stop serving. Returns when the last one is gone."""
        self._supervision.stop_restarting()
        self._reconciler.stop_starting()
        self._factory.close()
        if self._server is not None:
            self._server.stop_listening()
        self.end_all("was stopped with the service")
        super().stop()
        if self.logger is not None:
            self.logger.close()

    def end_all(self, reason: str) -> None:
        """End all modules, for this reason. Returns when the last process is gone."""
        living = self._living()
        for module in living:
            module.removal = reason
        self._dismiss(living)
        for module in living:
            module.gone.wait()

    def _living(self) -> list[Module]:
        """All that have a process, or are about to."""
        return [
            each
            for each in self.roster.everyone
            if each.state is not State.WAITING or self._reconciler.is_starting(each)
        ]

    def _exit_unguarded(self) -> None:
        """Nobody is left to end our modules should we be killed: they were ended, and so do we."""
        flush_log()
        os._exit(1)

    def _application(self) -> bottle.Bottle:
        app = super()._application()
        app.route("/events", "GET", self._serve_events)
        return app

    def _serve_events(self) -> Iterator[bytes]:
        bottle.response.content_type = "text/event-stream"
        bottle.response.set_header("Cache-Control", "no-store")
        return self.events.watch(bottle.request.get_header("Last-Event-ID"))

    # What commands are made of.

    def _kind(self, types: dict[str, type[Module]], type: str) -> type[Module]:
        if type not in types:
            raise CommandError(f"unknown module type {type!r}; known: {', '.join(types) or 'none'}")
        return types[type]

    def _wait_for_new(self, module: Module) -> None:
        """Wait until a new module does what it should. Raises CommandError if that failed."""
        self._reconciler.wait_for([module])
        if module.failed:
            module.gone.wait()  # only then it is known how it ended
        if module.failed:
            self._dismiss_named([module.uid])  # a successor that waits to be started
            raise CommandError(explain(module))

    def _dismiss_named(self, uids: list[str]) -> list[Module]:
        named = self._named(uids)
        self._dismiss(named)
        return named

    def _named(self, uids: Iterable[str]) -> list[Module]:
        wanted = set(uids)
        return [module for module in self.roster.everyone if module.uid in wanted]

    def _dismiss(self, modules: Iterable[Module]) -> None:
        for module in modules:
            self.roster.change(module, Place.NOWHERE)
            if module.state in UNSTARTED:
                module.cancel()

    def _find(self, uid: str) -> Module:
        module = self.roster.find(uid)
        place = self.roster.place_of(module) if module is not None else Place.NOWHERE
        if module is not None and place is Place.ORDER:
            return module
        if place is Place.ARRIVING:
            raise CommandError(f"module {uid!r} in {self.name} is still starting")
        raise CommandError(f"no module with uid {uid!r} in {self.name}")

    def _log_module(self, uid: str, namespace: str, command: Any, answer: Any) -> None:
        if self.logger is not None:
            self.logger.log(uid, namespace, command, answer)

    log_cmds: tuple[str, ...] = ("rm", "add", "tell_module")
    cmd_scopes: Mapping[str, tuple[str, ...]] = {
        "add": (ADD,),
        "rm": (OWN,),
        "tell_module": (OWN,),
    }
    read_cmds: tuple[str, ...] = (
        "modules_available",
        "ask_module",
        "output",
        "gone",
        "usage",
        "standby_available",
    )


def as_targets(modules: Iterable[Module]) -> list[Target]:
    """Modules as what a command would change."""
    return [Target(each.TYPE_STRING, each.uid, each.origin.by) for each in modules]
