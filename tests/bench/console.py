"""CPU time that the console takes in a browser while many modules change all the time.

Reads Chromium's timeline: the tasks of the page's main thread, which run scripts, layout and
painting. Scrolling is smooth if no task takes longer than a frame of 16 ms. Tasks are measured in
CPU time of the thread, since modules, services and the rest of the browser share the machine.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from chromium import chromium
from playwright.sync_api import CDPSession, Page
from support import Site, child

FRAME = 16.0  # ms


def timeline(session: CDPSession, page: Page, seconds: float) -> list[dict[str, Any]]:
    """Record Chromium's timeline for some seconds and return its events."""
    events: list[dict[str, Any]] = []
    complete: list[bool] = []
    session.on("Tracing.dataCollected", lambda part: events.extend(part["value"]))
    session.on("Tracing.tracingComplete", lambda _: complete.append(True))
    categories = "devtools.timeline,disabled-by-default-devtools.timeline,__metadata"
    session.send("Tracing.start", {"traceConfig": {"includedCategories": categories.split(",")}})
    page.wait_for_timeout(seconds * 1000)
    session.send("Tracing.end")
    while not complete:
        page.wait_for_timeout(50)
    return events


def tasks(events: list[dict[str, Any]]) -> list[float]:
    """The CPU milliseconds of each task of the page's main thread, sorted."""
    (main,) = {
        (event["pid"], event["tid"]) for event in events if event["name"] == "FireAnimationFrame"
    }
    return sorted(
        event["tdur"] / 1000
        for event in events
        if (event["pid"], event["tid"]) == main
        and event["name"] in ("RunTask", "ThreadControllerImpl::RunTask")
        and "tdur" in event
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=int, default=200)
    parser.add_argument("--rate", type=float, default=5.0, help="changes of each module per second")
    parser.add_argument("--seconds", type=float, default=10.0)
    chosen = parser.parse_args()
    types = {"metronome": {"process": child("metronome", str(chosen.rate))}}
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), ("wsgi", "pool"), {"pool": {"modules": types}}).start()
        try:
            add = {"cmd": "add", "args": {"type": "metronome"}}
            for _ in range(0, chosen.modules, 50):
                site.direct("pool", min(50, chosen.modules) * [add])
            with chromium() as browser:
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.goto(site.url)
                page.wait_for_function(
                    "count => document.querySelectorAll('.module progress').length === count",
                    arg=len(site.ask("pool", "pool")),
                )
                session = page.context.new_cdp_session(page)
                found = tasks(timeline(session, page, chosen.seconds))
        finally:
            site.close()
    busy = sum(found) / (10 * chosen.seconds)
    long = sum(each > FRAME for each in found)
    print(
        f"{chosen.modules} modules, {chosen.rate:g} changes each per second,"
        f" for {chosen.seconds:g} s"
    )
    print(f"main thread of the page: {busy:.0f} % busy, {len(found)} tasks")
    print(f"longest tasks: {', '.join(f'{each:.1f}' for each in found[-5:])} ms")
    print(f"tasks longer than a frame ({FRAME:g} ms): {long}")


if __name__ == "__main__":
    main()
