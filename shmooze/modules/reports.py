"""What a child reports on its update stream, and what follows from it."""

from __future__ import annotations

from typing import Any

from shmooze.lib import packet
from shmooze.modules.channel.updates import (
    Leaving,
    Report,
    Result,
    SetParameters,
    UnsetParameters,
)
from shmooze.modules.exit import EndCause, OwnWords, finished
from shmooze.modules.parameters import Parameters


def take(
    report: Report, size: int, count: int, parameters: Parameters, max_result: float
) -> tuple[dict[str, Any], EndCause | None]:
    """Bring the parameters up to date with a report that came in `size` bytes and `count` packets.

    Returns the report as the log has it, and why the module ends, if it says that it does. Raises
    Failure if the parameters would be too many.
    """
    if isinstance(report, SetParameters):
        values = report.args.parameters
        parameters.merge(values, size, count)
        return {"cmd": "set_parameters", "args": {"parameters": values}}, None
    if isinstance(report, UnsetParameters):
        names = report.args.parameters
        parameters.remove(names)
        return {"cmd": "unset_parameters", "args": {"parameters": names}}, None
    if isinstance(report, Leaving):
        return {"cmd": "rm"}, EndCause.left()
    if isinstance(report, Result):
        value = report.args.value
        return {"cmd": "result", "args": {"value": value}}, finished(value, max_result)
    key = "text" if report.args.error is None else "error"
    text = getattr(report.args, key)
    words = packet.error(f"failed: {text}")["error"]
    return {"cmd": "fail", "args": {key: text}}, EndCause.fault(OwnWords(words))
