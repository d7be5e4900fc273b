"""One module, the parent's side: a child process, a channel to it, and its lifecycle.

An application says what its modules are by subclassing:

    class Countdown(Module):
        TYPE_STRING = "countdown"
        process = ["python3", "countdown.py"]

All else is done by a broker. Whatever ends a module comes together in one place, `_end`. From
there on the module has no place any more, and a greenlet of its own brings its processes to their
end. Nobody else waits for that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import AsyncResult

from shmooze.errors import CommandError, Failure, ModuleError
from shmooze.lib import packet
from shmooze.modules import reports
from shmooze.modules.channel.command_stream import Superseded
from shmooze.modules.channel.stream import StreamEnded
from shmooze.modules.channel.updates import Save, Update
from shmooze.modules.exit import EndCause, ExitRecord, Stale
from shmooze.modules.ladder import Ladder
from shmooze.modules.lifecycle import ENDED, READY, UNSTARTED, State
from shmooze.modules.requests import LogFunction, Requests
from shmooze.modules.reusable import Reusable
from shmooze.processes.contract import Launcher
from shmooze.runtime import clock
from shmooze.runtime.patience import Patience

log = logging.getLogger(__name__)


class Module(Reusable):
    """One module. `start` brings it to life. Its owner is told of each new state and update."""

    def __init__(
        self,
        uid: str,
        launcher: Launcher,
        on_change: Callable[[Module], None],
        log: LogFunction,
        on_update: Callable[[Module], None] = lambda module: None,
        state: State = State.STARTING,
    ) -> None:
        super().__init__(uid, state, launcher, on_change)
        self._on_update = on_update
        self._log = log
        #: Called when it has saved another state than before.
        self.on_save: Callable[[Module], None] = lambda module: None
        #: Called when it has other commands than before.
        self.on_commands: Callable[[Module], None] = lambda module: None
        #: How long it may take to end, from the moment when its removal began.
        self._removal: Patience | None = None
        #: Why only its process ends.
        self._rest: EndCause | None = None
        self._channel = type(self).make_channel(self)
        self._requests = Requests(self._channel, self._log_request)

    # Life.

    def prepare(self) -> None:
        """Launch the child and wait until it has connected; it does nothing before `start`.

        Raises ModuleError with a sentence on why that failed; nothing of the child is left then,
        unless it was removed meanwhile: then its end has only begun.
        """
        self._come_up(self._connect)
        self._move_to(State.STANDBY)

    def start(self, args: dict[str, Any]) -> None:
        """Launch the child if that was not done before, and give it `init`.

        If it has saved a state in an earlier life, it gets that before, with `restore`.
        Raises ModuleError as `prepare` does. Stale, for a child that has been prepared: it has died
        meanwhile, or leaves `init` unread for `standby_timeout` seconds. It is being ended then,
        and another one can be started.
        """
        self.args, self.has_begun = args, True
        self.born = clock.now()
        if self._process is not None:
            self._wake(args)
            return
        self._come_up(self._connect)
        self._come_up(lambda: self._begin(args))
        self._move_to(State.SUSPENDED)

    def _begin(self, args: dict[str, Any]) -> None:
        """Send the child its first commands: `restore` if it has saved a state, and `init`."""
        self._saved.open()
        if (saved := self._saved.as_args) is not None:
            self._requests.order("restore", self.command_timeout, saved)
        self._requests.order("init", self.command_timeout, args)

    def _wake(self, args: dict[str, Any]) -> None:
        """Give `init` to a child that has been prepared. Raises Stale, or ModuleError."""
        if self.state in (State.STANDBY, State.WAITING, State.BACKOFF):
            self._move_to(State.STARTING)
        asking: AsyncResult[ModuleError | None] = AsyncResult()
        gevent.spawn(self._try_to_begin, args).link(asking)
        answered = clock.wait(asking, self.standby_timeout)
        assert self._process is not None
        has_unread = not answered and self._channel.has_unread(self._process)
        if has_unread and self.state is State.STARTING:
            words = f"did not read `init` within {self.standby_timeout:g} s"
            self._end(EndCause.stale(words))
            raise Stale(words)
        if fault := asking.get():
            self.fail(fault)
        if self.state is State.STARTING:
            self._move_to(State.SUSPENDED)
            return
        if self.exit is not None and self.exit.cause.by_exit:
            raise Stale(self.reason)
        if self.failed:
            self.gone.wait()  # only then it is known how it ended
        raise ModuleError(self.reason)

    def _try_to_begin(self, args: dict[str, Any]) -> ModuleError | None:
        """As `_begin`, but returns why it failed, if it did."""
        try:
            self._begin(args)
        except ModuleError as bad:
            return bad
        return None

    def _come_up(self, action: Callable[[], None]) -> None:
        if self.state in (State.WAITING, State.BACKOFF):
            self._move_to(State.STARTING)
        try:
            if self.state is State.STARTING:  # and was not removed before its turn to start came
                action()
        except ModuleError as bad:
            self.fail(bad)
        except OSError as bad:  # no port or no file descriptor left
            self.fail(ModuleError(f"cannot be started: {bad.strerror}"))
        if self.state is not State.STARTING:
            if self._removal is None:
                self.gone.wait()  # only then it is known how it ended
            raise ModuleError(self.reason)

    def _connect(self) -> None:
        self._channel.connect(self.connect_timeout)

    def successor(self) -> Module:
        """A module, not yet started, that takes the place of this one with all that it has kept."""
        owner = (self._on_change, self._log, self._on_update)
        successor = type(self)(self.uid, self._launcher, *owner, State.BACKOFF)
        successor.inherit(self)
        successor.on_save, successor.on_commands = self.on_save, self.on_commands
        return successor

    # Orders.

    def play(self) -> None:
        """Tell it to play. Raises ModuleError if it does not obey."""
        # It counts as playing as soon as the command may have reached it: no other one is to play.
        self._move_to(State.PLAYING)
        self._requests.order("play", self.command_timeout)

    def suspend(self) -> None:
        """Tell it to pause. Raises ModuleError if it does not obey."""
        self._requests.order("suspend", self.command_timeout)
        if self.state is State.PLAYING:  # the other stream may have ended it meanwhile
            self._move_to(State.SUSPENDED)

    def remove(self) -> None:
        """Tell it to end, and make sure that it does. Returns once its end has begun.

        It does not wait for a command under way: whoever waits for that gets Superseded.
        """
        if self._removal is None:
            self._removal = Patience(self.natural_death_timeout)
        self._tell_to_end(self._removal)
        self._end(EndCause.removed(self.removal))

    def rest(self, cause: EndCause) -> None:
        """End its process as `remove` does, and keep its item for a successor."""
        self._rest = cause
        self._tell_to_end(Patience(self.natural_death_timeout))
        self._end(cause)

    def _tell_to_end(self, patience: Patience) -> None:
        try:
            self._requests.request("rm", None, patience, self._channel.request_final)
        except (ModuleError, Failure):
            pass  # the ladder goes on without its consent

    def cancel(self) -> None:
        """End it before it has started."""
        if self.state in UNSTARTED:
            self._removal = Patience(self.natural_death_timeout)
            self._end(EndCause.removed(self.removal))
            self._channel.give_up(self.reason)

    def fail(self, fault: ModuleError) -> None:
        """End it because of a fault, whose message is a sentence without its subject."""
        self._end(EndCause.fault(fault))

    def give_up(self, reason: str) -> None:
        """End its item as failed, however its type is restarted."""
        self._end(EndCause.given_up(reason))

    def tell(self, cmd: str, args: dict[str, Any]) -> Any:
        """Pass a command of the module's own on to the child. Returns its result.

        Raises CommandError with the child's words if it refuses. A command that has to wait for
        others is not carried out if its client has left when its turn comes.
        """
        if self.state not in READY:
            raise CommandError(f"{self.TYPE_STRING} {self.uid} is {self.state.explained}")
        try:
            return self._requests.tell(cmd, self.command_timeout, args)
        except Superseded:
            words = self.reason or self.removal
            raise CommandError(f"{self.TYPE_STRING} {self.uid} {words}") from None
        except ModuleError as bad:
            self.fail(bad)
            if isinstance(bad, StreamEnded):  # for a better reason, see EndCause.fault
                clock.wait(self.gone, self.natural_death_timeout)
            raise CommandError(f"{self.TYPE_STRING} {self.uid} {self.reason}") from bad

    @property
    def door(self) -> Any:
        """The web application of its adapter: `door(environ, start_response, target)`."""
        return getattr(self._channel, "door", None)

    # What it reports.

    def take_update(self, update: Update, size: int, count: int) -> None:
        """See Owner of channel/contract.py."""
        self._check_report(update)
        if isinstance(update, Save):
            self._take_state(update.args.state)
            return
        command, cause = reports.take(update, size, count, self._parameters, self.max_result_bytes)
        self._log(self.uid, "module-instance", command, packet.good())
        if cause is None:
            self._on_update(self)
            return
        self._end(cause := self._attribute(cause))
        if self.exit is not None:
            self.exit.explain_by(cause)

    def take_commands(self, commands: dict[str, Any]) -> None:
        """See Owner of channel/contract.py."""
        self.own_commands = commands
        self.on_commands(self)

    def _take_state(self, state: Any) -> None:
        """Keep a state for the next life. Raises Failure as `SavedState.keep` does."""
        is_new = self._saved.keep(state, self.max_state_bytes)
        command = {"cmd": "save", "args": self._saved.as_args}
        self._log(self.uid, "module-instance", command, packet.good())
        if is_new:
            self.on_save(self)

    def channel_ended(self, reason: str, is_breach: bool) -> None:
        """See Owner of channel/contract.py."""
        self.fail(ModuleError(reason) if is_breach else StreamEnded(reason))

    def _child_ended(self) -> None:
        self._end(EndCause.exited())

    # Its end.

    def _end(self, cause: EndCause) -> None:
        """Take it off its place, and bring its processes to their end. The first cause counts."""
        if self.state in ENDED:
            return
        is_started, left = self.state in READY, None
        cause = cause.explained_by(self._process.loss if self._process else None)
        if self._removal is not None:  # whatever comes meanwhile, that is why it ends
            when = "" if is_started else " before it had started"
            cause, left = cause.in_removal(f"{self.removal}{when}"), self._removal.left
        elif self._rest is not None and cause.result is None:
            cause = self._rest
        means_used = "rm" if self._channel.final_is_sent else None
        self.exit = ExitRecord(cause, self.state.shown, means_used)
        can_ask = self._channel.can_ask_to_end
        ladder = Ladder.of(self, cause, is_started or self.is_handed_on, left, can_ask)
        gevent.spawn(self._shut_down, self.exit, ladder)
        self._move_to(State.ENDING)

    def _shut_down(self, record: ExitRecord, ladder: Ladder) -> None:
        self._no_longer_launching()  # what comes out of a launch under way is ended as well
        signal_used = not self._hand_on() and ladder.descend(record, self._channel, self._process)
        record.add_result(self._noted, self.max_result_bytes)
        if signal_used and (self._channel.can_ask_to_end or signal_used == "SIGKILL"):
            log.warning("%r %s; it took %s to end it", self, record.reason, signal_used)
        record.seconds, record.ended = clock.now() - self.born, clock.time()
        self._move_to(State.GONE)
        self.gone.set()
