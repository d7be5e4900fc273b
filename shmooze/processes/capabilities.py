"""What this machine supports: whether process trees can be tracked, and the warnings if not."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator

from shmooze.processes.proc import shows_our_processes


def _find_obstacle() -> str | None:
    """Return why trees cannot be tracked here, or None if they can."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return "this system has no pidfds and no child subreaper"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as bad:
        return f"pidfds do not work: {bad.strerror}"
    if not os.path.exists("/proc/self"):
        return "/proc is not mounted"
    if not shows_our_processes():
        return "/proc shows another pid namespace than ours"
    return None


_OBSTACLE = _find_obstacle()
#: Whether processes can be tracked here even after they have left their parent.
CAN_TRACK_TREES = _OBSTACLE is None


def can_mark() -> bool:
    """Return True if processes can be marked: the limit that serves as the mark is unused."""
    return (
        CAN_TRACK_TREES and resource.getrlimit(resource.RLIMIT_RTTIME)[1] == resource.RLIM_INFINITY
    )


def warnings() -> Iterator[str]:
    """Yield what cannot be guaranteed on this machine, one sentence each."""
    if not CAN_TRACK_TREES:
        if sys.platform != "linux":
            peers = "the first process that connects is taken for the module"
        elif not shows_our_processes():
            peers = "any process of this user may connect in the place of a module"
        else:
            peers = ""
        yield (
            "a daemon that leaves its module's process group may be left behind, and so may "
            f"everything that modules started if this service is killed{peers and '; '}{peers}: "
            f"{_OBSTACLE}"
        )
    elif not can_mark():
        yield (
            "a daemon that leaves its module ends only with this service: RLIMIT_RTTIME is already "
            "limited, so daemons cannot be traced to their modules"
        )
