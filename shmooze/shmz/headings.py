"""What people recognise an item by: its label and its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def heading(item: Mapping[str, Any]) -> str:
    """Return the label with the type, or the type of an item without a label."""
    label, kind = item.get("label"), item.get("type")
    kind = kind if isinstance(kind, str) else ""
    return f"{label} ({kind})" if isinstance(label, str) and label else kind
