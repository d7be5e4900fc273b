"""What this machine allows: whether process trees can be followed, and what is missing if not."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator

from shmooze.processes.tree import shows_our_processes


def _why_not() -> str | None:
    """Why trees cannot be followed here; None where they can."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return "this system has no pidfds and no child subreaper"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as bad:
        return f"there are no pidfds: {bad.strerror}"
    if not os.path.exists("/proc/self"):
        return "/proc is not mounted"
    if not shows_our_processes():
        return "/proc shows another pid namespace than ours"
    return None


_WHY_NOT = _why_not()
#: Whether processes that leave their parent can be followed here.
CAN_FOLLOW_TREES = _WHY_NOT is None


def can_mark() -> bool:
    """Whether processes can be marked. Where not, the machine's owner uses this limit himself."""
    return (
        CAN_FOLLOW_TREES and resource.getrlimit(resource.RLIMIT_RTTIME)[1] == resource.RLIM_INFINITY
    )


def warnings() -> Iterator[str]:
    """What cannot be promised on this machine, a sentence each; none where all can be."""
    if not CAN_FOLLOW_TREES:
        if sys.platform != "linux":
            peers = "the first who connects is taken for the module"
        elif not shows_our_processes():
            peers = "any process of this user may connect in the place of a module"
        else:
            peers = ""
        yield (
            "a daemon that leaves its module's process group may be left behind, and what modules "
            f"have started if this service is killed{peers and '; '}{peers}: {_WHY_NOT}"
        )
    elif not can_mark():
        yield (
            "a daemon that leaves its module is ended only together with this service: "
            "RLIMIT_RTTIME is limited already, so it cannot be told whose it is"
        )
