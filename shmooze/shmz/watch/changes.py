"""The differences between two states, as lines of text."""

from __future__ import annotations

from typing import Any

from shmooze.runtime.printable import printable
from shmooze.shmz.headings import TURN_KEYS, heading, state_of
from shmooze.shmz.watch.live import Live
from shmooze.shmz.watch.values import format_pair, truncate


def describe_changes(before: Live, after: Live) -> list[str]:
    """Describe the differences between two states, one line each."""
    if after.lost:
        return [] if after.lost == before.lost else [describe_loss(after)]
    if not after.has_begun:
        return []
    lines = []
    if not before.has_begun:
        lines.append(f"watching {after.url}: {after.count}")
    elif before.lost:
        lines.append("reconnected")
    if before.has_begun and before.paused != after.paused:
        lines.append("resumed" if after.paused is None else "paused")
    old, new = before.all_modules, after.all_modules
    for uid, module in new.items():
        if old.get(uid) is module:
            continue
        parts = describe_change(old.get(uid), module)
        if uid not in old:
            parts = ["background"] * (module is after.background) + parts
            parts = ["added"] * before.has_begun + parts
        if parts:
            lines.append(f"{truncate(heading(module))} {truncate(uid)} {', '.join(parts)}")
    for uid, module in old.items():
        if uid not in new:
            lines.append(f"{truncate(heading(module))} {truncate(uid)} ending")
    places = [[each["uid"] for each in live.modules] for live in (before, after)]
    stayed = [[uid for uid in uids if uid in old and uid in new] for uids in places]
    if stayed[0] != stayed[1]:
        lines.append(f"order: {' '.join(map(truncate, places[1]))}")
    known = {id(each) for each in before.gone}
    for each in after.gone:
        if id(each) not in known:
            kind, uid, reason = (truncate(each[key]) for key in ("heading", "uid", "reason"))
            lines.append(f"{kind} {uid} gone: {reason}")
    return [printable(line) for line in lines]


def describe_change(old: dict[str, Any] | None, new: dict[str, Any]) -> list[str]:
    parts = [] if old and state_of(old) == state_of(new) else [truncate(state_of(new))]
    if (waits := new.get("waits")) and (not old or old.get("waits") != waits):
        parts.append(f"waits: {truncate(waits)}")
    if terms := [key for key in TURN_KEYS if new.get(key) != (old or {}).get(key)]:
        parts.append(" ".join(format_pair(key, new.get(key) or 0) for key in terms))
    before, after = old["parameters"] if old else {}, new["parameters"]
    values = {
        name: value
        for name, value in after.items()
        if name not in before or type(before[name]) is not type(value) or before[name] != value
    }
    if values:
        parts.append(" ".join(format_pair(name, value) for name, value in values.items()))
    if unset := [name for name in before if name not in after]:
        parts.append(f"unset {' '.join(map(truncate, unset))}")
    return parts


def describe_loss(live: Live) -> str:
    return printable(f"connection lost: {live.lost}; reconnecting")
