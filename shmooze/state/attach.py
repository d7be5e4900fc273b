"""Attaching a state file to a queue or pool."""

from __future__ import annotations

from shmooze.broker.broker import Broker
from shmooze.runtime import declared, schema
from shmooze.state.file import StateFile
from shmooze.state.history import History
from shmooze.state.pruning import Limits
from shmooze.state.store import Store


def attach(broker: Broker) -> None:
    """Let a broker keep its items in the file that the settings name, and answer for its history.

    Raises SettingsError for a file that cannot be used.
    """
    source = declared.current()
    chosen = schema.read(declared.State, source.values, source.error)
    assert chosen.state_path is not None
    name = str(broker.name)
    file = StateFile(chosen.state_path, chosen.state_sync)
    file.open(name)
    limits = Limits(chosen.history_days, chosen.history_rows, chosen.key_days)
    broker.items.keeper = Store(file, name, broker.roster, limits)
    broker.add_table(history := History(broker, file))
    broker.durations = history.usual_seconds
