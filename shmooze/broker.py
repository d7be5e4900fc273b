"""The broker: a roster of modules, and the orders that keep it as it should be.

Queue and pool are brokers that differ in who plays.

Strategy. A command changes the roster at once, under no lock: the greenlets of this process
switch only where they wait, and a change never waits. `settle` then compares what each module
does with what it should do and gives the orders that are missing: remove, suspend, play. Each
order runs in a greenlet of its own and settles again when it is done. A module whose order fails
is condemned and leaves the roster, so this comes to an end. A command waits until the modules
that *it* moved have settled, and for nobody else's.
"""

from __future__ import annotations

import argparse
import logging
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gevent
from gevent.event import Event
from gevent.socket import wait_read

from shmooze import settings
from shmooze.errors import CommandError, ModuleError, ShmoozeError
from shmooze.lib.database import Database
from shmooze.lib.service import JSONCommandProcessor, Service, complain
from shmooze.modules import guardian
from shmooze.modules.catalog import by_type
from shmooze.modules.launcher import LocalLauncher
from shmooze.modules.lifecycle import READY, State
from shmooze.modules.module import Module

log = logging.getLogger(__name__)

#: Which parameters a client wants to see: {type: [names]}, or true for all of all types.
Wanted = dict[str, list[str]] | bool


