"""The exceptions of the client. All are ShmoozeErrors, and `str()` of each is one line."""

from __future__ import annotations

from typing import Any

from shmooze.errors import Failure, ServiceUnreachable, ShmoozeError


class CommandRefused(Failure):
    """The server has refused a command; the message is its own. Nothing was changed.

    `status` is that of HTTP: 200 if the service has refused it, and not the server as a whole.
    `retry_after` is the number of seconds after which to try again, if the server gives one.
    """

    def __init__(self, message: str, status: int = 200, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


class UnknownItem(CommandRefused):
    """The service knows no item with this uid, or has forgotten it."""


class Unreachable(ServiceUnreachable):
    """There is no connection to the server or the service, or it broke.

    `may_have_run`: the command was sent, so it may have been executed.
    """

    def __init__(self, message: str, may_have_run: bool = False) -> None:
        super().__init__(message)
        self.may_have_run = may_have_run


class WaitTimeout(ShmoozeError, TimeoutError):
    """What was waited for has not happened in time."""


class NotDone(Failure):
    """An item has ended without being done, so it has no result. `end` is how, as in `wait`."""

    def __init__(self, message: str, end: dict[str, Any]) -> None:
        super().__init__(message)
        self.end = end


class InvalidArgument(ShmoozeError, ValueError):
    """The client was used wrongly, for example with an invalid URL. Nothing was sent."""
