"""What can be asked of a module without changing it: who it is, what it is doing, how it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.event import Event

from shmooze.modules.exit import WAKES, ExitRecord
from shmooze.modules.grant import Grant
from shmooze.modules.kind import Kind
from shmooze.modules.lifecycle import State
from shmooze.modules.origin import Origin
from shmooze.modules.parameters import Parameters
from shmooze.modules.presentation import Presentation, View
from shmooze.modules.restarts import restarts_of
from shmooze.modules.saved import SavedState
from shmooze.modules.terms import PLAIN, Terms
from shmooze.processes.contract import OutputLine, PastOutput, Process, Usage
from shmooze.runtime import clock

#: Lines of output that explain how a program has ended.
_MAX_ERRORS = 20


class Status(Kind):
    """The part of a module that everybody may read."""

    def __init__(self, uid: str, state: State) -> None:
        self.uid = uid
        self.state = state
        self._parameters = Parameters(self.max_parameters_bytes)
        #: What it reports, by name.
        self.parameters = self._parameters.values
        #: The args of `init`.
        self.args: dict[str, Any] = {}
        #: The commands that its process has told of; None: it tells of none.
        self.own_commands: dict[str, Any] | None = None
        #: How its type shows its args; None: as they are.
        self.presentation: Presentation | None = None
        self._view: tuple[dict[str, Any], object, str | None, View] | None = None
        #: Who added it, and when.
        self.origin = Origin(None, clock.time())
        #: When it may play, and before whom.
        self.terms: Terms = PLAIN
        #: Whether the others of a queue wait for it while it starts.
        self.is_awaited = False
        #: The number of its place in the order, see broker/line.py; None: it has none.
        self.position: float | None = None
        #: Whether a process was ever started for it, in this life or an earlier one.
        self.has_begun = False
        #: Starts of its process during which the service died, and the one under way.
        self.attempts = 0
        #: Why it is held; None: it is not.
        self.held: str | None = None
        #: Why it is held as soon as there is its type again; None: it is not held then.
        self.held_besides: str | None = None
        #: What keeps it from starting and playing until it passes by itself, such as a time; None:
        #: nothing.
        self.blocked: str | None = None
        #: Why its turn has not come, where its place does not tell; None: that is plain, or it does
        #: not wait.
        self.lacks: str | None = None
        self.restarts = restarts_of(self)
        #: When it is started again, in seconds since 1970; None: it is not waiting for that.
        self.next_attempt: float | None = None
        #: The reason given when it is removed.
        self.removal = "was removed"
        #: How and why it ended; None while it lives.
        self.exit: ExitRecord | None = None
        self.gone = Event()
        #: When it was made or started, by `clock.now`.
        self.born = clock.now()
        self._process: Process | None = None
        #: What it has of what its service `has`; None: nothing.
        self.grant: Grant | None = None
        #: Where the web server of its process listens; None: it has none, or says so itself.
        self.port: int | None = None
        #: What clients are told of that server: "loading" or "ready"; None: nothing.
        self.web: str | None = None
        #: One that was ended although the module goes on, or what is left of one that has another
        #: owner now.
        self._earlier: Process | PastOutput | None = None
        self._saved = SavedState()
        #: Called with its uid and each line that its process prints; None: nobody wants them all.
        self.on_output: Callable[[str, OutputLine], None] | None = None

    def inherit(self, earlier: Status) -> None:
        """Go on where an earlier life of the same item has ended."""
        self.args, self.origin, self.has_begun = earlier.args, earlier.origin, earlier.has_begun
        self.held, self.blocked, self.terms = earlier.held, earlier.blocked, earlier.terms
        self.restarts, self._saved = earlier.restarts, SavedState(earlier._saved)
        self.presentation, self.on_output = earlier.presentation, earlier.on_output

    def __repr__(self) -> str:
        where = f", {self._process.describe()}" if self._process else ""
        return f"<Module {self.TYPE_STRING} {self.uid[:8]}: {self.state.value}{where}>"

    @property
    def saved(self) -> bytes | None:
        """The state that it has saved last, in this life or an earlier one, as JSON without spaces.

        None if it has never saved one; b"null" if it has saved null. Whoever makes a module that
        has lived before sets it, before `start`.
        """
        return self._saved.json

    @saved.setter
    def saved(self, json: bytes | None) -> None:
        self._saved.json = json

    @property
    def has_process(self) -> bool:
        """Whether it has a process at present."""
        return self._process is not None

    @property
    def runs(self) -> bool:
        """Whether it has a process that is not stopped."""
        return self._process is not None and not self._process.is_suspended

    @property
    def host(self) -> str | None:
        """The machine on which its process runs, or ran; None: that of the service, or none."""
        return self._process.host if self._process is not None else None

    def listens(self, port: int) -> bool:
        """Whether its process has a port on which somebody listens, as far as that is known."""
        return self._process is not None and self._process.listens(port)

    @property
    def is_free(self) -> bool:
        """Whether nothing but its turn keeps it from playing."""
        return self.held is None and self.blocked is None

    @property
    def waits(self) -> str | None:
        """What clients are told that it waits for; None: nothing but its turn."""
        return self.blocked or self.lacks

    @property
    def is_resting(self) -> bool:
        """Whether it is held only until somebody needs it."""
        return self.held is not None and self.held.endswith(WAKES)

    @property
    def view(self) -> View:
        """What clients see of its args. The same object as long as that stays the same."""
        presentation = self.presentation
        version = self.show_args if presentation is None else presentation.version
        known, label = self._view, self.terms.label
        if (
            known is None
            or known[0] is not self.args
            or known[1] is not version
            or known[2] != label
        ):
            self._view = known = self.args, version, label, self._new_view(label)
        return known[3]

    def _new_view(self, label: str | None) -> View:
        if self.presentation is None or not self.show_args:
            return View(self.args if self.show_args else None, label)
        view = self.presentation.view(self.args)
        return view if label is None else view._replace(label=label)

    def loggable(self, command: dict[str, Any]) -> dict[str, Any]:
        """A command to its child as the command log may have it."""
        return command if self.presentation is None else self.presentation.loggable(command)

    @property
    def reason(self) -> str:
        """Why it ended, in a sentence without its subject; empty while it lives."""
        return self.exit.reason if self.exit else ""

    @property
    def failed(self) -> bool:
        """Whether it ended by a fault."""
        return self.exit is not None and self.exit.failed

    @property
    def output(self) -> list[str]:
        """The last lines of its standard output and error."""
        process = self._process or self._earlier
        return process.output if process else []

    def follow_output(self, listener: Callable[[OutputLine], None]) -> bool:
        """Call `listener` with each further line of its process. Returns False if it has none."""
        if self._process is None:
            return False
        self._process.on_output(listener)
        return True

    def _tell_output(self, process: Process) -> None:
        """Let `on_output` have what a process has printed so far, and what it prints."""
        if (tell := self.on_output) is None:
            return
        for line in process.output:
            tell(self.uid, OutputLine(line, is_error=False))
        process.on_output(lambda line: tell(self.uid, line))

    @property
    def errors(self) -> list[str]:
        """The last lines of its standard error; of its output, if a program that knows nothing of
        us has written nothing else.
        """
        process = self._process or self._earlier
        if process is None:
            return []
        return process.errors or (process.output[-_MAX_ERRORS:] if self.adapter else [])

    @property
    def checks_args(self) -> bool:
        """See Owner of channel/contract.py."""
        return self.describe is True or self.given_schema is not None

    def usage(self) -> Usage:
        """What the child and all that it has started use. Raises CommandError where unknown."""
        return self._process.usage() if self._process else Usage(0.0, 0, 0)
