"""Many modules come and go, and what the service holds is what it held before."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from support import CHILDREN, Site, wait_until

#: Modules added and removed; set SHMOOZE_TEST_MODULES=1000 for the long run.
MODULES = int(os.environ.get("SHMOOZE_TEST_MODULES", "100"))


def test_service_holds_nothing_of_modules_that_have_gone(make_site: Callable[..., Site]) -> None:
    counting = [sys.executable, str(CHILDREN / "counting_pool.py")]
    site = make_site(services=("pool",), programs={"pool": counting}).start()

    def add_and_remove() -> None:
        uid = site.ask("pool", "add", type="quick")["uid"]
        site.ask("pool", "rm", uids=[uid])

    def holdings() -> dict[str, int]:
        wait_until(
            lambda: site.ask("pool", "holdings")["modules"] == 0, "the last module is forgotten"
        )
        return site.ask("pool", "holdings")

    for _ in range(10):  # what is made once, such as the log's thread, is made now
        add_and_remove()
    before = holdings()
    for _ in range(MODULES):
        add_and_remove()
    assert holdings() == before
    assert len(site.ask("pool", "gone")) == min(100, MODULES + 10)
