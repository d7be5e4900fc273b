"""Requests to a server that have no answer yet, and their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Raw

from shmooze.errors import ModuleError


class Reply(NamedTuple):
    """The answer to a request: a result, an error, or the reason why there is none."""

    result: Raw | None = None
    error: Raw | None = None
    lost: ModuleError | None = None


class Call(NamedTuple):
    """A request that has no answer yet."""

    #: Who has asked; None: it is for nobody in particular.
    caller: object
    on_reply: Callable[[Reply], None]
    #: Takes the params of a report on its progress.
    on_progress: Callable[[Raw], None] | None
