"""The parent's side of one module: a child process, two streams to it, and its lifecycle.

An application says what its modules are by subclassing:

    class Countdown(Module):
        TYPE_STRING = "countdown"
        process = ["python3", "countdown.py"]

All else is done by a broker. What ends a module, whatever it was, comes together in one place,
`_end`; from there on the module has no place and no stage any more, and a greenlet of its own
brings its processes to their end. Nobody else waits for that.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import Semaphore

from shmooze.errors import CommandError, Failure, ModuleError, ShmoozeError
from shmooze.lib import packet
from shmooze.lib.service import caller_has_left
from shmooze.modules.channel.command_stream import Answer, CommandStream, Superseded, Withdrawn
from shmooze.modules.channel.stream import (
    Failing,
    Leaving,
    SetParameters,
    StreamEnded,
    TcpEndpoint,
    UnsetParameters,
    Update,
    UpdateStream,
)
from shmooze.modules.exit import Death
from shmooze.modules.lifecycle import READY, State, step
from shmooze.modules.parameters import Parameters
from shmooze.modules.restarts import NEVER, Restarts
from shmooze.processes.contract import Launcher, LaunchSpec, Process, Usage
from shmooze.runtime.patience import Patience

EAGER, LAZY = SPAWNS = ("eager", "lazy")

log = logging.getLogger(__name__)

#: log(uid, namespace, input, output), as lib.database.Database.log
LogFunction = Callable[[str, str, Any, Any], None]


class InOwnWords(ModuleError):
    """The child has refused an order, or given up, and has said why."""


class Stale(ModuleError):
    """A child on standby is dead or asleep, so that it has not begun."""


class Module:
    """One module. `start` brings it to life; its owner hears of every change of its state, and
    of every update of its parameters.
    """

    #: The name under which clients ask for this type.
    TYPE_STRING: str
    #: Program and arguments; host and ports of the streams are added at the end.
    process: Sequence[str]

    #: Where the streams listen, and what the child is told to connect to.
    listen_host = "127.0.0.1"
    #: Seconds that a child may take to connect both its streams.
    connect_timeout = 5.0
    #: Seconds that a child may take to answer a command.
    command_timeout = 5.0
    #: Seconds from `rm` to SIGTERM.
    natural_death_timeout = 2.0
    #: The same for one that has not accepted `init`, and so gets no `rm`.
    start_patience = 0.25
    #: Seconds from SIGTERM to SIGKILL.
    sigterm_timeout = 2.0
    #: Whether it is started again when it ends: "never", "on-failure" or "always".
    restart = NEVER
    #: Seconds before the first restart; each further one takes twice as long, up to the longest.
    restart_delay = 0.5
    #: The longest of those delays, in seconds.
    restart_delay_max = 60.0
    #: Restarts within `restart_period` after which it is given up.
    restart_limit = 10
    #: Seconds; see restart_limit.
    restart_period = 600.0
    #: When its process is started: "eager" by `add`, "lazy" when its turn comes near (in a queue).
    spawn = EAGER
    #: How many places before its turn a lazy one is started.
    lookahead = 1
    #: Children that are started ahead, so that `add` need not wait for the program to load.
    standby = 0
    #: Seconds that such a child may leave `init` unread before a fresh one is started for an `add`.
    standby_timeout = 1.0
    #: Bytes that its parameters may take as JSON.
    max_parameters_bytes = 4 << 20
    #: Seconds that reading the rest of the output may take when all its processes have ended.
    output_timeout = 0.5

    def __init__(
        self,
        uid: str,
        launcher: Launcher,
        on_change: Callable[[Module], None],
        log: LogFunction,
        on_update: Callable[[Module], None] = lambda module: None,
        state: State = State.STARTING,
    ) -> None:
        self.uid = uid
        self.state = state
        self._parameters = Parameters(self.max_parameters_bytes)
        #: What it says of itself, by name.
        self.parameters = self._parameters.values
        #: The args of `init`.
        self.args: dict[str, Any] = {}
        self.restarts = Restarts(
            self.restart_delay, self.restart_delay_max, self.restart_limit, self.restart_period
        )
        #: When it is started again, in the seconds of time.time; None: it is not waiting.
        self.next_attempt: float | None = None
        #: The reason that is given when it is told to go.
        self.removal = "was removed"
        #: How and why it ended; None while it lives.
        self.death: Death | None = None
        self.gone = Event()
        self._launcher = launcher
        self._on_change = on_change
        self._on_update = on_update
        self._log = log
        self._process: Process | None = None
        #: How long it may take to end, from the moment when `remove` began.
        self._removal: Patience | None = None
        #: Held while it is launched, since a launcher may take its time.
        self._launching = Semaphore()
        self._burial: gevent.Greenlet | None = None
        self._commands = CommandStream(self.listen_host, self._stream_ended)
        self._born = time.monotonic()
        self._updates = UpdateStream(self.listen_host, self._take_update, self._stream_ended)

    def __repr__(self) -> str:
        where = f", {self._process.describe()}" if self._process else ""
        return f"<Module {self.TYPE_STRING} {self.uid[:8]}: {self.state.value}{where}>"

    @property
    def reason(self) -> str:
        """Why it ended, in a sentence without its subject; empty while it lives."""
        return self.death.reason if self.death else ""

    @property
    def failed(self) -> bool:
        """Whether it ended by a fault."""
        return self.death is not None and self.death.failed

    @property
    def output(self) -> list[str]:
        """The last lines of its standard output and error."""
        return self._process.output if self._process else []

    @property
    def errors(self) -> list[str]:
        """The last lines of its standard error."""
        return self._process.errors if self._process else []

    def usage(self) -> Usage:
        """What the child and all that it has started use. Raises CommandError where unknown."""
        return self._process.usage() if self._process else Usage(0.0, 0, 0)

    def prepare(self) -> None:
        """Launch the child and have it connect; it does nothing before `start`.

        Raises ModuleError with a sentence on why that failed; nothing of the child is left then,
        unless it was removed meanwhile: then its end has only begun.
        """
        self._come_up(self._connect)

    def start(self, args: dict[str, Any]) -> None:
        """Have the child accept `init`, launched and connected before if it is not.

        Raises ModuleError as `prepare` does. Stale, for a child that has been prepared: it has died
        meanwhile, or leaves `init` unread for `standby_timeout` seconds. It is being ended then,
        and another one can be started.
        """
        self.args = args
        self._born = time.monotonic()
        if self._process is not None:
            self._wake(args)
            return
        self._come_up(self._connect)
        self._come_up(lambda: self._order("init", args))
        self._move_to(State.SUSPENDED)

    def _wake(self, args: dict[str, Any]) -> None:
        """Have a child that has been prepared accept `init`. Raises Stale, or ModuleError."""
        asking = gevent.spawn(self._ask_to_begin, args)
        asking.join(self.standby_timeout)
        if not asking.ready() and self.state is State.STARTING and self._has_unread():
            # It has to go before it wakes up, reads and begins in spite of all.
            words = f"did not read `init` within {self.standby_timeout:g} s"
            self._end(words, 0, failed=True, at_once=True)
            raise Stale(words)
        if fault := asking.get():
            self.condemn(fault)
        if self.state is State.STARTING:
            self._move_to(State.SUSPENDED)
            return
        if self.death is not None and self.death.by_exit:
            raise Stale(self.reason)
        if self.failed:
            self.gone.wait()  # only then it is known how it ended
        raise ModuleError(self.reason)

    def _ask_to_begin(self, args: dict[str, Any]) -> ModuleError | None:
        """Give it `init`; why that failed, if it did."""
        try:
            self._order("init", args)
        except ModuleError as bad:
            return bad
        return None

    def _has_unread(self) -> bool:
        connection = self._commands.connection
        return (
            connection is not None
            and self._process is not None
            and self._process.has_unread(connection)
        )

    def _come_up(self, step: Callable[[], None]) -> None:
        if self.state is State.WAITING:
            self._move_to(State.STARTING)
        try:
            if self.state is State.STARTING:  # and was not removed before its turn to start came
                step()
        except ModuleError as bad:
            self.condemn(bad)
        except OSError as bad:  # no port or no file descriptor left
            self.condemn(ModuleError(f"cannot be started: {bad.strerror}"))
        if self.state is not State.STARTING:
            if self._removal is None:
                self.gone.wait()  # only then it is known how it ended
            raise ModuleError(self.reason)

    def successor(self) -> Module:
        """A module that takes the place of this one: the same uid and args, not yet started."""
        heir = type(self)(self.uid, self._launcher, self._on_change, self._log, self._on_update)
        heir.args, heir.restarts = self.args, self.restarts
        return heir

    def play(self) -> None:
        """Have it play. ModuleError where it does not obey."""
        # From the moment that it may have the order it counts as playing, so that nobody else
        # gets the stage.
        self._move_to(State.PLAYING)
        self._order("play")

    def suspend(self) -> None:
        """Have it pause. ModuleError where it does not obey."""
        self._order("suspend")
        if self.state is State.PLAYING:  # the other stream may have ended it meanwhile
            self._move_to(State.SUSPENDED)

    def remove(self) -> None:
        """Ask it to end, and see to it that it does. Returns once it has left the stage.

        It does not wait for a command under way: whoever waits for that gets Superseded.
        """
        if self._removal is None:
            self._removal = Patience(self.natural_death_timeout)
        try:
            self._request("rm", None, self._removal, self._commands.request_last)
        except (ModuleError, Failure):
            pass  # the ladder goes on without its consent
        self._end(self.removal, self.natural_death_timeout, last_word="rm")

    def tell(self, cmd: str, args: dict[str, Any]) -> Any:
        """Pass a command of the module's own on to the child; its result.

        Raises CommandError with the child's words where it refuses. Where it has to wait for
        others, and its client has left when its turn comes, it is not carried out.
        """
        if self.state is State.WAITING:
            words = "is waiting: its process is started when its turn comes near"
            raise CommandError(f"{self.TYPE_STRING} {self.uid} {words}")
        if self.state not in READY:
            raise CommandError(f"{self.TYPE_STRING} {self.uid} is {self.state.value}")
        try:
            request = partial(self._commands.request_in_line, is_withdrawn=caller_has_left)
            return self._request(f"do_{cmd}", args, Patience(self.command_timeout), request)
        except Failure as refusal:
            raise CommandError(str(refusal)) from refusal
        except Withdrawn:
            raise CommandError(
                "was not executed: the client disconnected before its turn"
            ) from None
        except Superseded:
            words = self.reason or self.removal
            raise CommandError(f"{self.TYPE_STRING} {self.uid} {words}") from None
        except ModuleError as bad:
            self.condemn(bad)
            if isinstance(bad, StreamEnded):
                self.gone.wait(self.natural_death_timeout)  # for a better reason, see condemn
            raise CommandError(f"{self.TYPE_STRING} {self.uid} {self.reason}") from bad

    def condemn(self, fault: ModuleError) -> None:
        """End it because of a fault, whose message is a sentence without its subject."""
        # Where it hung up, most often because it ends, how it ended is the better reason.
        self._end(
            str(fault),
            self.natural_death_timeout,
            failed=True,
            last_word="rm",
            until_exit=isinstance(fault, StreamEnded),
            in_own_words=isinstance(fault, InOwnWords),
        )

    def cancel(self) -> None:
        """End it before it has started."""
        if self.state in (State.WAITING, State.STARTING):
            self._removal = Patience(self.natural_death_timeout)
            self._end(self.removal, self.natural_death_timeout, last_word="rm")
            for stream in (self._commands, self._updates):
                stream.give_up(self.reason)

    def _connect(self) -> None:
        ports = self._commands.listen(), self._updates.listen()
        spec = LaunchSpec(self.process, f"{self.TYPE_STRING} {self.uid[:8]}")
        with self._launching:
            if self.state is not State.STARTING:
                raise StreamEnded("was removed before it was launched")
            self._process = self._launcher.launch(spec, TcpEndpoint(self.listen_host, ports))
        for stream in (self._commands, self._updates):
            stream.accept(self._process.authenticate)
        self._process.when_exited(self._child_ended)
        patience = Patience(self.connect_timeout)
        for stream in (self._commands, self._updates):
            if not patience.wait(stream.connected):
                late = f"did not connect its {stream.name} within {self.connect_timeout:g} s"
                raise ModuleError(late)
            stream.connected.get()

    def _order(self, cmd: str, args: dict[str, Any] | None = None) -> None:
        """A command that the child may not refuse."""
        try:
            self._request(cmd, args, Patience(self.command_timeout))
        except Failure as refusal:
            raise InOwnWords(f"refused `{cmd}`: {refusal}") from refusal

    def _request(
        self,
        cmd: str,
        args: dict[str, Any] | None,
        patience: Patience,
        request: Callable[..., Answer] | None = None,
    ) -> Any:
        command = {"cmd": cmd} if args is None else {"cmd": cmd, "args": args}
        try:
            answer = (request or self._commands.request)(cmd, args, patience)
        except ModuleError:
            self._log(self.uid, "queue-module", command, None)
            raise
        if answer.success:
            self._log(self.uid, "queue-module", command, packet.good(answer.result))
            return answer.result
        refusal = packet.error(answer.error if answer.error else "no reason given")
        self._log(self.uid, "queue-module", command, refusal)
        raise Failure(refusal["error"])

    def _take_update(self, update: Update, size: int, count: int) -> None:
        if isinstance(update, SetParameters):
            parameters = update.args.parameters
            self._parameters.merge(parameters, size, count)
            command = {"cmd": "set_parameters", "args": {"parameters": parameters}}
        elif isinstance(update, UnsetParameters):
            names = update.args.parameters
            self._parameters.remove(names)
            command = {"cmd": "unset_parameters", "args": {"parameters": names}}
        elif isinstance(update, Leaving):
            command = {"cmd": "rm"}
        elif isinstance(update, Failing):
            command = {"cmd": "fail", "args": {"text": update.args.text}}
        self._log(self.uid, "module-instance", command, packet.good())
        self._on_update(self)
        if isinstance(update, Leaving):
            self._end("left by itself", self.natural_death_timeout)
            if self.death is not None:
                self.death.explain_by_own_words("left by itself", failed=False)
        elif isinstance(update, Failing):
            fault = InOwnWords(packet.error(f"failed: {update.args.text}")["error"])
            self.condemn(fault)
            if self.death is not None:
                self.death.explain_by_own_words(str(fault), failed=True)

    def _stream_ended(self, reason: str, breach: bool) -> None:
        self.condemn(ModuleError(reason) if breach else StreamEnded(reason))

    def _child_ended(self) -> None:
        self._end("ended", 0, failed=True, until_exit=True)

    def _end(
        self,
        reason: str,
        patience: float,
        *,
        failed: bool = False,
        last_word: str | None = None,
        until_exit: bool = False,
        in_own_words: bool = False,
        at_once: bool = False,
    ) -> None:
        """Take it off its place, for `reason`, and bring its processes to their end.

        `patience` is how many seconds it has before SIGTERM; `last_word` a command to send it
        without waiting for the answer, where it has accepted `init` and has not got it yet; with
        `until_exit` the child's exit within `patience`, and not `reason`, is what explains the
        end; with `in_own_words` nothing explains it better than `reason`; with `at_once` it gets
        SIGKILL and nothing before.
        """
        if self.state in (State.ENDING, State.GONE):
            return
        starting = self.state in (State.WAITING, State.STARTING)
        if self._removal is not None:  # whatever came of it, that is why it ends
            reason = f"{self.removal} before it had started" if starting else self.removal
            failed, until_exit, patience = False, False, self._removal.left
        if starting:
            last_word = None  # what has not got through `init` may not be fit for it
            if not until_exit:
                patience = min(patience, self.start_patience)  # nor has it anything to tidy up
        ladder = "rm" if self._commands.last_is_sent else None
        state = self.state.value
        self.death = Death(reason, failed, state, until_exit, in_own_words, ladder=ladder)
        self._burial = gevent.spawn(self._bury, self.death, patience, last_word, at_once)
        self._move_to(State.ENDING)

    def _bury(self, death: Death, patience: float, last_word: str | None, at_once: bool) -> None:
        with self._launching:
            pass  # what comes out of a launch under way is ended as well
        running = self._process is not None and self._process.exit_status is None
        if not at_once and self._commands.hang_up(last_word) and running and not death.by_exit:
            death.ladder = "rm"
        if self._process is not None:
            status = None if at_once else self._process.wait(max(0, patience))
            if death.by_exit and status is not None:
                death.explain_by_exit(status)
            signal_used = self._process.end(None if at_once else self.sigterm_timeout)
            if signal_used:
                death.ladder = signal_used
                log.warning("%r %s; it took %s to end it", self, death.reason, signal_used)
            death.exited(self._process.exit_status)
        self._commands.close()
        self._updates.close()
        if self._process is not None:
            self._process.close(self.output_timeout)
        death.seconds, death.ended = time.monotonic() - self._born, time.time()
        self._move_to(State.GONE)
        self.gone.set()

    def _move_to(self, state: State) -> None:
        """The one writer of `state`."""
        self.state = step(self.state, state)
        log.debug("%r", self)
        self._on_change(self)


def fault_of(action: str, bug: BaseException) -> ModuleError:
    """What clients are told of a module for which something failed that should not fail."""
    if isinstance(bug, ShmoozeError):
        return ModuleError(f"failed to {action}: {bug}")
    return ModuleError(f"hit an internal error in `{action}`; the service's log has details")
