"""Adapters: channels to programs that do not connect two streams.

A type names one with `adapter`. Those of ours are in `shmooze/adapters/`; others are found by the
entry points of the group `shmooze.adapters`, of whatever packages are installed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from shmooze.errors import SettingsError
from shmooze.modules.channel.contract import Channel, Owner
from shmooze.modules.channel.tcp import TcpChannel
from shmooze.modules.web_server import web_server_of
from shmooze.processes.contract import Launcher

#: The group of entry points by which packages offer adapters.
GROUP = "shmooze.adapters"
#: Those of ours, and the module that has each as `ADAPTER`. Loaded only where a type names them.
OURS = {name: f"shmooze.adapters.{name}" for name in ("command", "stdio", "mcp")}
#: What an adapter of another package must have.
_NEEDED = ("keys", "has_door", "problem", "description", "make_channel")


class Adapter(Protocol):
    """A way to speak to programs of one kind."""

    #: The keys of a type that only types with this adapter have, of those in `ADAPTER_KEYS`; and
    #: `reuse`, if its channels have `release` and `hand_over`.
    keys: Collection[str]
    #: Whether its channels have a `door`: a WSGI application that is also given the path within.
    has_door: bool

    def problem(self, kind: type[Any]) -> tuple[str, str] | None:
        """What is wrong with a type, which is a Kind: a key, and a sentence about it without a
        subject.
        """

    def description(self, kind: type[Any]) -> dict[str, Any] | None:
        """What is known of a type; see docs/reference/descriptions.md. Its own `schema` counts."""

    def make_channel(self, owner: Owner) -> Channel:
        """A channel for one module."""


class Enquiry(Protocol):
    """One program that is asked for its description. An adapter that has a way of its own to ask
    also has a method `enquiry(kind, launcher)`, which returns one.
    """

    def ask(self) -> Any:
        """The description; see docs/reference/descriptions.md. Nothing of the program is left.

        Raises ModuleError, CommandError.
        """

    def stop(self) -> None:
        """Give up."""


@cache
def find(name: str) -> Adapter:
    """The adapter of this name. Raises SettingsError, also where a package that it needs is
    missing.
    """
    if name in OURS:
        try:
            found: Adapter = import_module(OURS[name]).ADAPTER
        except ImportError as missing:
            raise _not_loaded(name, missing) from missing
        return found
    from importlib.metadata import entry_points  # services without other adapters start faster

    others = {each.name: each for each in entry_points(group=GROUP)}
    if name not in others:
        known = ", ".join([*OURS, *sorted(others)])
        raise SettingsError(f"there is no adapter `{name}`; known: {known}")
    try:
        other: Adapter = others[name].load()
    except Exception as bad:  # whatever the package does when it is imported
        raise _not_loaded(name, bad) from bad
    if lacking := [each for each in _NEEDED if not hasattr(other, each)]:
        raise SettingsError(f"{others[name].value} is not an adapter: it has no `{lacking[0]}`")
    return other


def _not_loaded(name: str, bad: Exception) -> SettingsError:
    return SettingsError(f"the adapter `{name}` cannot be loaded: {bad}")


def make_channel(owner: Owner) -> Channel:
    """A channel as the type of `owner` wants it: two TCP streams, or what its adapter makes."""
    return TcpChannel(owner) if owner.adapter is None else find(owner.adapter).make_channel(owner)


def enquiry_of(kind: type[Any], launcher: Launcher) -> Enquiry | None:
    """What asks a program of a type for its description as its adapter does; None: it is run with
    `--describe`.
    """
    adapter = None if kind.adapter is None else find(kind.adapter)
    ask: Callable[[type[Any], Launcher], Enquiry] | None = getattr(adapter, "enquiry", None)
    return None if ask is None else ask(kind, launcher)


def starts_when_it_plays(kind: type[Any]) -> bool:
    """Whether modules of a type get a process only when they play."""
    adapter = find(kind.adapter) if isinstance(kind.adapter, str) else None
    return bool(getattr(adapter, "starts_when_it_plays", False))


def has_door(kind: type[Any]) -> bool:
    """Whether HTTP requests can be passed on to modules of a type, which is a Kind."""
    if web_server_of(kind) is not None:
        return True
    return isinstance(kind.adapter, str) and find(kind.adapter).has_door
