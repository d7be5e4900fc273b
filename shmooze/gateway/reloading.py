"""Reloading: the gateway reads its settings again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from shmooze import settings
from shmooze.runtime import declared, schema
from shmooze.settings import Settings

Made = TypeVar("Made")

#: Keys that only count when the gateway starts.
_AT_START = ("wsgi_host", "wsgi_workers", "sighup", "metrics", *schema.keys_of(declared.Limits))


def loaded(make: Callable[[Settings], Made]) -> Made:
    """Read the settings again, and make something of them, which does not wait. Raises
    SettingsError; the settings of this process stay as they are then.
    """
    before = settings.current()
    try:
        settings.use(Settings.load())
        return make(declared.current())
    except BaseException:
        settings.use(before)
        raise


def changes(started: Settings, before: Settings, now: Settings) -> dict[str, Any]:
    """What is different: `settings` since the last time, `needs_restart` since the start."""
    late = [key for key in _AT_START if started.get(key) != now.get(key)]
    if started.values["ports"].get("wsgi") != now.values["ports"].get("wsgi"):
        late.append("ports.wsgi")
    groups = declared.Application, declared.Gateway, declared.Access
    keys = [key for group in groups for key in schema.keys_of(group)]
    keys = [*dict.fromkeys([*keys, *before.values["public"], *now.values["public"]])]
    found = [key for key in keys if key not in _AT_START and before.get(key) != now.get(key)]
    return {"settings": found, "needs_restart": late}
