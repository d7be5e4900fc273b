"""What is different in new settings: types, and keys that count at once or after a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from shmooze.broker.renewal import Types
from shmooze.broker.roster import Place
from shmooze.broker.section import Section
from shmooze.runtime import declared, schema
from shmooze.settings import Settings

#: Keys of the section of a queue or pool that only count when it starts.
SECTION_AT_START = ("votes", "cluster")
#: Keys of the section that name the types.
_TYPES = {Place.ORDER: "modules", Place.BACKGROUND: "backgrounds"}
#: Keys at the top that a service takes at once. All others that it uses count when it starts.
TOP_AT_ONCE = (
    *("allowed_hosts", "allowed_origins", "trusted_proxies", "tokens_path"),
    *("max_modules", "max_adds_per_minute"),
)
#: Keys that only the gateway uses, and `ports`, of which one counts.
_OF_GATEWAY = (*("public", "static_prefix", "static_path", "name", "bg_color", "fg_color"), "ports")
#: Keys that count when a service starts.
_AT_START = [
    key
    for group in (
        *(each for each in declared.GROUPS if each is not declared.Gateway),
        declared.Service,
    )
    for key in schema.keys_of(group)
    if key not in (*TOP_AT_ONCE, *_OF_GATEWAY)
]


class TypeChanges:
    """The types that are new, other than before, or gone, as keys such as "modules.countdown"."""

    def __init__(self, before: Types, after: Types) -> None:
        self.added: list[str] = []
        self.changed: list[str] = []
        self.removed: list[str] = []
        for place, key in _TYPES.items():
            old, new = before.get(place, {}), after.get(place, {})
            self.added += [f"{key}.{name}" for name in new if name not in old]
            self.removed += [f"{key}.{name}" for name in old if name not in new]
            both = [name for name in new if name in old]
            self.changed += [f"{key}.{name}" for name in both if old[name] is not new[name]]


def changed_keys(
    before: Mapping[str, Any], after: Mapping[str, Any], keys: Iterable[str]
) -> list[str]:
    """Those of `keys` whose values are not the same."""
    return [key for key in keys if before.get(key) != after.get(key)]


def taken_at_once(before: Settings, after: Settings, name: str) -> list[str]:
    """Keys that have changed and count at once, those of types excepted."""
    late = (*SECTION_AT_START, *_TYPES.values())
    keys = [key for key in schema.keys_of(Section) if key not in late]
    sections = declared.section_of(before, name), declared.section_of(after, name)
    found = [f"{name}.{key}" for key in changed_keys(*sections, keys)]
    return changed_keys(before.values, after.values, TOP_AT_ONCE) + found


def needing_restart(started: Settings, now: Settings, name: str) -> list[str]:
    """Keys that have been changed since the service started, and count when it starts again."""
    found = changed_keys(started.values, now.values, _AT_START)
    if started.values["ports"].get(name) != now.values["ports"].get(name):
        found.append(f"ports.{name}")
    sections = declared.section_of(started, name), declared.section_of(now, name)
    found += [f"{name}.{key}" for key in changed_keys(*sections, SECTION_AT_START)]
    return found
