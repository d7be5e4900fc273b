"""Standard output and error of a child: logged, and the last lines kept.

They are always read, so that no child ever blocks on output. Only as much is kept as a person wants
to look back at, so a gigabyte of output takes no more memory than a page.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from shmooze.processes.contract import OutputLine, PastOutput
from shmooze.processes.output_pipe import OutputPipe
from shmooze.processes.output_text import OutputText
from shmooze.runtime.printable import printable

log = logging.getLogger("shmooze.output")


class CollectedOutput:
    """Standard output and error of one child, logged under its `label` if `is_logged`."""

    #: Lines of both that are kept.
    max_lines = 200
    #: Lines of standard error that are kept separately.
    max_error_lines = 20
    #: Lines that are logged per second at most.
    max_log_rate = 1000

    #: Where they come from: standard error, and standard output before that if it is output.
    _pipes: Sequence[OutputText] = ()

    def __init__(self, label: str, is_logged: bool = True) -> None:
        self._label, self._is_logged = label, is_logged
        self._lines: deque[str] = deque(maxlen=self.max_lines)
        self._errors: deque[str] = deque(maxlen=self.max_error_lines)
        self._second = 0
        self._logged_this_second = 0
        self._dropped = 0
        #: Called with each complete line.
        self.listeners: list[Callable[[OutputLine], None]] = []

    def watch(self, listener: Callable[[list[str]], None]) -> None:
        """See Process.watch_output."""
        for pipe in self._pipes:
            pipe.watch(listener)

    def renew(self, label: str) -> PastOutput:
        """See Process.renew."""
        for pipe in self._pipes:
            pipe.end_part()
        self._log_dropped()
        past = PastOutput([*self._lines], [*self._errors])
        self._label = label
        self._lines.clear()
        self._errors.clear()
        self.listeners.clear()
        return past

    def close(self, patience: float) -> None:
        """Read what is left, for at most `patience` seconds each, and close both pipes."""
        for pipe in self._pipes:
            pipe.close(patience)
        self._log_dropped()

    @property
    def lines(self) -> list[str]:
        """The last lines of both, followed by incomplete ones."""
        incomplete = [pipe.incomplete_line() for pipe in self._pipes]
        return [*self._lines, *filter(None, incomplete)][-self.max_lines :]

    @property
    def errors(self) -> list[str]:
        """The last lines of standard error, followed by an incomplete one."""
        incomplete = [pipe.incomplete_line() for pipe in self._pipes[-1:]]
        return [*self._errors, *filter(None, incomplete)][-self.max_error_lines :]

    def add(self, text: str) -> None:
        """Add lines that have come in another way."""
        for line in text.splitlines():
            line = printable(line[: OutputText.max_line])
            self._keep(line)
            self._log(line)

    def _keep(self, line: str, is_error: bool = False) -> None:
        self._lines.append(line)
        for listener in self.listeners:
            listener(OutputLine(line, is_error))

    def _keep_error(self, line: str) -> None:
        self._errors.append(line)
        self._keep(line, is_error=True)

    def _log(self, line: str) -> None:
        if not self._is_logged:
            return
        second = int(time.monotonic())
        if second != self._second:
            self._log_dropped()
            self._second, self._logged_this_second = second, 0
        self._logged_this_second += 1
        if self._logged_this_second <= self.max_log_rate:
            log.info("%s: %s", self._label, line)
        else:
            self._dropped += 1

    def _log_dropped(self) -> None:
        if self._dropped:
            log.warning("%s: (%d lines not logged)", self._label, self._dropped)
            self._dropped = 0


class ProcessOutput(CollectedOutput):
    """The output that comes through pipes of this process.

    Standard output is left alone where the child `has_stdio`: it is a connection then.
    """

    #: What makes a pipe for one of the two.
    make_pipe: Callable[[Callable[[str], None], Callable[[str], None]], OutputPipe] = OutputPipe

    def __init__(self, label: str, is_logged: bool = True, has_stdio: bool = False) -> None:
        super().__init__(label, is_logged)
        make = type(self).make_pipe
        self.stderr = make(self._keep_error, self._log)
        self.stdout: OutputPipe | None = None
        try:
            if not has_stdio:
                self.stdout = make(self._keep, self._log)
        except OSError:
            self.stderr.close()
            raise
        self._pipes = [self.stderr] if self.stdout is None else [self.stdout, self.stderr]

    def close_write_ends(self) -> None:
        """Close our copies of the child's ends, once it has been started."""
        for pipe in filter(None, (self.stdout, self.stderr)):
            pipe.close_write_end()


class HasOutput:
    """The part of a Process that is about its output."""

    _output: CollectedOutput

    @property
    def output(self) -> list[str]:
        return self._output.lines

    @property
    def errors(self) -> list[str]:
        return self._output.errors

    def add_output(self, text: str) -> None:
        self._output.add(text)

    def on_output(self, listener: Callable[[OutputLine], None]) -> None:
        self._output.listeners.append(listener)

    def watch_output(self, listener: Callable[[list[str]], None]) -> None:
        self._output.watch(listener)
