"""What people see of an item first: its label and type, and its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Keys of an item, beside its state, that people see of one that waits for its turn.
TURN_KEYS = ("priority", "ups", "skips")


def heading(item: Mapping[str, Any]) -> str:
    """Return the label with the type, or the type of an item without a label."""
    label, kind = item.get("label"), item.get("type")
    kind = kind if isinstance(kind, str) else ""
    return f"{label} ({kind})" if isinstance(label, str) and label else kind


def state_of(item: Mapping[str, Any]) -> Any:
    """Return the state, with the fact that the item is held if the state does not say so, and what
    its own web server is doing.
    """
    state, web = item.get("state"), item.get("web")
    is_held = item.get("held") is not None and isinstance(state, str) and state != "held"
    if not isinstance(state, str):
        return state
    held = ["held"] if is_held else []
    return ", ".join([state, *held, *([web] if isinstance(web, str) else [])])
