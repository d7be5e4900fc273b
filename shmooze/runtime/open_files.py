"""The system's limit on the open files of this process."""

from __future__ import annotations

import resource

#: What the system gave us at the start; children get it back.
FILES_AT_START = resource.getrlimit(resource.RLIMIT_NOFILE)


def allow_files(wanted: int) -> int:
    """Have the system let this process open `wanted` files if it may; how many it may now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return wanted if soft == resource.RLIM_INFINITY else soft
