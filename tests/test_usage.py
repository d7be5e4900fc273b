"""CPU time and memory that modules use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from support import CHILDREN, Client, Site, wait_until

QUICK = str(CHILDREN / "quick.sh")
#: Idle itself, but starts a process that keeps the CPU busy and allocates 50 MB.
BUSY = f'{sys.executable} -c \'x = b"x" * 50_000_000\nwhile True: pass\' & exec bash {QUICK} "$@"'


def test_usage_includes_everything_that_a_module_has_started(
    make_site: Callable[..., Site],
) -> None:
    types = {
        "busy": {"process": ["bash", "-c", BUSY, "busy"]},
        "quick": {"process": ["bash", QUICK]},
    }
    site = make_site(services=("pool",), settings={"pool": {"modules": types}}).start()
    pool = Client(site, "pool")
    assert pool("usage")["modules"] == {}
    busy, quick = pool.add("busy"), pool.add("quick")

    def grown() -> bool:
        used = pool("usage")["modules"].get(busy, {"cpu": 0, "memory": 0})
        return used["cpu"] > 0.2 and used["memory"] > 50_000_000

    wait_until(grown, "the busy one has used CPU time")
    first = pool("usage")
    assert first["modules"][busy]["processes"] == 2
    assert first["modules"][quick]["processes"] == 1
    assert first["modules"][quick]["cpu"] < 0.2
    assert 0 < first["modules"][quick]["memory"] < 50_000_000
    later = wait_until(
        lambda: (u := pool("usage"))["at"] > first["at"] and u, "there is a new measurement"
    )
    seconds = later["at"] - first["at"]
    assert 0.1 * seconds < later["modules"][busy]["cpu"] - first["modules"][busy]["cpu"]
    pool("rm", uids=[busy, quick])
    wait_until(lambda: pool("usage")["modules"] == {}, "nothing is in use")


def test_simultaneous_requests_share_one_measurement(make_site: Callable[..., Site]) -> None:
    types = {"quick": {"process": ["bash", QUICK]}}
    site = make_site(services=("pool",), settings={"pool": {"modules": types}}).start()
    pool = Client(site, "pool")
    pool.add("quick")
    with ThreadPoolExecutor(30) as many:
        answers = list(many.map(lambda _: pool("usage")["at"], range(30)))
    assert len(set(answers)) <= 2
