"""Many modules come and go, and what the service holds is what it held before."""

from __future__ import annotations

import sys
from collections.abc import Callable

from support import CHILDREN, Site, wait_for_log, wait_until

#: Modules added and removed.
MODULES = 1000


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

    add_and_remove()
    # What is made once is there then, the log's thread and connection as well.
    wait_for_log(site.folder / "log.db", "pool_log")
    before = holdings()
    for _ in range(MODULES):
        add_and_remove()
    wait_until(lambda: holdings() == before, "all is as it was")
    assert len(site.ask("pool", "gone")) == 100
