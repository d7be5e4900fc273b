"""What the console costs a browser while many modules change all the time.

Chromium's own timeline is read: the tasks of the page's main thread, scripts, layout and painting
in them. A frame is smooth if none takes longer than 16 ms. It is the CPU time of the thread that
counts, since modules, services and the other half of the browser share this machine with it.
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
    """The events of Chromium's timeline during some seconds."""
    found: list[dict[str, Any]] = []
    over: list[bool] = []
    session.on("Tracing.dataCollected", lambda part: found.extend(part["value"]))
    session.on("Tracing.tracingComplete", lambda _: over.append(True))
    categories = "devtools.timeline,disabled-by-default-devtools.timeline,__metadata"
    session.send("Tracing.start", {"traceConfig": {"includedCategories": categories.split(",")}})
    page.wait_for_timeout(seconds * 1000)
    session.send("Tracing.end")
    while not over:
        page.wait_for_timeout(50)
    return found


def tasks(events: list[dict[str, Any]]) -> list[float]:
    """The milliseconds of each task of the page's main thread, the longest last."""
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
    parser.add_argument("--rate", type=float, default=5.0, help="changes of each in a second")
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
    late = sum(each > FRAME for each in found)
    print(
        f"{chosen.modules} modules, each changed {chosen.rate:g} times a second,"
        f" for {chosen.seconds:g} s"
    )
    print(f"the page's main thread: {busy:.0f} % busy, {len(found)} tasks")
    print(f"the longest: {', '.join(f'{each:.1f}' for each in found[-5:])} ms")
    print(f"longer than a frame of {FRAME:g} ms: {late}")


if __name__ == "__main__":
    main()
