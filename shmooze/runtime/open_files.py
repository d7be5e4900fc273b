"""The system's limit on the open files of this process."""

from __future__ import annotations

import resource

#: The limit at the start of the program; child processes get it back.
FILES_AT_START = resource.getrlimit(resource.RLIMIT_NOFILE)


def allow_files(wanted: int) -> int:
    """Raise the limit to `wanted` files, as far as the system allows. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
        soft = possible
    return wanted if soft == resource.RLIM_INFINITY else soft
