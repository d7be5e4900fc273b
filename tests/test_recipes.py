"""The settings files that the pages in docs show are accepted as they are, without a warning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recipes import blocks

from shmooze import settings
from shmooze.broker import section as of_sections
from shmooze.broker.catalog import by_type, types_from_settings
from shmooze.runtime import declared

PAGES = ("adapters.md", "mcp.md", "recipes.md", "web-servers.md")
#: The page and the number of each settings file.
SHOWN = {
    f"{page} {number}": block
    for page in PAGES
    for number, block in enumerate(blocks(page), 1)
    if "ports" in block
}


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    settings.use(None)
    yield monkeypatch
    settings.use(None)


@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN.keys())
def test_settings_in_docs_are_accepted(
    shown: dict[str, Any], tmp_path: Path, fresh: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(shown))
    fresh.setenv("SHMOOZE_SETTINGS", str(file))
    source = declared.current()
    for name in source.services:
        assert by_type(types_from_settings(name, "modules"))
        assert of_sections.unknown_keys(source, name) == []
        of_sections.slots(source, name)
        of_sections.routing_key(source, name)
