"""Why a request is not answered, as its client is told."""

from __future__ import annotations

from shmooze.broker.broker import Broker
from shmooze.broker.supervision import STOPPED
from shmooze.broker.views import explain
from shmooze.modules.module import Module


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
    return Unavailable(404, f"module {uid!r} is unknown")


def why_gone(module: Module) -> Unavailable:
    """The module for which a request has waited has ended."""
    if module.reason.startswith(STOPPED):
        return Unavailable(503, explain(module), 1.0)
    return Unavailable(502, explain(module))
