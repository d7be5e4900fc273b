"""The screen of `shmz watch` on a terminal: lines that fit into it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shmooze.runtime.printable import printable
from shmooze.shmz.cells import align, clip
from shmooze.shmz.headings import TURN_KEYS, heading, state_of
from shmooze.shmz.watch.changes import describe_loss
from shmooze.shmz.watch.live import Live
from shmooze.shmz.watch.values import format_pair, truncate


def render(live: Live, columns: int, height: int) -> list[str]:
    """Format the screen: lines that fit into it, with printable characters only."""
    head = [f"live: {live.count} at {live.url}"]
    if live.lost:
        head = [describe_loss(live), f"last seen: {live.count} at {live.url}"]
    gone = live.gone[-min(3, height // 5) :] if height >= 5 else []
    foot = [
        f"gone: {format_end_time(each)}{truncate(each['heading'])} {truncate(each['uid'])[:8]} "
        + truncate(each["reason"], columns)
        for each in gone
    ]
    last = [live.background] if live.background and height > 5 else []
    room = max(0, height - len(head) - len(foot) - 2 * len(last))
    fitting = len(live.modules) if len(live.modules) <= room else max(0, room - 1)
    rows = format_modules([*live.modules[:fitting], *last], columns)
    if (more := len(live.modules) - fitting) > 0:
        rows[fitting:fitting] = [f"  and {more} more"]
    if last:
        rows[-1:-1] = ["background"]
    lines = [*head, *rows, *foot]
    return [clip(printable(line), columns) for line in lines[:height]]


def format_end_time(end: dict[str, Any]) -> str:
    """Format when a module ended, in local time, with a space after it; empty if unknown."""
    try:
        ended = datetime.fromisoformat(end["ended"].replace("Z", "+00:00"))
        return f"{ended.astimezone():%H:%M:%S} "
    except (KeyError, AttributeError, ValueError, OverflowError):  # an older service, or not a time
        return ""


def format_modules(modules: list[dict[str, Any]], columns: int) -> list[str]:
    """Format one line per module, with narrow columns first."""
    is_wide = columns >= 60
    uid_size = 36 if columns >= 120 else 8 if is_wide else 4
    grid = []
    for module in modules:
        marker = "▶" if module["state"] == "playing" else " "
        parameters, bar = dict(module["parameters"]), ""
        if (progress := get_progress(parameters)) is not None:
            del parameters["progress"]
            bar = draw_bar(progress, columns // 8 if is_wide else 4)
        line = [
            f"{marker} {printable(truncate(module['uid'], columns))[:uid_size]}",
            clip(printable(truncate(heading(module), columns)), max(1, columns // 4)),
            clip(printable(truncate(state_of(module), columns)), 15),
            bar,
            summarize(module, parameters, columns),
        ]
        grid.append(line)
    if not any(line[3] for line in grid):
        grid = [[*line[:3], line[4]] for line in grid]
    return align(grid, columns)


def get_progress(parameters: dict[str, Any]) -> float | None:
    progress = parameters.get("progress")
    if isinstance(progress, (int, float)) and not isinstance(progress, bool) and 0 <= progress <= 1:
        return progress
    return None


def draw_bar(progress: float, cells: int) -> str:
    done = int(progress * cells)
    percent = int(progress * 100 + 1e-9)  # 0.29 * 100 is a little less than 29
    return f"{'█' * done}{'░' * (cells - done)} {percent:3}%"


def summarize(module: dict[str, Any], parameters: dict[str, Any], limit: int) -> str:
    """Format what a module waits for, and as many of its terms and parameters as fit in a line."""
    text = f"{truncate(waits, limit)} " if (waits := module.get("waits")) else ""
    terms = {key: module[key] for key in TURN_KEYS if module.get(key)}
    for name, value in [*terms.items(), *parameters.items()]:
        text += format_pair(name, value, limit) + " "
        if len(text) > limit:
            break
    return printable(text.rstrip())
