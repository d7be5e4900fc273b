"""Modules, from both sides: `Module` is the parent's, the other names are the child's.

`Module` needs gevent, which children do not use and which would slow down their start. So names
are imported on first use.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shmooze.modules.module import Module as Module
    from shmooze.modules.player import Player as Player
    from shmooze.modules.pymodule import JSONParentPoller as JSONParentPoller
    from shmooze.modules.pymodule import ParentConnection as ParentConnection
    from shmooze.modules.worker import Worker as Worker

__all__ = ["JSONParentPoller", "Module", "ParentConnection", "Player", "Worker"]


def __getattr__(name: str) -> object:
    if name == "Module":
        from shmooze.modules.module import Module

        return Module
    if name in ("JSONParentPoller", "ParentConnection"):
        from shmooze.modules import pymodule

        return getattr(pymodule, name)
    if name == "Worker":
        from shmooze.modules.worker import Worker

        return Worker
    if name == "Player":
        from shmooze.modules.player import Player

        return Player
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
