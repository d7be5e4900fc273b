"""Why processes end, as one of a few words: the values of a label must be bounded."""

from __future__ import annotations

from shmooze.broker.supervision import STOPPED
from shmooze.modules.exit import ExitRecord, Outcome

#: It has given its result, left by itself, or exited with status 0.
DONE = "done"
#: A client removed it.
REMOVED = "removed"
#: The service was stopped.
STOPPED_WITH_SERVICE = "stopped"
#: Nobody needed it at present.
RESTED = "rested"
#: It used more memory than it may.
OUT_OF_MEMORY = "out_of_memory"
#: The machine of its process was lost.
LOST = "lost"
#: The service has given its item up, such as after a time limit.
GIVEN_UP = "given_up"
#: It refused a command, or said that it has failed.
REFUSED = "refused"
#: It exited with another status than 0.
EXITED = "exited"
#: A signal ended it that the service has not sent.
KILLED = "killed"
#: Any other fault: it did not answer, could not be started, broke the protocol.
FAULT = "fault"

ALL = (
    *(DONE, REMOVED, STOPPED_WITH_SERVICE, RESTED, OUT_OF_MEMORY),
    *(LOST, GIVEN_UP, REFUSED, EXITED, KILLED, FAULT),
)

#: How such a reason begins, see processes/limits.py.
_OUT_OF_MEMORY = "ran out of memory"


def kind_of(record: ExitRecord) -> str:
    """Which of these words says why a process has ended."""
    cause = record.cause
    if cause.is_lost:
        return LOST
    if cause.reason.startswith(_OUT_OF_MEMORY) and not cause.own_words:
        return OUT_OF_MEMORY
    if cause.is_rest:
        return RESTED
    if cause.is_removal:
        return STOPPED_WITH_SERVICE if cause.reason.startswith(STOPPED) else REMOVED
    if record.outcome is Outcome.DONE:
        return DONE
    if cause.own_words:
        return GIVEN_UP if cause.is_final else REFUSED
    if cause.by_exit and record.status:
        return EXITED if record.status > 0 else KILLED
    return FAULT
