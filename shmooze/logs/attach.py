"""Attaching log files to a queue or pool."""

from __future__ import annotations

import os

from shmooze.broker.broker import Broker
from shmooze.logs.files import LogFiles
from shmooze.logs.retention import Retention
from shmooze.runtime import declared, schema


def attach(broker: Broker) -> None:
    """Write what the items of a broker print to the folder that the settings name.

    Raises SettingsError for a folder that cannot be used.
    """
    source = declared.current()
    chosen = schema.read(declared.Logs, source.values, source.error)
    assert chosen.log_path is not None
    name = str(broker.name)
    if name in (".", ".."):
        raise source.error("log_path", f"has no folder for a service called {name!r}")
    folder = os.path.join(chosen.log_path, name)
    files = LogFiles(folder, chosen.log_max_bytes, chosen.log_max_files, source.error)
    broker.log_files = files
    broker.factory.on_output = files.add
    Retention(broker, files)
