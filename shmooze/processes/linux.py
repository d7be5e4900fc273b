"""System calls of Linux that Python does not offer."""

from __future__ import annotations

import ctypes
import signal
import sys

# From linux/prctl.h and linux/close_range.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_CLOSE_RANGE_CLOEXEC = 4

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def become_subreaper() -> bool:
    """Ask the kernel to make this process the new parent of orphaned descendants.

    Returns True on success.
    """
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> bool:
    """Ask the kernel to kill this process when the thread that started it ends.

    Returns True on success. A parent that died before the call goes unnoticed.
    """
    return _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def set_process_name(name: bytes) -> None:
    """Set the name that `ps` and `top` show for this process."""
    _prctl(_PR_SET_NAME, name)


def disable_core_dump() -> None:
    """Keep this process from leaving a core file."""
    _prctl(_PR_SET_DUMPABLE, 0)


def close_on_exec(first: int) -> bool:
    """Mark all file descriptors from `first` on as close-on-exec. Returns True on success."""
    if not hasattr(_libc, "close_range"):
        return False
    assert _libc is not None
    return int(_libc.close_range(first, ctypes.c_uint(-1), _CLOSE_RANGE_CLOEXEC)) == 0


#: Whether one call can keep all file descriptors from a child. Closing thousands of them one by one
#: takes as long as starting a program.
CAN_CLOSE_ON_EXEC = close_on_exec(1 << 30)  # affects none; only tests the call


def _prctl(option: int, argument: int | bytes) -> bool:
    return _libc is not None and _libc.prctl(option, argument, 0, 0, 0) == 0
