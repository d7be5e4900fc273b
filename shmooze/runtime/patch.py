"""gevent's patching of the standard library, for programs of ours that are started often.

gevent tells plugins of each module that it patches, and looks for them in the metadata of all
packages each time: most of a start. Nearly nobody has such a plugin beside gevent's own, which
warns of patching that we do not do; a look at the files is enough to know.

Imports nothing but the standard library at first: what is imported unpatched stays unpatched.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from typing import Any


def patch_all() -> None:
    """The same as gevent.monkey.patch_all(), sooner."""
    from gevent import events, monkey

    module: Any = events
    tell = getattr(module, "notify_and_call_entry_points", None)
    if tell is None or _may_have_plugins():
        monkey.patch_all()
        return
    module.notify_and_call_entry_points = module.notify
    try:
        monkey.patch_all()
    finally:
        module.notify_and_call_entry_points = tell


def require_patched() -> None:
    """Raise ShmoozeError unless gevent has patched the standard library of this process."""
    from gevent import monkey

    from shmooze.errors import ShmoozeError

    if not monkey.is_module_patched("socket"):
        raise ShmoozeError(
            "gevent has not patched this program: its first two lines must be "
            "`from gevent import monkey` and `monkey.patch_all()`"
        )


def _may_have_plugins() -> bool:
    """Whether any package may have a plugin; True where that is not plain to see."""
    finders = (finder for finder in sys.meta_path if finder is not PathFinder)
    if any(hasattr(finder, "find_distributions") for finder in finders):
        return True
    return any(map(_may_hold_plugins, map(str, sys.path)))


def _may_hold_plugins(folder: str) -> bool:
    try:
        names = os.listdir(folder or ".")
    except FileNotFoundError:
        return False
    except OSError:
        return True  # an archive, or nothing that we may look into
    if any(name.endswith(".egg") for name in (folder, *names)):
        return True  # packages as they were once
    return any(
        _tells_of_plugins(os.path.join(folder, name, "entry_points.txt"))
        for name in names
        if name.endswith((".dist-info", ".egg-info")) and not name.startswith("gevent-")
    )


def _tells_of_plugins(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return b"gevent.plugins" in file.read()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
