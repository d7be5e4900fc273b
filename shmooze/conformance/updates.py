"""The updates that a module has sent: whether a service accepts each of them."""

from __future__ import annotations

import msgspec

from shmooze.conformance.session import Session
from shmooze.errors import Failure, PacketError
from shmooze.modules.channel.stream import Stream
from shmooze.modules.channel.updates import Save, SetParameters, UnsetParameters, Update
from shmooze.modules.parameters import Parameters
from shmooze.modules.saved import SavedState
from shmooze.runtime import jsonsafe

_decode = msgspec.json.Decoder(Update).decode


def check(session: Session) -> None:
    """Judge the updates of all processes."""
    report, options = session.report, session.options
    parameters, saved = Parameters(options.max_parameters_bytes), SavedState()
    saved.open()
    for line in session.updates:
        try:
            update = _take(line, parameters)
            if isinstance(update, Save):
                saved.keep(update.args.state, options.max_state_bytes)
        except (Failure, PacketError, msgspec.DecodeError) as bad:
            shown = line[:200].decode(errors="backslashreplace")
            report.failed("updates", f"{shown or 'an empty line'}: {bad}")
            return
    if session.updates:
        report.ok("updates")
    else:
        report.skipped("updates", "it has not sent any")


def _take(line: bytes, parameters: Parameters) -> Update:
    """Decode an update, and apply it to the parameters. Raises if a service would refuse it."""
    if len(line) > Stream.max_line:
        raise Failure("a line over 1 MiB")
    jsonsafe.decode(line)
    update: Update = _decode(line)
    if isinstance(update, SetParameters):
        parameters.merge(update.args.parameters, len(line), 1)
    elif isinstance(update, UnsetParameters):
        parameters.remove(update.args.parameters)
    return update
