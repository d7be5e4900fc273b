"""The broker: a roster of modules, and the orders that keep it as it should be.

Queue and pool are brokers that differ in who plays.

Strategy. A command changes the roster at once, under no lock: the greenlets of this process
switch only where they wait, and a change never waits. `settle` then compares what each module
does with what it should do and gives the orders that are missing: suspend, play. Each order runs
in a greenlet of its own and settles again when it is done. A module whose order fails, by whatever
fault, is condemned and leaves the roster, so this comes to an end. A removal does not wait for the
order under way. A command waits until the modules that *it* moved have settled, and for no others.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import bottle
import gevent
from gevent.event import Event

from shmooze import settings
from shmooze.broker.admission import Admission
from shmooze.broker.catalog import by_type, impatient_gateway
from shmooze.broker.events import EventHub, View
from shmooze.broker.factory import Nursery
from shmooze.broker.usage import UsageSampler
from shmooze.broker.views import Wanted, entry, epitaph, explain, select, show
from shmooze.errors import CommandError, ModuleError
from shmooze.lib.database import Database
from shmooze.lib.service import JSONCommandProcessor, Service
from shmooze.modules.channel.command_stream import Superseded
from shmooze.modules.lifecycle import READY, State
from shmooze.modules.module import LAZY, Module, Stale, fault_of
from shmooze.modules.restarts import NEVER, ON_FAILURE
from shmooze.processes.contract import Launcher
from shmooze.processes.local import LocalLauncher
from shmooze.runtime.program import flush_log

log = logging.getLogger(__name__)


class Broker(JSONCommandProcessor, Service):
    """What queue and pool share: types on offer, roster, commands, settling, log."""

    #: Ended modules that `gone` tells of.
    remembered = 100
    #: Modules at the same time; a key of the settings, for all or in the section of one.
    max_modules = 1000
    #: Modules that one client may start in a minute; None: as many as it likes. A key, likewise.
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
        #: The modules that have a place, in order.
        self.roster: list[Module] = []
        #: Those that are starting; they get a place when they are ready.
        self._coming: list[Module] = []
        #: Those that can be given orders, by what they do.
        self.suspended: dict[Module, None] = {}
        self.playing: dict[Module, None] = {}
        self._logfilename = logfilename
        self._launcher: Launcher = LocalLauncher()
        self._nursery = Nursery(str(self.name), self._construct)
        #: Those that lost their place and are being told to go.
        self._dismissed: list[Module] = []
        self._gone: deque[dict[str, Any]] = deque(maxlen=self.remembered)
        #: What browsers see live; whatever changes is told to it.
        self.events = EventHub(self.view)
        self._usage = UsageSampler(lambda: self._living)
        self._orders: dict[Module, gevent.Greenlet] = {}
        self._progress = Event()
        self._stopping = False

    @property
    def _living(self) -> dict[Module, None]:
        """Every module with a process that is not yet gone."""
        return self._nursery.living

    # What queue and pool decide.

    def should_play(self, module: Module) -> bool:
        """Whether it is the turn of a module that has a place."""
        raise NotImplementedError

    def undecided(self) -> Iterable[Module]:
        """The modules that may not do what they should: all of those, and few others."""
        return [*self.suspended, *self.playing]

    def may_play(self, module: Module) -> bool:
        """Whether a module whose turn it is may start to play already."""
        return True

    def replace(self, module: Module, successor: Module | None) -> bool:
        """Give a module's place to another, or to nobody; whether it had one."""
        if module not in self.roster:
            return False
        place = self.roster.index(module)
        self.roster[place : place + 1] = [successor] if successor else []
        return True

    def view(self) -> View:
        """What watchers of the events see: the same as clients that ask."""
        return View({module.uid: entry(module) for module in [*self.roster, *self._coming]})

    def is_due(self, kind: type[Module], place: int) -> bool:
        """Whether a lazy module of this type must be started when it has this place."""
        return True

    def due(self) -> Iterable[Module]:
        """The waiting modules that are to be started."""
        return []

    def kinds(self) -> Iterable[type[Module]]:
        """All types on offer."""
        return self.modules_available_dict.values()

    # Commands.

    def add(self, type: str, args: dict[str, Any] = {}) -> dict[str, str]:
        kind = self._kind(self.modules_available_dict, type)
        if kind.spawn == LAZY and not self.is_due(kind, len(self.roster)):
            module = self._nursery.new_waiting(kind, args)
            self.roster.append(module)
            self.settle()
            return {"uid": module.uid}
        module = self._start_new(kind, args, self._coming)
        self.roster.append(module)
        self.settle_and_wait([module])
        self._refuse_failed(module)
        return {"uid": module.uid}

    def rm(self, uids: list[str]) -> None:
        self.settle_and_wait(self._dismiss_named(uids))

    def show_roster(self, parameters: Wanted = {}) -> list[dict[str, Any]]:
        """The modules in order, then those that are still starting and have no place yet."""
        return [show(module, parameters) for module in [*self.roster, *self._coming]]

    def modules_available(self) -> list[str]:
        return list(self.modules_available_dict)

    def tell_module(self, uid: str, cmd: str, args: dict[str, Any] = {}) -> Any:
        return self._find(uid).tell(cmd, args)

    def ask_module(self, uid: str, parameters: list[str]) -> dict[str, Any]:
        return select(self._find(uid), parameters)

    def output(self, uid: str) -> list[str]:
        for module in reversed(self._living):  # the newest life of one that was started again
            if module.uid == uid:
                return module.output
        raise CommandError(f"no module with uid {uid!r} lives in {self.name}")

    def gone(self) -> list[dict[str, Any]]:
        return list(self._gone)

    def standby_available(self) -> dict[str, Any]:
        """The children that wait to be needed; see modules.standby."""
        return self._nursery.standby.show()

    def usage(self) -> dict[str, Any]:
        """What each module uses of the machine; see modules.usage."""
        return self._usage.read()

    # Life of the service.

    def serve_forever(self) -> None:
        """Serve until SIGTERM, SIGINT, SIGQUIT or SIGHUP; returns when every child is gone.

        The process splits in two here: what was started before, a thread say, is lost.
        """
        self._launcher.guard()
        super().serve_forever()

    def start(self) -> None:
        limits = settings.current().section(str(self.name), "max_modules", "max_adds_per_minute")
        admission = Admission(limits, self.max_modules, self.max_adds_per_minute)
        if self._logfilename or settings.get("log_database_path"):
            self.logger = Database(self._logfilename, log_table=f"{self.name}_log")
            self.logger.open()  # programs that read it may start with us
        self._launcher.prepare()  # ahead of listening: clients would find us half started
        super().start()
        # The port is ours, so nobody else can be this service now.
        self._launcher.open(f"{self.host}:{self.port}", self._exit_unguarded)
        if swept := self._launcher.sweep():
            log.warning("%s: ended %d processes that an earlier crash had left", self.name, swept)
        self._nursery.open(self._launcher, admission, self.kinds())
        for warning in self._launcher.warnings():
            log.warning("%s: %s", self.name, warning)
        if impatient := impatient_gateway(self.kinds()):
            log.warning("%s: %s", self.name, impatient)

    def stop(self) -> None:
        """End every child, then stop serving. Returns when the last one is gone."""
        self._stopping = True
        self._nursery.close()
        if self._server is not None:
            self._server.stop_listening()
        for module in self._living:
            module.removal = "was stopped with the service"
        self._dismiss(list(self._living))
        self.settle()
        for module in list(self._living):
            module.gone.wait()
        super().stop()
        if self.logger is not None:
            self.logger.close()

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

    # Settling.

    def settle(self) -> None:
        """Give every order that is missing, and wake those who wait for one to be done."""
        self.events.touch()
        try:
            for module in self.undecided():
                if module not in self._orders and self._missing_order(module) is not None:
                    self._orders[module] = gevent.spawn(self._carry_out, module)
            for module in self.due():
                if self._nursery.begin(module):
                    gevent.spawn(self._start_in_place, module)
        finally:  # also where an application's own policy has failed
            self._progress.set()
            self._progress = Event()

    def _missing_order(self, module: Module) -> Callable[[], None] | None:
        if module.state not in READY or module in self._dismissed:
            return None
        if not self.should_play(module):
            return module.suspend if module.state is State.PLAYING else None
        if module.state is State.SUSPENDED and self.may_play(module):
            return module.play
        return None

    def _carry_out(self, module: Module) -> None:
        try:
            order = self._missing_order(module)  # things may have changed since the spawn
            if order is not None:
                before = module.state
                action = "suspend" if before is State.PLAYING else "play"
                self._attempt(module, action, order)
                if module.state is before and module not in self._dismissed:
                    # A subclass has not passed it on; it would be given for ever.
                    words = f"is still {before.value} after `{action}`"
                    module.condemn(ModuleError(words))
        finally:
            del self._orders[module]
            self.settle()

    def _remove(self, module: Module) -> None:
        """Have a module go that has no place any more, whatever it is at."""
        self._attempt(module, "remove", module.remove)
        module.condemn(ModuleError(module.removal))  # where a subclass has not done so
        if (order := self._orders.get(module)) is not None:
            order.kill(block=False)  # it waits for something else than its child

    def _attempt(self, module: Module, action: str, act: Callable[[], None]) -> bool:
        """Do something to a module; whether that went well.

        Whatever fails here, faults of an application's subclass included, fails the module, and
        neither the service nor those who wait for it.
        """
        try:
            act()
            return True
        except Superseded:  # it is being removed
            pass
        except ModuleError as bad:
            module.condemn(bad)
        except BaseException as bug:
            if module.state not in (State.ENDING, State.GONE):
                log.exception("%s: %r: `%s` failed", self.name, module, action)
            module.condemn(fault_of(action, bug))
        return False

    def settle_and_wait(self, modules: Iterable[Module]) -> None:
        """Settle, and wait until each of `modules` has been seen doing what it should."""
        self.settle()
        waiting = set(modules)
        while waiting := {module for module in waiting if not self._is_settled(module)}:
            self._progress.wait()

    def _is_settled(self, module: Module) -> bool:
        if module.state not in READY:
            return True
        if module in self._orders or module in self._dismissed:
            return False
        return (module.state is State.PLAYING) == self.should_play(module)

    # Modules come and go.

    def _kind(self, types: dict[str, type[Module]], type: str) -> type[Module]:
        if type not in types:
            raise CommandError(f"unknown module type {type!r}; known: {', '.join(types) or 'none'}")
        return types[type]

    def _construct(self, kind: type[Module], launcher: Launcher, state: State) -> Module:
        return kind(
            str(uuid.uuid4()),
            launcher,
            self._on_change,
            self._log_module,
            lambda module: self.events.touch(module.uid),
            state,
        )

    def _start_new(
        self, kind: type[Module], args: dict[str, Any], starting: list[Module]
    ) -> Module:
        """A new module that has accepted `init`; until then it is in the list `starting`.

        It comes from standby; or is a fresh one, also where that from standby is dead or asleep.
        """
        module = self._nursery.new(kind)
        try:
            self._bring_up(module, args, starting)
        except Stale:
            log.warning("%s: %r from standby is of no use: another is started", self.name, module)
            module = self._nursery.new_instead(kind)
            self._bring_up(module, args, starting)
        return module

    def _bring_up(self, module: Module, args: dict[str, Any], starting: list[Module]) -> None:
        starting.append(module)
        self.events.touch()
        try:
            module.start(args)
        except Stale:
            raise
        except ModuleError as bad:
            raise CommandError(explain(module)) from bad
        except Exception as bug:  # a fault of ours, or of the application's subclass
            module.condemn(fault_of("start", bug))
            if isinstance(bug, CommandError):
                raise
            log.exception("%s: %r: `start` failed", self.name, module)
            module.gone.wait()
            raise CommandError(explain(module)) from bug
        except BaseException:  # whoever wanted it has given it up
            module.condemn(ModuleError("was given up while it started"))
            raise
        finally:
            starting.remove(module)
            self.events.touch()

    def _start_in_place(self, module: Module) -> None:
        """Start a module that has its place already."""
        if self._attempt(module, "start", lambda: module.start(module.args)):
            self.settle()  # otherwise its end has come through _on_change

    def _refuse_failed(self, module: Module) -> None:
        """Make the command that brought a module fail if it failed at its first order."""
        if module.failed:
            module.gone.wait()  # only then it is known how it ended
        if module.failed:
            self._dismiss_named([module.uid])  # a successor that waits to be started
            raise CommandError(explain(module))

    def _dismiss_named(self, uids: list[str]) -> list[Module]:
        wanted = set(uids)
        everyone = dict.fromkeys([*self.roster, *self._living])
        named = [module for module in everyone if module.uid in wanted]
        self._dismiss(named)
        return named

    def _dismiss(self, modules: Iterable[Module]) -> None:
        for module in modules:
            self.replace(module, None)
            if module.state in (State.WAITING, State.STARTING):
                module.cancel()
            elif module.state in READY and module not in self._dismissed:
                self._dismissed.append(module)
                gevent.spawn(self._remove, module)

    def _on_change(self, module: Module) -> None:
        """Every change of a module's state comes through here."""
        self.events.touch(module.uid)
        was_ready = module in self.suspended or module in self.playing
        if not was_ready or module.state not in READY:  # one less is starting, or one has ended
            self._nursery.standby.look()
        for state, modules in ((State.SUSPENDED, self.suspended), (State.PLAYING, self.playing)):
            if module.state is state:
                modules[module] = None
            else:
                modules.pop(module, None)
        if module.state is State.ENDING:
            self._nursery.ending.add(module)
            if module in self._dismissed:
                self._dismissed.remove(module)
            if module.restart == NEVER or self._stopping or not self._succeed(module):
                self.replace(module, None)
            self.settle()
        elif module.state is State.GONE:
            log.log(_severity(module), "%s: %r %s", self.name, module, module.reason)
            self._nursery.forget(module)
            self._gone.append(record := epitaph(module))
            self.events.tell_gone(module.uid, record["reason"], record["ended"])

    def _succeed(self, module: Module) -> bool:
        """Let a successor wait in a module's place; whether there is such a place."""
        try:
            successor = module.successor()
        except Exception:  # a fault of the application's subclass
            log.exception("%s: %r cannot be started again", self.name, module)
            return False
        if not self.replace(module, successor):
            return False
        self._living[successor] = None
        restart = partial(self._restart, module, successor)
        gevent.spawn(self._attempt, successor, "restart", restart)
        return True

    def _restart(self, ended: Module, successor: Module) -> None:
        """When a module has gone, start its successor after a while, or give it up."""
        ended.gone.wait()
        assert ended.death is not None
        if successor.state is not State.STARTING:
            return  # it was removed in between
        if ended.restart == ON_FAILURE and not ended.failed:
            self.replace(successor, None)
            del self._living[successor]
            self.settle()
            self._nursery.standby.look()
            return
        delay = successor.restarts.delay_after(ended.death.seconds)
        if delay is None:
            self.replace(successor, None)
            count, last = successor.restarts.count, ended.reason
            times = "1 restart" if count == 1 else f"{count} restarts"
            successor.condemn(ModuleError(f"was given up after {times}; the last time it {last}"))
            return
        successor.next_attempt = round(time.time() + delay, 1)
        self.events.touch(successor.uid)
        self._nursery.standby.look()  # it does not count as starting meanwhile
        log.warning("%s: %r is started again in %.1f s", self.name, successor, delay)
        if successor.gone.wait(delay):
            return
        successor.next_attempt = None
        self.events.touch(successor.uid)
        self._start_in_place(successor)

    def _find(self, uid: str) -> Module:
        for module in self.roster:
            if module.uid == uid:
                return module
        if any(module.uid == uid for module in self._coming):
            raise CommandError(f"module {uid!r} in {self.name} is still starting")
        raise CommandError(f"no module with uid {uid!r} in {self.name}")

    def _log_module(self, uid: str, namespace: str, command: Any, answer: Any) -> None:
        if self.logger is not None:
            self.logger.log(uid, namespace, command, answer)

    log_cmds: tuple[str, ...] = ("rm", "add", "tell_module")
    read_cmds: tuple[str, ...] = (
        "modules_available",
        "ask_module",
        "output",
        "gone",
        "usage",
        "standby_available",
    )


def _severity(ended: Module) -> int:
    """The level at which the end of a module is logged."""
    if ended.restarts.given_up:
        return logging.ERROR
    return logging.WARNING if ended.failed else logging.INFO
