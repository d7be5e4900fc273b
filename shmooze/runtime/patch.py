"""gevent's patching of the standard library, made faster so that programs start quickly.

gevent notifies plugins about each module that it patches, and searches the metadata of all
installed packages for them each time, which takes most of a program's start. Hardly anybody has a
plugin except gevent's own, which only warns about patching that we do not do. Reading the packages'
entry points once is enough to know.

At import this uses the standard library only: modules that are imported before patching may stay
unpatched.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from typing import Any


def patch_all() -> None:
    """Do the same as gevent.monkey.patch_all(), faster."""
    from gevent import events, monkey

    module: Any = events
    notify_plugins = getattr(module, "notify_and_call_entry_points", None)
    if notify_plugins is None or _may_have_plugins():
        monkey.patch_all()
        return
    module.notify_and_call_entry_points = module.notify
    try:
        monkey.patch_all()
    finally:
        module.notify_and_call_entry_points = notify_plugins


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
    """Return True if any package may have a plugin, or if this is not certain."""
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
        return True  # an archive, or a folder that is not readable
    if any(name.endswith(".egg") for name in (folder, *names)):
        return True  # the old format of packages
    return any(
        _names_plugins(os.path.join(folder, name, "entry_points.txt"))
        for name in names
        if name.endswith((".dist-info", ".egg-info")) and not name.startswith("gevent-")
    )


def _names_plugins(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return b"gevent.plugins" in file.read()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
