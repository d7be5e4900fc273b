"""Refusals: why a request is not answered, in words for its client."""

from __future__ import annotations

from shmooze.broker.broker import Broker
from shmooze.broker.supervision import STOPPED
from shmooze.broker.views import explain, reason_of
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.runtime import clock

#: Seconds within which the end of a process is noticed that has closed its connections.
_NOTICED = 0.5


class Unavailable(Exception):
    """A request that nobody answers, with the HTTP status that says so."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


def unknown(broker: Broker, uid: str) -> Unavailable:
    """There is no module with a uid any more, or never was."""
    for module in broker.roster.everyone:
        if module.uid == uid:
            return Unavailable(502, f"{module.TYPE_STRING} {uid} is ending")
    for report in broker.gone():
        if report["uid"] == uid:
            return Unavailable(502, f"{report['type']} {uid} {report['reason']}")
    return Unavailable(404, f"no module has the uid {uid!r}")


def why_gone(module: Module) -> Unavailable:
    """The module for which a request has waited has ended."""
    if module.reason.startswith(STOPPED):
        return Unavailable(503, explain(module), 1.0)
    return Unavailable(502, explain(module))


def find_reason(module: Module, has_gone: bool) -> str:
    """Why a module says nothing, or has closed a connection: a sentence without its subject.

    If it `has_gone`, its process may have ended. Waits a moment until that is noticed. Empty if
    there is no reason.
    """
    if not has_gone:
        is_stopped = module.has_process and not module.runs
        return f"is {module.held or 'suspended'}" if is_stopped else ""
    clock.wait(module.gone, _NOTICED)
    if module.exit is not None:
        return reason_of(module) if module.failed else module.reason
    is_suspended = module.state is State.SUSPENDED and not module.has_process
    return "was suspended" if is_suspended else ""
