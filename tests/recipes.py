"""The settings that docs/how-to/recipes.md shows."""

from __future__ import annotations

import json
import re
from typing import Any

from support import ROOT


def blocks(page: str) -> list[dict[str, Any]]:
    """The whole objects of JSON that a page of docs/how-to shows."""
    file = ROOT / "docs" / "how-to" / page
    text = file.read_text() if file.exists() else ""
    return [json.loads(block) for block in re.findall(r"```json\n(\{.*?)```", text, re.S)]


def recipe(name: str) -> dict[str, Any]:
    """The pool of the recipe for a type, as it is shown."""
    shown = (block["pool"] for block in blocks("recipes.md"))
    (pool,) = (pool for pool in shown if name in pool["modules"])
    return pool