class Broker(JSONCommandProcessor, Service):
    """What queue and pool share: types on offer, roster, commands, settling, log."""

    #: Ended modules that `gone` tells of.
    remembered = 100

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
        self._logfilename = logfilename
        self._launcher: LocalLauncher | None = None
        self._guardian: int | None = None
        #: Every module with a process that is not yet gone.
        self._living: dict[str, Module] = {}
        #: Those that lost their place and are to be told to go.
        self._dismissed: list[Module] = []
        self._gone: deque[dict[str, Any]] = deque(maxlen=self.remembered)
        self._orders: dict[Module, gevent.Greenlet] = {}
        self._progress = Event()
        self._stopping = False

    # What queue and pool decide.

    def on_turn(self) -> Sequence[Module]:
        """The modules that should play now."""
        raise NotImplementedError

    def may_play(self, module: Module) -> bool:
        """Whether a module whose turn it is may start to play already."""
        return True

    def drop(self, module: Module) -> None:
        """Take a module off its place, if it has one."""
        if module in self.roster:
            self.roster.remove(module)

    # Commands.

    def add(self, type: str, args: dict[str, Any] = {}) -> dict[str, str]:
        module = self._new(self.modules_available_dict, type)
        self._coming.append(module)
        try:
            self._bring_up(module, args)
        finally:
            self._coming.remove(module)
        self.roster.append(module)
        self.settle_and_wait([module])
        self._refuse_failed(module)
        return {"uid": module.uid}

    def rm(self, uids: list[str]) -> None:
        before = self.on_turn()
        named = [module for module in self._living.values() if module.uid in set(uids)]
        self._dismiss(named)
        self.settle_and_wait([*named, *before, *self.on_turn()])

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
        return self._find(uid).output

    def gone(self) -> list[dict[str, Any]]:
        return list(self._gone)

    # Life of the service.

    def serve_forever(self) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP; returns when every child is gone.

        The process splits in two here: what was started before, a thread say, is lost.
        """
        self._guardian = guardian.stand_guard()
        super().serve_forever()

    def start(self) -> None:
        filename = self._logfilename or settings.get("log_database_path")
        if filename:
            self.logger = Database(filename, log_table=f"{self.name}_log")
        super().start()
        log.info("%s: listening on %s:%s", self.name, self.host, self.port)
        # The port is ours, so nobody else can be this service now.
        self._launcher = LocalLauncher(f"{self.host}:{self.port}")
        if swept := self._launcher.end_all():
            log.warning("%s: ended %d processes that an earlier crash had left", self.name, swept)
        if self._guardian is not None:
            gevent.spawn(self._outlive, self._guardian)
        elif guardian.MISSING:
            log.warning("%s: no guardian: %s", self.name, guardian.MISSING)

    def stop(self) -> None:
        """End every child, then stop serving. Returns when the last one is gone."""
        self._stopping = True
        if self._server is not None:
            self._server.stop_listening()
        self._dismiss(list(self._living.values()))
        self.settle()
        for module in list(self._living.values()):
            module.gone.wait()
        super().stop()
        if self.logger is not None:
            self.logger.close()

    def _outlive(self, guardian_alive: int) -> None:
        """When the guardian is gone there is nobody to clean up after us: end at once."""
        wait_read(guardian_alive)
        log.critical("%s: the guardian was killed; ending all modules", self.name)
        assert self._launcher is not None
        self._launcher.end_all()
        os._exit(1)

    # Settling.

    def settle(self) -> None:
        """Give every order that is missing, and wake those who wait for one to be done."""
        for module in [*self._dismissed, *self._living.values()]:
            if module not in self._orders and self._missing_order(module) is not None:
                self._orders[module] = gevent.spawn(self._carry_out, module)
        self._progress.set()
        self._progress = Event()

    def _missing_order(self, module: Module) -> Callable[[], None] | None:
        if module.state not in READY:
            return None
        if module in self._dismissed:
            return module.remove
        if module not in self.on_turn():
            return module.suspend if module.state is State.PLAYING else None
        if module.state is State.SUSPENDED and self.may_play(module):
            return module.play
        return None

    def _carry_out(self, module: Module) -> None:
        order = self._missing_order(module)  # things may have changed since the spawn
        try:
            if order is not None:
                order()
        except ModuleError as bad:
            module.condemn(str(bad))
        finally:
            del self._orders[module]
            self.settle()

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
        return (module.state is State.PLAYING) == (module in self.on_turn())

    # Modules come and go.

    def _new(self, types: dict[str, type[Module]], type: str) -> Module:
        """A module that is not started yet."""
        if type not in types:
            raise CommandError(f"unknown module type {type!r}; known: {', '.join(types) or 'none'}")
        if self._stopping:
            raise CommandError(f"{self.name} is shutting down")
        assert self._launcher is not None
        module = types[type](str(uuid.uuid4()), self._launcher, self._on_change, self._log_module)
        self._living[module.uid] = module
        return module

    def _bring_up(self, module: Module, args: dict[str, Any]) -> None:
        """Start a module; returns when it has accepted `init`."""
        try:
            module.start(args)
        except ModuleError as bad:
            raise CommandError(str(bad)) from bad

    def _refuse_failed(self, module: Module) -> None:
        """Make the command that brought a module fail if it failed at its first order."""
        if module.failed:
            module.gone.wait()
            raise CommandError(module.explain())

    def _dismiss(self, modules: Iterable[Module]) -> None:
        for module in modules:
            self.drop(module)
            if module.state is State.STARTING:
                module.cancel()
            elif module.state in READY and module not in self._dismissed:
                self._dismissed.append(module)

    def _on_change(self, module: Module) -> None:
        """Every change of a module's state comes through here."""
        if module.state is State.ENDING:
            self.drop(module)
            if module in self._dismissed:
                self._dismissed.remove(module)
            self.settle()
        elif module.state is State.GONE:
            log.info("%s: %r %s", self.name, module, module.reason)
            del self._living[module.uid]
            self._gone.append(module.epitaph())

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


def show(module: Module, wanted: Wanted) -> dict[str, Any]:
    """A module as clients see it: {"uid", "type", "state", "parameters"?}."""
    shown: dict[str, Any] = {
        "uid": module.uid,
        "type": module.TYPE_STRING,
        "state": module.state.value,
    }
    if wanted is True:
        shown["parameters"] = dict(module.parameters)
    elif wanted and module.TYPE_STRING in wanted:
        shown["parameters"] = select(module, wanted[module.TYPE_STRING])
    return shown


def select(module: Module, names: list[str]) -> dict[str, Any]:
    """Those of the named parameters that the module has set."""
    return {name: module.parameters[name] for name in names if name in module.parameters}


def run_from_settings(make: Callable[[str], Broker], kind: str) -> None:
    """The program `python -m shmooze.KIND [NAME]`: a broker whose types the settings name."""
    parser = argparse.ArgumentParser(prog=f"python -m shmooze.{kind}")
    parser.add_argument(
        "name", nargs="?", default=kind, help="name in `ports`, and section of the settings"
    )
    name = parser.parse_args().name
    try:
        broker = make(name)
    except ShmoozeError as bad:
        complain(bad)
    broker.serve_forever()
