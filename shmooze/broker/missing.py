"""Placeholders for types that are no longer in the settings. Their items are held."""

from __future__ import annotations

from shmooze.modules.module import Module


def why_missing(name: str) -> str:
    """Why items of this type are held."""
    return f"there is no type {name!r} in the settings"


def missing_type(name: str) -> type[Module]:
    """A type of this name of which nothing else is known."""
    keys = {"process": (), "is_missing": True, "show_args": False}  # nobody knows what is secret
    return type(name, (Module,), {"TYPE_STRING": name, **keys})
