"""A process that goes on to another item, once the one that it was started for is done.

Strategy. Only an item that has ended with a result hands its process on, and only if nothing is
unclear: the child has answered each command, has sent whole lines, and nothing runs that it has
started. From that check until the process has its next owner no greenlet switches, so whatever
happens to it later happens to that one. In all other cases the process is ended.

The next owner waits on standby, and is an item itself or lends its process to one. Until `init` it
takes no reports: those would be of the item before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.event import Event

from shmooze.errors import Failure
from shmooze.modules.channel.contract import Channel
from shmooze.modules.channel.updates import Failing, Leaving, Update
from shmooze.modules.exit import EndCause
from shmooze.modules.held import Held
from shmooze.modules.kind import items_of
from shmooze.modules.lifecycle import State
from shmooze.modules.requests import LogFunction, Requests
from shmooze.processes.contract import Launcher
from shmooze.runtime.patience import Patience


class Reusable(Held):
    """The part of a module whose process may have served other items before, or will."""

    _channel: Channel
    _requests: Requests
    _log: LogFunction

    def __init__(
        self, uid: str, state: State, launcher: Launcher, on_change: Callable[[Any], None]
    ) -> None:
        super().__init__(uid, state, launcher, on_change)
        #: Finds an owner for its process, which takes it over. Returns whether there is one.
        self.on_done: Callable[[Any], bool] = _nobody
        #: Whether its process has served another item.
        self.is_handed_on = False
        if items_of(self) > 1:
            #: Set once its process has been handed on, or is being ended.
            self.is_decided = Event()
        #: Whether it may borrow such a process.
        self.may_borrow = True

    def inherit(self, earlier: Any) -> None:
        super().inherit(earlier)
        self.on_done = earlier.on_done

    @property
    def may_hand_on(self) -> bool:
        """Whether its process is about to go on to another item, unless something is unclear."""
        record, tenancy = self.exit, self._tenancy
        return (
            self.state is State.ENDING
            and record is not None
            and record.result is not None
            and tenancy is not None
            and tenancy.served < items_of(self)
            and not self.is_decided.is_set()
        )

    @property
    def has_not_begun(self) -> bool:
        """Whether it ends only since a process that it has taken over was of no use."""
        record = self.exit
        return (
            self.is_handed_on
            and record is not None
            and record.state == State.STARTING.shown
            and (record.cause.is_stale or record.cause.by_exit)
        )

    @property
    def was_no_item(self) -> bool:
        """Whether only its process is gone, which was to serve an item: that has another one."""
        return self.has_not_begun or (self.is_handed_on and not self.has_begun)

    def take_over(self, earlier: Reusable) -> None:
        """Become the owner of another module's process, which waits for `init` or is done.

        Does not wait.
        """
        process, tenancy = earlier._process, earlier._tenancy
        assert process is not None and tenancy is not None
        earlier._earlier = process.renew(self._label)
        self._tell_output(process)
        self._channel, self._process, self._tenancy = earlier._channel, process, tenancy
        owner: Any = self  # a Module
        self._channel.hand_over(owner)
        self._requests = Requests(self._channel, self._log_request)
        earlier._process = earlier._tenancy = None
        tenancy.owner = self
        if earlier.state is not State.STANDBY:  # which it has served
            tenancy.served += 1
        self.is_handed_on = tenancy.served > 1

    def _hand_on(self) -> bool:
        """Let another module have the process. Returns False if it has to be ended."""
        if not self.may_hand_on:
            return False
        try:
            return self._try_to_hand_on()
        finally:
            self.is_decided.set()

    def _try_to_hand_on(self) -> bool:
        process = self._process
        if process is None:
            return False
        if not (hasattr(self._channel, "hand_over") and hasattr(process, "renew")):
            return False
        process.refresh()
        if not self._channel.release(Patience(self.natural_death_timeout)):
            return False
        if process.exit_status is not None or process.is_suspended or not process.is_alone():
            return False
        return self.on_done(self)

    def _check_report(self, update: Update) -> None:
        """Raise Failure for an update that can only be of the item before."""
        is_between = self.is_handed_on and not self._saved.is_open
        if is_between and not isinstance(update, (Leaving, Failing)):
            raise Failure("comes after the result, and before the next item has begun")

    def _attribute(self, cause: EndCause) -> EndCause:
        """What the end that the child reports means. Before it has answered `init`, it is due to
        the item before, or cannot be told from that. We may have seen it hang up before it is read.
        """
        state = self.state.shown if self.exit is None else self.exit.state
        is_early = self.is_handed_on and state in (State.WAITING.shown, State.STARTING.shown)
        return EndCause.exited() if is_early else cause

    def _log_request(self, command: dict[str, Any], answer: Any) -> None:
        self._log(self.uid, "queue-module", self.loggable(command), answer)


def _nobody(module: Any) -> bool:
    return False
