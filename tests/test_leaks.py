"""Many modules come and go, and what the service holds is what it held before."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from support import CHILDREN, Client, Refusal, Site, wait_for_log, wait_until

COUNTING = [sys.executable, str(CHILDREN / "counting_pool.py")]

#: Modules added and removed: more than `gone` tells of, and than anything else remembers.
MODULES = 400


def test_service_holds_nothing_of_modules_that_have_gone(make_site: Callable[..., Site]) -> None:
    site = make_site(services=("pool",), programs={"pool": COUNTING}).start()

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


def test_a_fault_in_the_midst_of_a_start_leaves_nothing(make_site: Callable[..., Site]) -> None:
    site = make_site(services=("pool",), programs={"pool": COUNTING}).start()
    pool = Client(site, "pool")
    fault = "hit an internal error in `start`; the service's log has details"
    with pytest.raises(Refusal, match=fault):
        pool.add("faulty")
    pool.expect_no_children()
    assert pool.roster() == []
    wait_until(lambda: pool("holdings")["modules"] == 0, "it is forgotten")
    assert [each["reason"] for each in pool("gone")] == [fault]
