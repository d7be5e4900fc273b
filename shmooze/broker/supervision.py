"""Supervision: what happens when a module changes state, above all restarts.

A module that is to be started again gets a successor in its place as soon as it begins to end. The
successor waits in the state `backoff` until the module has gone and the delay is over.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import gevent

from shmooze.broker.faults import attempt, fail_if_still, given_up, severity
from shmooze.broker.keeper import Keeper
from shmooze.broker.killed import MOMENT
from shmooze.broker.roster import Change, Place, Roster
from shmooze.broker.views import exit_report
from shmooze.errors import CommandError
from shmooze.modules.exit import Outcome
from shmooze.modules.kind import DROP, HOLD
from shmooze.modules.lifecycle import READY, State
from shmooze.modules.module import Module
from shmooze.modules.restarts import ALWAYS, NEVER
from shmooze.runtime import clock

log = logging.getLogger(__name__)

#: Why modules are removed that end with the service, and whose items come back with it.
STOPPED = "was stopped with the service"
#: Ends the reason why an item is held whose machine was lost.
HELD_AFTER_LOSS = "; its type says that it is held then"


class Supervision:
    """Watches the modules of one roster; `service` is the name in its log lines.

    `keeper` returns who keeps what becomes of them. `on_gone` gets the report of each that is gone.
    """

    #: Ended modules whose output is remembered.
    max_outputs = 20

    def __init__(
        self,
        roster: Roster,
        service: str,
        remembered: int,
        on_gone: Callable[[dict[str, Any]], None],
        keeper: Callable[[], Keeper],
    ) -> None:
        self._roster, self._service, self._on_gone = roster, service, on_gone
        self._keeper = keeper
        #: The reports of the last ones that have gone.
        self.ended: deque[dict[str, Any]] = deque(maxlen=remembered)
        self._restarts_modules = True
        #: Whether no module of a type is started before its turn, not even again.
        self.needs_turn: Callable[[type[Module]], bool] = lambda kind: False
        #: Gives an item that gets another process the present definition of its type. Returns the
        #: module that has its place then.
        self.renew: Callable[[Module], Module] = lambda module: module
        #: Lets a successor go on with a fresh process, when a module has gone that was replaced.
        self.replace: Callable[[Module, Module], object] = self._restart
        #: Modules without a place whose process has exited, nobody knows yet how.
        self._exited: set[Module] = set()
        #: Those that have a successor, until they are gone.
        self._succeeded: set[Module] = set()
        #: Uids of items that may come back with the service, or have ended.
        self._maybe_ended: set[str] = set()
        #: Uids of items that have ended, which is not kept yet.
        self._untold: set[str] = set()
        #: Called with the last module of an item that has ended, and its report.
        self.on_end: list[Callable[[Module, dict[str, Any]], None]] = []
        #: Called with each module that has gone, whether or not its item has ended.
        self.on_exit: list[Callable[[Module], None]] = []
        #: The output of the last ones that have gone, by uid.
        self.outputs: dict[str, list[str]] = {}

    def stop_restarting(self) -> None:
        """Start nothing again from now on: the service ends."""
        self._restarts_modules = False

    def find_end(self, uid: str) -> dict[str, Any] | None:
        """The report of an item that has ended not long ago."""
        if uid in self._maybe_ended:
            return None
        return next((each for each in reversed(self.ended) if each["uid"] == uid), None)

    def is_ending(self, uid: str) -> bool:
        """Whether an item that has no place any more has not quite ended."""
        is_kept = uid not in self._maybe_ended and uid not in self._untold
        return not is_kept or any(each.uid == uid for each in self._roster.in_state(State.ENDING))

    def remember(self, reports: Iterable[dict[str, Any]]) -> None:
        """Reports of an earlier life of the service."""
        self.ended.extend(reports)

    def on_change(self, module: Module) -> None:
        """A module has a new state."""
        if module.state in READY:
            module.attempts = 0
        self._roster.change(module)
        if module.state is State.ENDING:
            if not self._is_succeeded(module):
                self._leave(module)
        elif module.state is State.GONE:
            assert module.exit is not None
            is_stopped = module.reason.startswith(STOPPED)
            if is_stopped:
                module.exit.finish()
            log.log(severity(module), "%s: %r %s", self._service, module, module.reason)
            if module.was_no_item and module not in self._exited:
                self._succeeded.discard(module)
                return
            self.ended.append(report := exit_report(module))
            self._remember_output(module)
            self._on_gone(report)
            for tell in self.on_exit:
                tell(module)
            self._keep_gone(module, report, is_stopped)

    def _leave(self, module: Module) -> None:
        """A module loses its place, and its item ends, unless it comes back with the service. If
        its process has exited, nobody knows yet how: it is kept when the module is gone.
        """
        if self._has_place(module) and self._restarts_modules:
            assert module.exit is not None
            if module.exit.cause.by_exit:
                self._exited.add(module)
            else:
                self._keeper().keep_end(module, module.exit.outcome)
        self._roster.change(module, Place.NOWHERE)

    def _keep_gone(self, module: Module, report: dict[str, Any], is_stopped: bool) -> None:
        assert module.exit is not None
        if module in self._succeeded:
            self._succeeded.remove(module)
            if not is_stopped:
                self._keeper().keep_report(module, report)
            return
        if module not in self._exited:
            if not is_stopped:
                self._keeper().keep_report(module, report)
                self._tell_end(module, report)
            elif module.exit.result is not None:
                self._keep_end(module, report)
            return
        self._exited.remove(module)
        if module.exit.is_from_outside:
            self._maybe_ended.add(module.uid)
            gevent.spawn(self._keep_killed, module, report)
        elif self._restarts_modules or not module.failed:
            self._keep_end(module, report)

    def _keep_killed(self, module: Module, report: dict[str, Any]) -> None:
        clock.sleep(MOMENT)
        if self._restarts_modules:
            self._maybe_ended.discard(module.uid)
            self._keep_end(module, report)

    def _keep_end(self, module: Module, report: dict[str, Any]) -> None:
        assert module.exit is not None
        self._keeper().keep_end(module, module.exit.outcome)
        self._keeper().keep_report(module, report)
        self._tell_end(module, report)

    def _tell_end(self, module: Module, report: dict[str, Any]) -> None:
        """Tell that an item has ended as soon as that is kept: a crash must not change it."""
        self._untold.add(module.uid)

        def tell_all() -> None:
            self._untold.discard(module.uid)
            for tell in self.on_end:
                tell(module, report)

        self._keeper().when_kept(tell_all)

    def _remember_output(self, module: Module) -> None:
        self.outputs.pop(module.uid, None)
        if output := module.output:
            self.outputs[module.uid] = output
        if len(self.outputs) > self.max_outputs:
            del self.outputs[next(iter(self.outputs))]

    def _has_place(self, module: Module) -> bool:
        return self._roster.place_of(module) in (Place.ORDER, Place.BACKGROUND)

    def _is_tried_again_at_once(self, module: Module) -> bool:
        """Whether it is a job that has failed after its start, just before it got its place."""
        assert module.exit is not None
        is_arriving = self._roster.place_of(module) in (Place.ARRIVING, Place.RESERVED)
        has_started = module.exit.state == State.SUSPENDED.shown
        return is_arriving and has_started and module.restarts.retries_left > 0

    def _is_succeeded(self, module: Module) -> bool:
        """Let a successor wait in a module's place. Returns False where there is none."""
        assert module.exit is not None
        has_place = self._has_place(module) or self._is_tried_again_at_once(module)
        if not self._restarts_modules or not has_place:
            return False
        if module.exit.cause.is_rest:
            return self._put(module, self._rest, module.reason)
        if module.exit.cause.is_replacement:
            return self._put(module, self.replace)
        if module.has_not_begun:
            return self._put(module, self._wait_again)
        if module.exit.cause.is_lost:
            return self._is_lost_one_succeeded(module)
        if module.exit.cause.is_final:
            return False
        if module.restart == NEVER and not module.restarts.retries_left:
            return False
        if module.restart != ALWAYS and not (module.failed or module.exit.cause.by_exit):
            return False  # it has left by itself, whatever its exit status will be
        return self._put(module, self._restart)

    def _is_lost_one_succeeded(self, module: Module) -> bool:
        """The same for one whose machine was lost, which is like a crash of the service."""
        if module.after_crash == DROP:
            return False
        if module.after_crash == HOLD:
            return self._put(module, self._rest, f"{module.reason}{HELD_AFTER_LOSS}")
        return self._put(module, self._restart)

    def _put(
        self, module: Module, go_on: Callable[[Module, Module], object], held: str | None = None
    ) -> bool:
        """Put a successor in a module's place, which may be held. `go_on` does the rest."""
        try:
            successor = module.successor()
            if not (isinstance(successor, Module) and successor.state is State.BACKOFF):
                raise TypeError("`successor` must return a module in the state `backoff`")
        except Exception:  # a fault of the application's subclass
            log.exception("%s: %r cannot be started again", self._service, module)
            return False
        successor.held = successor.held or held
        self._succeeded.add(module)
        self._roster.change(successor, instead_of=module)
        gevent.spawn(attempt, successor, "restart", lambda: go_on(module, successor))
        return True

    def _rest(self, ended: Module, successor: Module) -> None:
        """Hold a successor without a process, unless it is released before the module has gone."""
        with suppress(CommandError):  # after a crash it is started again, then
            self._keeper().keep_held([successor], successor.held)
            if successor.held is None:  # released meanwhile
                self._keeper().keep_held([successor], None)
        ended.gone.wait()
        if successor.state is State.BACKOFF:
            self.renew(successor).wait_for_turn()

    def _wait_again(self, ended: Module, successor: Module) -> None:
        """Let the item that a module could not begin wait for a process of its own."""
        successor.may_borrow = False
        ended.gone.wait()
        if successor.state is State.BACKOFF:
            self.renew(successor).wait_for_turn()

    def end_item(self, ended: Module, successor: Module) -> None:
        """End an item that a successor was to go on with."""
        self._keeper().keep_end(ended, ended.exit.outcome if ended.exit else Outcome.FAILED)
        self._roster.forget(successor)
        self._tell_end(ended, exit_report(ended))

    def _restart(self, ended: Module, successor: Module) -> None:
        """When a module has gone, start its successor after a while, or give it up."""
        ended.gone.wait()
        assert ended.exit is not None
        if successor.state is not State.BACKOFF:
            return  # it was removed in between
        if ended.exit.cause.is_final or (ended.restart != ALWAYS and not ended.failed):
            self.end_item(ended, successor)
            return
        delay = successor.restarts.delay_after(ended.exit.seconds)
        if delay is None:
            self._roster.change(successor, Place.NOWHERE)
            successor.fail(given_up(successor, ended))
            self._keeper().keep_end(successor, Outcome.FAILED)
            return
        successor.next_attempt = round(clock.time() + delay, 1)
        self._roster.tell(successor, Change.RESTARTS)
        log.warning("%s: %r is started again in %.1f s", self._service, successor, delay)
        if clock.wait(successor.gone, delay):
            return
        successor.next_attempt = None
        self._roster.tell(successor, Change.RESTARTS)
        self.start_again(self.renew(successor))

    def start_again(self, successor: Module) -> None:
        """Start the successor of a module that has gone, or let it wait for its turn."""
        needs_turn = not successor.has_process and self.needs_turn(type(successor))
        if successor.is_missing or needs_turn:
            successor.wait_for_turn()
            return
        self._keeper().keep_attempt(successor)
        attempt(successor, "start", lambda: successor.start(successor.args))
        fail_if_still(successor, State.BACKOFF, "start")
