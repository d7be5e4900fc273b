"""Owners of items, and voters: the name of the token, or else the client's address."""

from __future__ import annotations

from msgspec.structs import replace

from shmooze.access.caller import caller
from shmooze.modules.module import Module
from shmooze.modules.terms import Terms

#: The owner of what the program adds itself.
PROGRAM = ""


def owner_of_caller() -> str:
    """The owner for which the current command adds something, or votes."""
    who = caller.get()
    if who is None:
        return PROGRAM
    return who.address if who.name is None else who.name


def owner_of(module: Module) -> str:
    """The owner of an item."""
    return module.origin.by or module.terms.owner or PROGRAM


def with_owner(terms: Terms) -> Terms:
    """The same terms as an object of their own, with the owner where no token tells it."""
    who = caller.get()
    address = who.address if who is not None and who.name is None else None
    return replace(terms, owner=address)
