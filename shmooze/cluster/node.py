"""The guard of one module on its node: `python -m shmooze.cluster.node`.

An engine runs this, with a ticket in the environment or on standard input. It connects to the door
of the service, and asks to start. If it is let in, it starts the program as its service would at
home, and carries its streams, its output and whatever the service wants to know or do.

It ends the whole program, and itself, as soon as it is not allowed to go on: when the service says
so, when nobody listens at the door any more, when its lease is over, when standard input ends from
which the ticket came, or by SIGTERM. If it is killed itself, its guardian does that.
"""

from __future__ import annotations

if __name__ == "__main__":
    from shmooze.runtime.patch import patch_all

    patch_all()

import logging
import os
import sys
from contextlib import suppress

from shmooze.cluster import ticket
from shmooze.cluster.engine import TICKET_VARIABLE
from shmooze.cluster.guard import Guard
from shmooze.cluster.lease import SharedDeadline
from shmooze.cluster.program import NodeLauncher
from shmooze.cluster.ticket import Ticket
from shmooze.errors import ShmoozeError
from shmooze.runtime import inherited
from shmooze.runtime.logs import StderrHandler
from shmooze.runtime.program import exit_with, flush_log, log_to

log = logging.getLogger(__name__)

#: Bytes of the longest ticket.
_MAX_TICKET = 1 << 20


def read_ticket() -> tuple[Ticket, bool]:
    """The ticket, and whether standard input must stay open. Raises ShmoozeError."""
    line = os.environ.pop(TICKET_VARIABLE, None)
    if line is not None:
        return ticket.read(line), False
    data = b""
    while not data.endswith(b"\n") and len(data) < _MAX_TICKET:
        # Byte by byte at its end, so that nothing after the line is taken.
        piece = os.read(0, 1)
        if not piece:
            raise ShmoozeError(
                f"needs a ticket in {TICKET_VARIABLE} or on standard input; engines start this"
            )
        data += piece
    return ticket.read(data), True


def main() -> str:
    """Run the guard until its program has ended. Returns why it has ended."""
    try:
        own, watches_stdin = read_ticket()
    except ShmoozeError as bad:
        exit_with(bad)
    launcher, deadline = NodeLauncher(), SharedDeadline()
    launcher.guard(deadline.is_over)  # which forks
    guard = Guard(own, launcher, deadline, watches_stdin)
    log_to(StderrHandler())
    logging.getLogger().setLevel(logging.WARNING)
    inherited.reset_dispositions()
    guard.take_signals()
    inherited.unblock_all()
    guard.run()
    flush_log()
    with suppress(OSError):
        sys.stdout.flush()
    return guard.reason


if __name__ == "__main__":
    main()
