"""The reconciler: makes each module do what the policy wants.

Strategy. Commands change the roster at once and take no lock: greenlets switch only where they
wait, and a change never waits. Each change wakes the reconciler. Its next pass begins every action
that is missing: suspend, play, start. Each action runs in a greenlet of its own, one at a time for
each module. A module whose action raises anything is failed and leaves the roster. So the work
always decreases and comes to an end. A removal interrupts the action under way.

A command waits only for the modules that it has moved itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

import gevent
from gevent.event import AsyncResult, Event

from shmooze.broker.faults import attempt, fail_if_still
from shmooze.broker.policy import Policy
from shmooze.broker.roster import Change, Place, Roster
from shmooze.errors import ModuleError
from shmooze.modules.lifecycle import READY, WITHOUT_PROCESS, State
from shmooze.modules.module import Module
from shmooze.runtime.patience import Patience

log = logging.getLogger(__name__)

#: Asked for only once, since the system takes longer to tell than a pass takes.
_CORES = os.cpu_count() or 1
#: Changes that may need an action.
_RELEVANT = Change.PLACE | Change.STATE


@dataclass(frozen=True)
class Pause:
    """While the service is paused, nobody begins to play."""

    #: Whether those are suspended who play.
    suspend: bool = False


class Reconciler:
    """Carries out the choices of a policy."""

    #: Modules that are started at the same time of those that come back with the service; None:
    #: as many as there are processor cores.
    max_starting: int | None = None

    def __init__(
        self, roster: Roster, policy: Policy, before_start: Callable[[Module], None]
    ) -> None:
        self._roster, self._policy, self._before_start = roster, policy, before_start
        #: How the service is paused; None: it is not. See `pause_as`.
        self.pause: Pause | None = None
        #: Whether one whose turn it is may play at this moment. It is asked again at each change.
        self.may_play: Callable[[Module], bool] = lambda module: True
        self._choice: Collection[Module] = ()
        #: The version of the roster that was chosen from.
        self._chosen_at = -1
        self._actions: dict[Module, gevent.Greenlet] = {}
        #: Those that come back and are being started.
        self._returning: set[Module] = set()
        self._removals: dict[Module, gevent.Greenlet] = {}
        #: Whether a pass is about to begin.
        self._is_awake = False
        self._progress = Event()
        self._starts_modules = True
        roster.listen(lambda uid, what: self._wake(), _RELEVANT)

    def use_policy(self, policy: Policy) -> None:
        """Carry out the choices of another policy from now on."""
        self._policy = policy
        self.choose_again()

    def stop_starting(self) -> None:
        """Start no modules that wait: the service ends, or is still starting itself."""
        self._starts_modules = False

    def begin_starting(self) -> None:
        """Start modules that wait."""
        self._starts_modules = True
        self._wake()

    def is_starting(self, module: Module) -> bool:
        """Whether a module that waits is being started right now."""
        return module.state is State.WAITING and module in self._actions

    def living(self) -> list[Module]:
        """All that have a process, or are about to."""
        return [
            each
            for each in self._roster.everyone
            if each.state not in WITHOUT_PROCESS or self.is_starting(each)
        ]

    def wait_for(self, modules: Iterable[Module]) -> None:
        """Wait until each of `modules` was seen doing what it should, or has begun to end."""
        waiting = set(modules)
        while waiting := {module for module in waiting if not self._is_settled(module)}:
            self._progress.wait()

    def wait_until_started(self, module: Module) -> None:
        """Wait while one that is due starts, or is about to."""
        while module.state is State.STARTING or (
            module.state is State.WAITING and (self._is_awake or module in self._actions)
        ):
            self._progress.wait()

    def chosen(self) -> Collection[Module]:
        """Those that should play now."""
        if self._chosen_at != self._roster.version:
            self._choice = self._choose()
            self._chosen_at = self._roster.version
        return self._choice

    def current(self) -> list[Module]:
        """Those of the order that play, or would play if they were not suspended by a pause."""
        is_suspended = self.pause is not None and self.pause.suspend
        playing = self._roster.in_state(State.PLAYING)
        chosen = self._policy.choose(self._roster) if is_suspended else playing
        return [each for each in chosen if self._roster.place_of(each) is Place.ORDER]

    def pause_as(self, pause: Pause | None) -> None:
        """Pause the service, or with None let it go on."""
        self.pause = pause
        self.choose_again()

    def choose_again(self) -> None:
        """The policy may choose otherwise, although the roster has not changed."""
        self._chosen_at = -1
        self._wake()

    def _choose(self) -> Collection[Module]:
        if self.pause is None:
            return self._policy.choose(self._roster)
        if self.pause.suspend:
            return ()
        may_play = {*self._roster.ready, self._roster.background}
        return tuple(
            module
            for module in self._roster.in_state(State.PLAYING)
            if module in may_play and module.is_free
        )

    def _wake(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            gevent.spawn_raw(self._reconcile)  # which never waits, and is called very often

    def _reconcile(self) -> None:
        self._is_awake = False  # what changes from here on needs another pass
        try:
            for module in self._roster.dismissed:
                if module not in self._removals:
                    self._removals[module] = gevent.spawn(self._remove, module)
            for module, action in self._actions.items():
                if module.state is State.GONE:
                    action.kill(block=False)  # it does not wait for the child, but hangs by itself
            for module in self._candidates():
                if module not in self._actions and self._next_action(module) is not None:
                    self._actions[module] = gevent.spawn(self._act, module)
            if self._starts_modules:
                self._start_due()
        except Exception:  # a fault of an application's own policy
            log.exception("the policy failed; nothing changes until the roster does")
        finally:
            progress, self._progress = self._progress, Event()
            progress.set()

    def _candidates(self) -> Iterator[Module]:
        """The modules that may need an action: all of those, and few others."""
        chosen = self.chosen()
        if chosen is not self._roster.ready or self._roster.held:
            yield from [m for m in self._roster.in_state(State.PLAYING) if m not in chosen]
        suspended = self._roster.in_state(State.SUSPENDED)
        few, many = sorted((chosen, suspended), key=len)
        yield from [module for module in few if module in many]

    def _start_due(self) -> None:
        """Start the waiting modules that are due, and of those that come back only a few at a time:
        all at once would need longer to start than each of them may take.
        """
        most = self.max_starting or _CORES
        for module in self._policy.returning(self._roster):
            if len(self._returning) >= most:
                break
            if module not in self._actions:
                self._returning.add(module)
                self._actions[module] = gevent.spawn(self._act, module)
        if self.pause is not None:
            return
        for module in self._policy.due(self._roster):
            if module not in self._actions and module.state is State.WAITING:
                self._actions[module] = gevent.spawn(self._act, module)

    def _next_action(self, module: Module) -> tuple[str, Callable[[], None]] | None:
        if module.state is State.WAITING and module.is_free and self._starts_modules:
            may_start = self._policy.may_begin(self._roster, module)
            return ("start", lambda: self._start(module)) if may_start else None
        if module.state not in READY or module in self._roster.dismissed:
            return None
        if module not in self.chosen():
            return ("suspend", module.suspend) if module.state is State.PLAYING else None
        if module.state is State.SUSPENDED and self._policy.may_begin(self._roster, module):
            return ("play", module.play) if self.may_play(module) else None
        return None

    def _start(self, module: Module) -> None:
        self._before_start(module)
        if module.state is State.WAITING:  # and was not removed meanwhile
            module.start(module.args)

    def _act(self, module: Module) -> None:
        try:
            action = self._next_action(module)  # things may have changed since the pass
            if action is not None:
                name, call = action
                before = module.state
                self._policy.begin(module)
                attempt(module, name, call)
                if module not in self._roster.dismissed:
                    fail_if_still(module, before, name)  # or the action would be repeated forever
        finally:
            del self._actions[module]
            self._returning.discard(module)
            if self._policy.end(module):
                self._chosen_at = -1
            self._wake()

    def _remove(self, module: Module) -> None:
        try:
            done: AsyncResult[bool] = AsyncResult()
            removing = gevent.spawn(attempt, module, "remove", module.remove)
            removing.link(done)
            # As long as a last command of a subclass and `rm` may take.
            if not Patience(module.command_timeout + module.natural_death_timeout).wait(done):
                log.error("%r: `remove` has not returned in time", module)
            module.fail(ModuleError(module.removal))  # where a subclass has not done so
            removing.kill(block=False)
        finally:
            del self._removals[module]
            self._wake()

    def _is_settled(self, module: Module) -> bool:
        if module.state not in READY:
            return True
        if module in self._actions or module in self._roster.dismissed:
            return False
        return (module.state is State.PLAYING) == (module in self.chosen())
