"""The caller: the client whose command is being executed."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from shmooze.access.scopes import READ_ONLY, Scopes


@dataclass
class Caller:
    """The client that sent the current request."""

    #: `control`: it may do everything; `read`: only what its scopes allow, and reading.
    role: str
    #: The client's address.
    address: str
    #: The name of its token; None: no tokens are used.
    name: str | None = None
    #: Seconds after which it may try again, if a command was refused by a limit.
    retry_after: float | None = None
    #: Tells whether it has closed its connection, so that the answer has no reader.
    has_left: Callable[[], bool] = lambda: False
    #: What it may do, unless its role is `control`.
    scopes: Scopes = READ_ONLY


#: The caller of the current command; None if it comes from the program itself.
caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def caller_name() -> str | None:
    """The name of the token of the current command's caller, if it has one."""
    who = caller.get()
    return who.name if who is not None else None


def caller_has_left() -> bool:
    """Whether the caller of the current command has disconnected."""
    who = caller.get()
    return who is not None and who.has_left()
