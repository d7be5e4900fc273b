"""Attaching the descriptions of module types to a queue or pool."""

from __future__ import annotations

from shmooze.broker.broker import Broker
from shmooze.errors import SettingsError


def attach(broker: Broker) -> None:
    """Let a broker check its items against the descriptions of their types.

    Raises SettingsError if the library for that is missing. Mistakes in descriptions are logged.
    """
    try:
        import jsonschema_rs  # noqa: F401
    except ImportError as bad:
        raise SettingsError(
            f"{broker.name}: a module type has `schema` or `describe`, which needs the package"
            f" jsonschema-rs: pip install 'shmooze[descriptions]' ({bad})"
        ) from bad
    from shmooze.description.describer import TypeDescriber

    broker.items.describe_with(TypeDescriber(broker))
