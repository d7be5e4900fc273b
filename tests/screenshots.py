"""Screenshots of the console for the README, written to docs/.

They show the example application, with some modules that have been running for a while.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from chromium import chromium
from conftest import EXAMPLES
from console import rows
from playwright.sync_api import expect
from support import ROOT, Client, Site

SCREENSHOTS = {
    "console": {"viewport": {"width": 1120, "height": 640}},
    "console-phone": {
        "viewport": {"width": 390, "height": 720},
        "color_scheme": "dark",
        "device_scale_factor": 1.5,
        "is_mobile": True,
        "has_touch": True,
    },
}
#: Milliseconds to wait before the screenshot, so that the plots show something.
WAIT = 20_000
COUNT = "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo line $i; sleep 0.5; done"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        settings = {
            "name": "Jukebox",
            "app_jobs": {"count": ["sh", "-c", COUNT], "disk": ["df", "-h"]},
        }
        site = Site(Path(folder), ("wsgi", "queue", "pool", "vol"), settings, EXAMPLES).start()
        try:
            queue, pool = Client(site, "queue"), Client(site, "pool")
            queue("rm", uids=[queue.add("countdown", seconds=60)])
            for seconds in (120, 45):
                queue.add("countdown", seconds=seconds)
            queue("set_bg", type="clock")
            pool.add("job", name="count")
            for name, options in SCREENSHOTS.items():
                page = browser.new_page(**options)
                page.goto(site.url)
                expect(rows(page)).to_have_count(2)
                page.wait_for_timeout(WAIT)
                page.screenshot(path=ROOT / "docs" / "images" / f"{name}.png")
                page.close()
        finally:
            site.close()


if __name__ == "__main__":
    main()
