"""The ladder: the steps that end a module's process, each stronger than the last.

A final command, an end of file on the command stream, some patience; then the Process goes on with
SIGTERM, patience, SIGKILL.
"""

from __future__ import annotations

from dataclasses import dataclass

from shmooze.modules.channel.contract import Channel
from shmooze.modules.exit import EndCause, ExitRecord, Grace
from shmooze.modules.kind import Kind
from shmooze.processes.contract import Process


@dataclass(frozen=True)
class Ladder:
    """The means for one end."""

    #: A command that is sent without waiting for its answer, if there was no final one before.
    final_command: str | None
    #: Seconds that the process gets before SIGTERM; None: SIGKILL at once.
    patience: float | None
    #: Seconds between SIGTERM and SIGKILL.
    sigterm_timeout: float
    #: Seconds for the rest of what it has sent, and of its output.
    output_timeout: float

    @classmethod
    def of(
        cls, kind: Kind, cause: EndCause, is_started: bool, left: float | None, can_ask: bool
    ) -> Ladder:
        """The ladder for a module that ends by `cause`.

        `is_started`: it has accepted `init`. `left` are the seconds that its removal leaves, if it
        is being removed. `can_ask`: it can be told to end otherwise than by a signal.
        """
        patience = kind.natural_death_timeout if cause.grace is Grace.FULL else 0.0
        if left is not None:
            patience = left
        if not is_started and not cause.by_exit:
            patience = min(patience, kind.start_patience)  # it has nothing to tidy up yet
        if not can_ask:
            patience = 0.0
        # What has not got through `init` may not be fit for `rm`.
        final_command = "rm" if cause.tell_rm and is_started else None
        return cls(
            final_command,
            None if cause.grace is Grace.KILL else max(0.0, patience),
            kind.sigterm_timeout,
            kind.output_timeout,
        )

    def descend(self, record: ExitRecord, channel: Channel, process: Process | None) -> str | None:
        """Return when nothing is left of the process, and close the channel.

        Notes in `record` what was needed. Returns the signal among that, if any.
        """
        is_running = process is not None and process.exit_status is None
        if self.patience is not None:
            is_told = channel.hang_up(self.final_command)
            if is_told and is_running and not record.cause.by_exit:
                record.ladder = "rm"
        if process is None:
            channel.close()
            return None
        signal_used = self._end(record, process)
        channel.wait_end(self.output_timeout)  # an answer that has arrived counts
        channel.close()
        process.close(self.output_timeout)
        return signal_used

    def _end(self, record: ExitRecord, process: Process) -> str | None:
        is_killed = self.patience is None
        status = None if is_killed else process.wait(self.patience)
        if record.cause.by_exit and status is not None and process.loss is None:
            record.explain_by_exit(status)
            if record.failed and hasattr(process, "exceeded") and (why := process.exceeded()):
                record.cause = EndCause.exceeded(why)
        signal_used = process.end(None if is_killed else self.sigterm_timeout)
        if signal_used:
            record.ladder = signal_used
        record.exited(process.exit_status)
        if process.loss is not None:
            record.lost(process.loss)
        return signal_used
