"""One job of Slurm: an srun that runs one guard, for as long as that runs.

The guard gets its ticket on its standard input, which is that of srun. So it ends when we close it,
and when we are killed.
"""

from __future__ import annotations

import logging
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import gevent
from gevent import subprocess
from gevent.event import AsyncResult

from shmooze.errors import ModuleError
from shmooze.runtime.printable import printable

log = logging.getLogger(__name__)

_ERROR = re.compile(r"(?:srun|slurmstepd[\w.-]*): error: (.*)")
#: Characters of what went wrong that people see.
_LONGEST = 300


class SlurmJob:
    """See Submission of engine.py. Raises ModuleError if srun cannot be started."""

    #: Seconds for the guard to end by itself, and for srun to withdraw the job after SIGTERM.
    guard_patience, srun_patience = 2.0, 10.0

    def __init__(
        self, label: str, argv: Sequence[str], ticket: str, environ: Mapping[str, str]
    ) -> None:
        self._label = label
        #: The last errors that were said.
        self._errors: deque[str] = deque(maxlen=3)
        self._over: AsyncResult[str | None] = AsyncResult()
        self._ending: gevent.Greenlet | None = None
        theirs, self._stdin = os.pipe()
        try:
            os.write(self._stdin, ticket.encode() + b"\n")
            self._process = subprocess.Popen(
                [*argv],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environ,
                start_new_session=True,
            )
        except OSError as bad:
            os.close(self._stdin)
            raise ModuleError(f"cannot be started: srun: {bad.strerror}") from bad
        finally:
            os.close(theirs)
        self._reader = gevent.spawn(self._read_errors)
        gevent.spawn(self._watch)

    def cancel(self) -> None:
        if self._ending is None and not self._over.ready():
            self._ending = gevent.spawn(self._end)

    def when_over(self, call: Callable[[str | None], None]) -> None:
        self._over.rawlink(lambda over: gevent.spawn(call, over.get()))

    def wait(self) -> None:
        """Wait until it is over."""
        self._over.wait()

    def _end(self) -> None:
        self._close_stdin()
        self._over.wait(self.guard_patience)
        if not self._over.ready():
            # A job that waits for resources is withdrawn; one that runs is killed at once.
            self._process.send_signal(signal.SIGTERM)
            self._over.wait(self.srun_patience)
        if not self._over.ready():
            log.warning("%s: srun does not end, and is killed", self._label)
            self._process.kill()

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    def _read_errors(self) -> None:
        for line in self._process.stderr:
            text = printable(line.decode(errors="replace").rstrip())
            log.info("%s: %s", self._label, text)
            if found := _ERROR.match(text):
                self._errors.append(found[1].strip("* ")[:_LONGEST])

    def _watch(self) -> None:
        status = self._process.wait()
        with gevent.Timeout(1.0, False):
            self._reader.join()
        self._reader.kill()
        self._process.stderr.close()
        self._close_stdin()
        self._over.set(reason_of(status, self._errors))


def reason_of(status: int, errors: Sequence[str]) -> str | None:
    """Why a job is over, by the status of srun and what it has said. None: it has simply ended.

    The status of a job whose node has failed is 0 as well.
    """
    if errors:
        return f"Slurm: {errors[0]}"
    return None if status == 0 else f"srun has ended with status {status}"
