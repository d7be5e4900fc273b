"""Lazy modules: a place in the queue first, a process when their turn comes near."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import Client, Refusal, Site, child, wait_until

LAZY = {"process": child("well"), "spawn": "lazy"}


@pytest.fixture
def make(make_site: Callable[..., Site]) -> Callable[..., Client]:
    """A function that makes a queue of lazy modules."""

    def start(limit: int = 1000, **settings: object) -> Client:
        types = {"well": {**LAZY, **settings}, "eager": {"process": child("well")}}
        site = make_site(
            services=("queue",), settings={"queue": {"modules": types}, "max_modules": limit}
        )
        return Client(site.start(), "queue")

    return start


def states(queue: Client) -> list[str]:
    return [module["state"] for module in queue("queue")]


def wait_for_states(queue: Client, *wanted: str) -> None:
    wait_until(lambda: states(queue) == list(wanted), f"they are {wanted}")


def test_a_module_waits_without_a_process_until_it_is_next(make: Callable[..., Client]) -> None:
    queue = make()
    uids = [queue.add(name=f"m{number}") for number in range(4)]
    wait_for_states(queue, "playing", "suspended", "waiting", "waiting")
    assert len(set(queue.site.survivors()) - queue.own_processes) == 2
    assert queue.heard("m2") == []
    queue("rm", uids=uids[:1])
    wait_for_states(queue, "playing", "suspended", "waiting")
    assert queue.uids() == uids[1:]
    wait_until(lambda: queue.heard("m1") == ["init", "play"], "it has heard `play`")
    assert queue.heard("m2") == ["init"]


@pytest.mark.parametrize(("lookahead", "started"), [(0, 1), (2, 3)])
def test_lookahead_says_how_many_are_started_before_their_turn(
    make: Callable[..., Client], lookahead: int, started: int
) -> None:
    queue = make(lookahead=lookahead)
    for _ in range(5):
        queue.add()
    waiting = ["waiting"] * (5 - started)
    wait_for_states(queue, "playing", *["suspended"] * (started - 1), *waiting)


def test_one_that_is_moved_to_the_front_plays_when_it_is_ready(
    make: Callable[..., Client],
) -> None:
    queue = make()
    uids = [queue.add(name=f"m{number}") for number in range(4)]
    queue("mv", uids=uids[3:])
    wait_for_states(queue, "playing", "suspended", "suspended", "waiting")
    assert queue.uids() == [uids[3], *uids[:3]]
    # It counts as playing from the moment that it may have heard so.
    wait_until(lambda: queue.heard("m3") == ["init", "play"], "it has heard `play`")
    assert queue.heard("m0") == ["init", "play", "suspend"]


def test_nobody_is_told_anything_while_he_waits(make: Callable[..., Client]) -> None:
    queue = make()
    uids = [queue.add() for _ in range(3)]
    with pytest.raises(Refusal) as refused:
        queue.tell(uids[2], "echo")
    words = "is waiting: its process is started when its turn comes near"
    assert str(refused.value) == f"well {uids[2]} {words}"
    assert queue("ask_module", uid=uids[2], parameters=["pid"]) == {}


def test_one_that_waits_is_removed_without_a_trace_of_a_process(
    make: Callable[..., Client],
) -> None:
    queue = make()
    uids = [queue.add(name=f"m{number}") for number in range(3)]
    queue("rm", uids=uids[2:])
    assert queue.uids() == uids[:2]
    wait_until(lambda: queue("gone"), "it is gone")
    (grave,) = queue("gone")
    assert grave["state_at_end"] == "waiting"
    assert grave["reason"] == "was removed before it had started"
    assert queue.heard("m2") == []


def test_a_refusal_of_init_shows_in_gone_later_and_the_next_one_plays(
    make: Callable[..., Client],
) -> None:
    queue = make()
    first = queue.add()
    queue.add()
    queue.add(refuse="not this song")
    last = queue.add()
    queue("rm", uids=[first])
    wait_until(lambda: len(queue.uids()) == 2, "the one that refuses leaves")
    wait_for_states(queue, "playing", "suspended")
    assert queue.uids()[1] == last
    reasons = [grave["reason"] for grave in queue("gone")]
    assert any("refused `init`: " in reason and "not this song" in reason for reason in reasons)


def test_a_refusal_of_one_whose_turn_it_is_already_is_told_at_once(
    make: Callable[..., Client],
) -> None:
    queue = make()
    with pytest.raises(Refusal, match="not this song"):
        queue.add(refuse="not this song")
    assert queue.roster() == []


def test_eager_and_lazy_ones_stand_in_one_queue(make: Callable[..., Client]) -> None:
    queue = make()
    for type in ("eager", "well", "well", "eager", "well"):
        queue.add(type)
    wait_for_states(queue, "playing", "suspended", "waiting", "suspended", "waiting")


def test_ten_thousand_can_wait(make: Callable[..., Client]) -> None:
    queue = make(limit=20_000)
    add = {"cmd": "add", "args": {"type": "well"}}
    for _ in range(10):
        answers = queue.site.direct("queue", 1000 * [add]).json
        assert all(answer["success"] for answer in answers)
    uids = queue.uids()
    assert len(uids) == 10_000
    queue("mv", uids=uids[-1:])
    wait_until(lambda: queue("queue")[0]["state"] == "playing", "the last is the first")
    queue("rm", uids=uids[5000:])
    assert queue.uids() == uids[:5000]
    wait_for = ["playing", "suspended"]
    wait_until(lambda: states(queue)[:2] == wait_for, "the old head plays again")
    assert queue.site.stop() == {"queue": 0}


def test_those_that_wait_count_among_the_modules_that_there_may_be(
    make: Callable[..., Client],
) -> None:
    queue = make(limit=5)
    for _ in range(5):
        queue.add()
    with pytest.raises(Refusal, match="limit reached \\(5 modules\\)"):
        queue.add()


def test_in_a_pool_all_play_so_nobody_waits(make_site: Callable[..., Site]) -> None:
    site = make_site(services=("pool",), settings={"pool": {"modules": {"well": LAZY}}})
    pool = Client(site.start(), "pool")
    for _ in range(3):
        pool.add()
    assert [module["state"] for module in pool("pool")] == ["playing"] * 3
