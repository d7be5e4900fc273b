"""Orders by priority and by owner, limits for each owner, votes. All in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_types import Lazy, Plain
from fakes import Fake, FakeClock, run_until_idle
from test_keeping import Service

from shmooze.access.caller import Caller, caller
from shmooze.access.scopes import Scopes
from shmooze.broker.broker import Broker
from shmooze.broker.ordering import is_ordered
from shmooze.errors import CommandError, SettingsError, TooMany
from shmooze.ordering.attach import attach
from shmooze.pool import Pool
from shmooze.queue import Queue
from shmooze.settings import Settings


class Yielding(Fake):
    TYPE_STRING = "yielding"
    preempt = True


KINDS = [Plain, Lazy, Yielding]


class Services:
    """Makes services with some keys in their section."""

    def __init__(self, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self._clock, self._monkeypatch = clock, monkeypatch
        self._made: list[Service] = []

    def queue(self, **section: Any) -> Service:
        return self._start(section, lambda: Queue(KINDS))

    def pool(self, slots: int | None = 1, **section: Any) -> Service:
        return self._start(section, lambda: Pool(KINDS, slots=slots))

    def _start(self, section: dict[str, Any], make: Callable[[], Broker]) -> Service:
        def make_ordered() -> Broker:
            broker = make()
            source = Settings(Path("settings.json"), {str(broker.name): section})
            self._monkeypatch.setattr("shmooze.runtime.declared.current", lambda: source)
            broker.attach_ordering()
            return broker

        self._made.append(service := Service(self._clock, make_ordered))
        return service

    def stop(self) -> None:
        for service in self._made:
            service.keeper.fault = ""
            service.stop()


@pytest.fixture
def services(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    services = Services(clock, monkeypatch)
    yield services
    services.stop()


@contextmanager
def called_by(
    name: str | None, scopes: str = "control", address: str = "10.0.0.1"
) -> Iterator[None]:
    """The token, or the address, that commands come from."""
    allowed = Scopes.of(scopes.split())
    before = caller.set(Caller(allowed.role, address, name, scopes=allowed))
    try:
        yield
    finally:
        caller.reset(before)


def send(service: Service, who: str, scopes: str, cmd: str, /, **args: Any) -> Any:
    """The answer to a command of somebody whose token has these scopes: its result, or its error
    as text.
    """
    with called_by(who, scopes):
        answer = service.broker.command({"cmd": cmd, "args": args})
    return answer["result"] if answer["success"] else answer["error"]


def add_as(service: Service, owner: str, type: str = "lazy", **args: Any) -> str:
    with called_by(owner):
        return service.add(type, **args)


# Priority


def order_of(service: Service, names: dict[str, str]) -> str:
    """The names of all items, in order; what is kept has to agree."""
    assert service.keeper.order == service.uids
    return "".join(names.get(uid, "-") for uid in service.uids)


def test_more_urgent_items_come_first_and_equal_ones_as_they_were_added(
    services: Services,
) -> None:
    queue = services.queue(order="priority")
    queue.add()
    given = {"a": 0, "b": 5, "c": 0, "d": 5, "e": 7, "f": -1, "g": 0}
    names = {queue.add("lazy", priority=each): name for name, each in given.items()}
    assert order_of(queue, names) == "-ebdacgf"
    queue.crash()
    queue.start()
    assert order_of(queue, names) == "-ebdacgf"


@pytest.mark.parametrize(("type", "states"), [("plain", "ps"), ("yielding", "sp")])
def test_item_that_plays_in_a_queue_is_suspended_only_if_its_type_allows_that(
    services: Services, type: str, states: str
) -> None:
    queue = services.queue(order="priority")
    first = queue.add(type)
    urgent = queue.add(priority=9)
    by_uid = dict(zip(queue.uids, queue.states, strict=True))
    assert [by_uid[uid][0] for uid in (first, urgent)] == [*states]


def test_priority_is_refused_where_it_means_nothing(services: Services) -> None:
    words = r'^add: argument `priority`: needs `"order": "priority"` in the settings of queue$'
    for queue in (services.queue(order="fair"), services.queue(order="fifo")):
        with pytest.raises(CommandError, match=words):
            queue.add(priority=1)


def test_waiting_is_worth_priority_and_the_order_of_two_never_changes(services: Services) -> None:
    queue = services.queue(order="priority", age=10)
    queue.add()
    names = {queue.add("lazy"): "a"}
    queue.clock.advance(15)
    names[queue.add("lazy", priority=1)] = "b"
    names[queue.add("lazy", priority=2)] = "c"
    assert order_of(queue, names) == "-cab"
    queue.clock.advance(1000)
    names[queue.add("lazy", priority=100)] = "d"
    assert order_of(queue, names) == "-cabd"


def test_item_that_was_put_first_by_hand_is_not_overtaken(services: Services) -> None:
    queue = services.queue(order="priority")
    names = {queue.add("lazy", priority=each): name for name, each in zip("abc", (5, 5, 0))}
    uids = {name: uid for uid, name in names.items()}
    queue.broker.mv([uids["c"]])
    run_until_idle()
    names[queue.add("lazy", priority=9)] = "d"
    names[queue.add("lazy", priority=9, at=0)] = "e"
    names[queue.add("lazy", priority=99)] = "f"
    assert order_of(queue, names) == "ecfdab"
    queue.crash()
    queue.start()
    names[queue.add("lazy", priority=100)] = "g"
    assert order_of(queue, names) == "ecgfdab"


def test_item_that_was_moved_counts_as_much_as_the_one_before_it(services: Services) -> None:
    pool = services.pool(order="priority")
    pool.broker.pause()
    names = {pool.add("lazy", priority=each): name for name, each in zip("abcd", (8, 6, 4, 2))}
    uids = {name: uid for uid, name in names.items()}
    pool.broker.mv([uids["d"]], after=uids["a"])
    names[pool.add("lazy", priority=7)] = "e"
    names[pool.add("lazy", priority=9)] = "f"
    assert order_of(pool, names) == "fadebc"


# Turns by owner


def test_owners_take_turns_however_many_items_each_has(services: Services) -> None:
    pool = services.pool(order="fair")
    pool.broker.pause()
    names = {add_as(pool, "ann"): "a" for _ in range(4)}
    names |= {add_as(pool, "bob"): "b" for _ in range(2)}
    names |= {add_as(pool, "cem"): "c" for _ in range(3)}
    assert order_of(pool, names) == "abcabcaca"


def test_whoever_comes_later_does_not_catch_up_on_what_has_played(services: Services) -> None:
    queue = services.queue(order="fair")
    names = {add_as(queue, "ann", "plain"): "a" for _ in range(6)}
    for _ in range(3):
        queue.broker.skip()
    names |= {add_as(queue, "bob", "plain"): "b" for _ in range(4)}
    assert order_of(queue, names) == "ababab" + "b"
    queue.crash()
    queue.start()
    names[add_as(queue, "ann", "plain")] = "a"
    names[add_as(queue, "cem", "plain")] = "c"
    assert order_of(queue, names) == "abcababba"


def test_removed_items_cost_their_owner_no_turns(services: Services) -> None:
    pool = services.pool(order="fair")
    pool.broker.pause()
    uids = [add_as(pool, "ann") for _ in range(5)]
    names = {add_as(pool, "bob"): "b" for _ in range(3)}
    pool.broker.rm(uids[1:])
    names |= {uids[0]: "a", add_as(pool, "ann"): "a"}
    assert order_of(pool, names) == "abbab"


def test_without_tokens_the_owner_is_the_address_which_nobody_sees(services: Services) -> None:
    pool = services.pool(order="fair")
    pool.broker.pause()
    names = {}
    for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2"):
        with called_by(None, address=address):
            names[pool.add("lazy")] = address[-1]
    assert order_of(pool, names) == "121"
    assert not [shown for shown in pool.broker.show_roster() if "owner" in shown or "turn" in shown]


# Limits


def test_each_owner_may_have_only_so_many_items_waiting(services: Services) -> None:
    queue = services.queue(limits={"waiting": 2})
    for _ in range(3):  # the first one plays
        add_as(queue, "ann", "plain")
    with pytest.raises(TooMany, match=r"^limit reached \(2 waiting items for each user\)$"):
        add_as(queue, "ann")
    for _ in range(2):
        add_as(queue, "bob")
    queue.broker.skip()
    add_as(queue, "ann")
    for _ in range(5):
        queue.add("lazy")  # by the program itself


def test_items_that_are_being_kept_count_as_waiting(services: Services) -> None:
    queue = services.queue(limits={"waiting": 2}, order="fair")
    queue.add()
    queue.keeper.may_go_on.clear()
    calls = [queue.call(add_as, queue, "ann", type) for type in ("lazy", "plain", "lazy")]
    queue.keeper.may_go_on.set()
    run_until_idle()
    assert [isinstance(call.get(), TooMany) for call in calls] == [False, False, True]


def test_each_owner_may_add_only_so_many_items_in_an_hour(services: Services) -> None:
    queue = services.queue(limits={"per_hour": 2})
    queue.keeper.fault = "the disk is full"
    with pytest.raises(CommandError, match="the disk is full"):
        add_as(queue, "ann")  # which does not count
    queue.keeper.fault = ""
    queue.broker.rm([add_as(queue, "ann")])
    queue.clock.advance(1800)
    uid = add_as(queue, "ann")
    words = r"^limit reached \(2 new items an hour for each user\)$"
    with pytest.raises(TooMany, match=words) as refusal:
        add_as(queue, "ann")
    assert refusal.value.retry_after == pytest.approx(1800)
    add_as(queue, "bob")
    queue.clock.advance(1801)
    queue.broker.rm([add_as(queue, "ann")])
    queue.crash()
    queue.start()
    assert uid in queue.uids
    add_as(queue, "ann")
    with pytest.raises(TooMany, match=words):
        add_as(queue, "ann")


# Votes


def test_votes_are_points_of_priority_and_each_owner_has_one(services: Services) -> None:
    queue = services.queue(order="priority", votes={"up": True})
    queue.add()
    names = {queue.add("lazy"): name for name in "abcd"}
    uids = {name: uid for uid, name in names.items()}
    assert send(queue, "ann", "add", "vote", uid=uids["c"], kind="up") == {"ups": 1, "skips": 0}
    assert order_of(queue, names) == "-cabd"
    send(queue, "bob", "add", "vote", uid=uids["d"], kind="up")
    send(queue, "bob", "add", "vote", uid=uids["d"], kind="up")
    assert order_of(queue, names) == "-cdab"
    send(queue, "ann", "add", "vote", uid=uids["d"], kind="up")
    assert order_of(queue, names) == "-dcab"
    (shown,) = [each for each in queue.broker.show_roster() if each["uid"] == uids["d"]]
    assert (shown["ups"], "skips" in shown, "ann" in str(shown)) == (2, False, False)
    names[queue.add("lazy", priority=1)] = "e"
    assert order_of(queue, names) == "-dceab"
    queue.crash()
    queue.start()
    assert order_of(queue, names) == "-dceab"
    taken_back = {"uid": uids["d"], "kind": "up", "take_back": True}
    assert send(queue, "ann", "add", "vote", **taken_back) == {"ups": 1, "skips": 0}
    assert order_of(queue, names) == "-cedab"


def test_vote_moves_neither_what_plays_nor_what_was_moved_by_hand(services: Services) -> None:
    queue = services.queue(order="priority", votes={"up": True})
    playing = queue.add()
    names = {playing: "p"} | {queue.add("lazy"): name for name in "abc"}
    uids = {name: uid for uid, name in names.items()}
    queue.broker.mv([uids["c"]], after=uids["a"])
    for name in ("p", "c", "c"):
        send(queue, "ann", "add", "vote", uid=uids[name], kind="up")
    assert order_of(queue, names) == "pacb"


def test_enough_votes_skip_an_item(services: Services) -> None:
    queue = services.queue(votes={"skip": 2})
    first, second = queue.add(), queue.add()
    vote = {"uid": first, "kind": "skip"}
    for _ in range(2):
        assert send(queue, "ann", "add", "vote", **vote) == {"ups": 0, "skips": 1}
    assert queue.uids == [first, second]
    assert send(queue, "bob", "add", "vote", **vote) == {"ups": 0, "skips": 2}
    assert queue.states == ["playing"]
    queue.clock.advance(10)
    assert queue.broker.gone()[0]["reason"] == "was skipped by 2 votes"


def test_vote_that_makes_no_sense_is_refused_in_one_line(services: Services) -> None:
    queue = services.queue(votes={"skip": 2})
    uid = queue.add()

    def answer(scopes: str = "add", **args: Any) -> Any:
        return send(queue, "ann", scopes, "vote", **{"uid": uid, "kind": "skip", **args})

    assert answer(kind="up") == "vote: queue has no votes of the kind 'up'"
    assert answer(kind="down") == "vote: argument `kind`: must be one of up, skip"
    assert answer(uid="x") == "vote: no item with uid 'x' in queue"
    assert answer("read") == "vote: this token may only read"
    assert answer("own") == "vote: this token needs the scope `add` or `order`"


def test_vote_that_cannot_be_kept_does_not_count(services: Services) -> None:
    queue = services.queue(order="priority", votes={"up": True})
    uids = [queue.add(), queue.add(), queue.add()]
    queue.keeper.fault = "the disk is full"
    vote = {"uid": uids[2], "kind": "up"}
    assert send(queue, "ann", "add", "vote", **vote) == "the disk is full"
    assert queue.uids == uids
    assert "ups" not in queue.broker.show_roster()[2]


def test_vote_without_votes_names_the_setting(services: Services) -> None:
    queue = services.queue(order="priority")
    words = "vote needs `votes` in the settings"
    assert send(queue, "ann", "add", "vote", uid="x", kind="up") == words


# Settings


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"age": 10}, '`queue.age` needs `"order": "priority"`'),
        ({"age": 10, "order": "fair"}, '`queue.age` needs `"order": "priority"`'),
        ({"votes": {"up": True}}, '`queue.votes.up` needs `"order": "priority"`'),
        ({"order": "lifo"}, "`queue.order`"),
        ({"limits": {"waiting": 0}}, "`queue.limits.waiting`"),
    ],
)
def test_keys_without_meaning_are_refused(
    monkeypatch: pytest.MonkeyPatch, section: dict[str, Any], words: str
) -> None:
    source = Settings(Path("settings.json"), {"queue": section})
    monkeypatch.setattr("shmooze.runtime.declared.current", lambda: source)
    assert is_ordered(source, "queue")
    with pytest.raises(SettingsError) as refusal:
        attach(Queue([Plain]), keeps_first=True)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_order_of_a_pool_in_which_all_play_is_refused(services: Services) -> None:
    with pytest.raises(SettingsError, match=r"`pool.order` needs `slots`: without them all mod"):
        services.pool(slots=None, order="priority")
    assert {"mv", "shuffle"} <= {*services.pool(slots=2, order="priority").broker.commands}


# Tokens


ALLOWED = {
    "mv": {"order", "own", "control"},
    "shuffle": {"order", "control"},
    "pause": {"order", "control"},
    "resume": {"order", "control"},
    "skip": {"own", "control"},
    "clear": {"own", "control"},
    "status": {"read", "add", "own", "order", "control"},
}


@pytest.mark.parametrize("scope", ["read", "add", "own", "order", "control"])
def test_scopes_of_the_commands_on_the_order(services: Services, scope: str) -> None:
    queue = services.queue(votes={"skip": 1})
    for _ in range(2):
        add_as(queue, "ann", "plain")
    for cmd, allowed in ALLOWED.items():
        args: dict[str, Any] = {"uids": []} if cmd == "mv" else {}
        refusal = send(queue, "ann", scope, cmd, **args)
        is_refused = isinstance(refusal, str) and "token" in refusal
        assert is_refused is (scope not in allowed), cmd


def test_token_may_only_skip_and_clear_its_own_items(services: Services) -> None:
    queue = services.queue(order="priority")
    anns, bobs = add_as(queue, "ann", "plain"), add_as(queue, "bob", "plain")
    words = f"may only change its own modules, and {anns} is not one"
    assert send(queue, "bob", "own", "skip").endswith(words)
    assert send(queue, "bob", "own", "clear", playing=True).endswith(words)
    assert queue.uids == [anns, bobs]
    assert send(queue, "bob", "own", "clear") is None
    assert send(queue, "ann", "own", "skip") == anns


def test_token_that_may_only_add_cannot_put_its_items_first(services: Services) -> None:
    queue = services.queue(order="priority")
    words = "this token needs the scope `order` or `control`"
    alone = {"from": "00:00", "to": "00:00"}
    for argument, value in {"at": 0, "priority": 1, "window": alone}.items():
        args: dict[str, Any] = {"type": "lazy", argument: value}
        assert send(queue, "ann", "add", "add", **args) == f"add: argument `{argument}`: {words}"
        assert "uid" in send(queue, "ann", "add order", "add", **args)
    assert "uid" in send(queue, "ann", "add", "add", type="lazy", priority=-1)


@pytest.mark.parametrize("order", ["fair", "priority"])
def test_token_cannot_move_its_own_items_past_those_of_others(
    services: Services, order: str
) -> None:
    queue = services.queue(order=order)
    anns, first, second = (add_as(queue, owner) for owner in ("ann", "bob", "bob"))
    words = "mv: this token needs the scope `order` or `control` to pass items of others"
    for place in ({}, {"to": 0}, {"before": anns}):
        assert send(queue, "bob", "own", "mv", uids=[second], **place) == words
    assert queue.uids == [anns, first, second]
    assert send(queue, "bob", "own", "mv", uids=[second], to=1) is None
    assert queue.uids == [anns, second, first]
    assert send(queue, "ann", "own", "mv", uids=[anns], to=1) is None
    assert send(queue, "bob", "own order", "mv", uids=[first]) is None
    assert queue.uids == [first, second, anns]
