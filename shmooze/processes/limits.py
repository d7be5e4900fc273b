"""The limits of one module's processes: everything that it has started counts together."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from shmooze.runtime.declared import Count, Number

Niceness = Annotated[int, Meta(description="a whole number from 0 to 19", ge=0, le=19)]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """The key `limits` of a type."""

    memory_mb: Annotated[
        Number | None, "MiB of memory. A module that uses more is ended as failed."
    ] = None
    cpu: Annotated[Number | None, "Processor cores that it may keep busy, such as 0.5."] = None
    pids: Annotated[
        Count | None, "Processes that it may have. With cgroups, threads count too."
    ] = None
    nice: Annotated[Niceness | None, "How much lower its priority is than that of the service."] = (
        None
    )

    @property
    def memory(self) -> int | None:
        """`memory_mb` in bytes."""
        return None if self.memory_mb is None else int(self.memory_mb * MIB)


MIB = 1 << 20


def out_of_memory(used: int, limit: int) -> str:
    """Why a module has ended that used more memory than its limit, both in bytes."""
    return f"ran out of memory: {round(used / MIB)} of {round(limit / MIB)} MB"
