"""gevent's patching of the standard library, for programs of ours that are started often.

gevent tells plugins of each module that it patches, and has the metadata of all packages read for
that each time. To import what reads metadata is a fifth of a start, to read it so often most of
it; a look at the files is enough to find the plugins.

Imports nothing but the standard library at first: what is imported unpatched stays unpatched.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from configparser import ConfigParser, Error
from importlib.machinery import PathFinder
from pkgutil import resolve_name
from typing import Any


class _Unclear(Exception):
    """There may be plugins that cannot be found by looking at files."""


def patch_all() -> None:
    """The same as gevent.monkey.patch_all(), sooner."""
    from gevent import events, monkey

    module: Any = events
    name = "notify_and_call_entry_points"
    try:
        before, plugins = getattr(module, name), _plugins()
    except (AttributeError, _Unclear):
        monkey.patch_all()
        return

    def tell(event: Any) -> None:
        module.notify(event)
        for plugin in plugins[event.ENTRY_POINT_NAME]:
            resolve_name(plugin)(event)

    setattr(module, name, tell)
    try:
        monkey.patch_all()
    finally:
        setattr(module, name, before)


def _plugins() -> dict[str, list[str]]:
    """The plugins of installed packages, `module:function`, by group. Raises _Unclear."""
    if any(
        hasattr(finder, "find_distributions") and finder is not PathFinder
        for finder in sys.meta_path
    ):
        raise _Unclear
    found: dict[str, list[str]] = defaultdict(list)
    for path in _files():
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if "gevent.plugins" not in text:
            continue
        parser = ConfigParser(delimiters="=", interpolation=None)
        try:
            parser.read_string(text)
        except Error as bad:
            raise _Unclear from bad
        for group in parser.sections():
            found[group] += parser[group].values()
    return found


def _files() -> list[str]:
    """Where installed packages tell of plugins, of whatever kind. Raises _Unclear."""
    found: list[str] = []
    for folder in dict.fromkeys(os.path.abspath(each) for each in sys.path):
        if os.path.isfile(folder):
            raise _Unclear  # an archive
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        if any(name.endswith(".egg") for name in names):
            raise _Unclear  # packages as they were once
        infos = [name for name in names if name.endswith((".dist-info", ".egg-info"))]
        paths = [os.path.join(folder, info, "entry_points.txt") for info in infos]
        found += filter(os.path.isfile, paths)
    return found
