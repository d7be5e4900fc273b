"""What only the queue does: one plays, the others wait, a background fills the silence."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import Client, Refusal, Site, child, paused, wait_until

WELL = {"process": child("well")}
#: Does what `well` does, as badly as it is told to; condemned soon.
MOODY = {
    "process": child("moody"),
    "command_timeout": 1,
    "natural_death_timeout": 0.3,
    "sigterm_timeout": 0.3,
}
#: The same, with time for its answers.
SLOW = {"process": child("moody"), "command_timeout": 30, "natural_death_timeout": 5}


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Client]:
    types = {"well": WELL, "moody": MOODY, "slow": SLOW}
    settings = {"queue": {"modules": types, "backgrounds": {**types, "scene": WELL}}}
    site = Site(tmp_path_factory.mktemp("queue"), ("queue",), settings).start()
    yield Client(site, "queue")
    site.close()


@pytest.fixture
def queue(running: Client) -> Iterator[Client]:
    yield running
    running.clear()
    for file in running.site.folder.glob("*-*"):
        if not file.name.startswith("log.db"):  # SQLite has files of its own beside it
            file.unlink()


def states(queue: Client) -> list[str]:
    return [module["state"] for module in queue.roster()]


def set_background(queue: Client, type: str = "well", **args: object) -> str:
    return queue("set_bg", type=type, args=args)["uid"]


def times(queue: Client, name: str, cmd: str) -> list[tuple[float, float]]:
    """When the child NAME began and ended to answer a command, each time."""
    file = queue.site.folder / f"times-{name}"
    lines = [line.split() for line in file.read_text().splitlines()]
    return [(float(begin), float(end)) for heard, begin, end in lines if heard == cmd]


def reason_of(queue: Client, uid: str) -> str | None:
    return next((each["reason"] for each in queue("gone") if each["uid"] == uid), None)


# order


def test_only_the_first_plays_and_the_others_hear_nothing_but_init(queue: Client) -> None:
    for name in "abc":
        queue.add(name=name)
    assert states(queue) == ["playing", "suspended", "suspended"]
    assert [queue.heard(name) for name in "abc"] == [["init", "play"], ["init"], ["init"]]


def test_rm_of_the_first_lets_the_next_one_play(queue: Client) -> None:
    a, b, c = (queue.add(name=name) for name in "abc")
    queue("rm", uids=[a])
    assert states(queue) == ["playing", "suspended"]
    assert queue.uids() == [b, c]
    assert queue.heard("a") == ["init", "play", "rm"]
    assert queue.heard("b") == ["init", "play"]
    queue("rm", uids=[b, c])
    assert queue.heard("b") == ["init", "play", "rm"]
    assert queue.heard("c") == ["init", "rm"]


def test_mv_puts_the_named_first_and_swaps_who_plays(queue: Client) -> None:
    a, b, c, d = (queue.add(name=name) for name in "abcd")
    assert queue("mv", uids=[c, b]) is None
    assert queue.uids() == [c, b, a, d]
    assert states(queue) == ["playing", "suspended", "suspended", "suspended"]
    queue("mv", uids=[a])
    assert queue.uids() == [a, c, b, d]
    assert queue.heard("a") == ["init", "play", "suspend", "play"]
    assert queue.heard("c") == ["init", "play", "suspend"]
    assert (queue.heard("b"), queue.heard("d")) == (["init"], ["init"])


def test_mv_ignores_unknown_and_repeated_uids(queue: Client) -> None:
    a, b, c = (queue.add(name=name) for name in "abc")
    queue("mv", uids=["nobody", c, a, c, "nobody", a])
    assert queue.uids() == [c, a, b]


@pytest.mark.parametrize("named", [[], ["nobody"], [0], [0, 1], [0, 1, 2]])
def test_mv_that_changes_no_order_gives_no_orders(queue: Client, named: list) -> None:
    uids = [queue.add(name=name) for name in "abc"]
    queue("mv", uids=[uids[each] if isinstance(each, int) else each for each in named])
    assert queue.uids() == uids
    assert [queue.heard(name) for name in "abc"] == [["init", "play"], ["init"], ["init"]]


@pytest.mark.parametrize("take_away", ["mv", "rm"])
def test_next_one_plays_only_when_the_one_before_has_answered(
    queue: Client, take_away: str
) -> None:
    cmd = {"mv": "suspend", "rm": "rm"}[take_away]
    a = queue.add("slow", name="a", delays={cmd: 0.5})
    b = queue.add("slow", name="b")
    queue(take_away, uids=[b] if take_away == "mv" else [a])
    assert queue.roster()[0]["uid"] == b
    assert states(queue)[0] == "playing"
    _, ceded = times(queue, "a", cmd)[0]
    played, _ = times(queue, "b", "play")[0]
    assert played > ceded


@pytest.mark.slow
def test_orders_go_before_what_clients_are_telling(queue: Client) -> None:
    busy = queue.add("moody", name="busy", delays={"do_echo": 0.2})
    other = queue.add(name="other")
    with ThreadPoolExecutor(10) as threads:
        told = [threads.submit(queue.tell, busy, "echo") for _ in range(10)]
        wait_until(lambda: any(each.done() for each in told), "they are under way")
        queue("mv", uids=[other])
        waiting = sum(not each.done() for each in told)
        assert waiting >= 4, "they have not all been answered first"
        assert [each.result() for each in told] == 10 * [{}]


def test_of_adds_at_once_exactly_one_plays(queue: Client) -> None:
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda name: queue.add(name=name), "abcdef"))
    assert states(queue) == ["playing"] + 5 * ["suspended"]
    heard = sorted(queue.heard(name) for name in "abcdef")
    assert heard == 5 * [["init"]] + [["init", "play"]]


# children that go of themselves


@pytest.mark.parametrize("way", ["leave", "exit", "fail", "crash"])
def test_when_the_first_goes_by_itself_the_next_one_plays(queue: Client, way: str) -> None:
    a = queue.add(name="a")
    b = queue.add(name="b")
    if way == "leave":
        queue.tell(a, "leave")
    elif way == "crash":
        os.kill(wait_until(lambda: queue.parameters(a).get("pid"), "its pid"), signal.SIGSEGV)
    else:
        with pytest.raises(Refusal):
            queue.tell(a, "exit", status=0 if way == "exit" else 3)
    wait_until(lambda: queue.uids() == [b] and states(queue) == ["playing"], "b plays")
    assert queue.heard("a") == ["init", "play"]
    # It counts as playing from the moment at which it may have heard so.
    wait_until(lambda: queue.heard("b") == ["init", "play"], "b has heard it")


def test_when_one_that_waits_goes_by_itself_nobody_hears_of_it(queue: Client) -> None:
    a, b, c = (queue.add(name=name) for name in "abc")
    queue.tell(b, "leave")
    wait_until(lambda: queue.uids() == [a, c], "b has left")
    assert [queue.heard(name) for name in "abc"] == [["init", "play"], ["init"], ["init"]]


@pytest.mark.slow
@pytest.mark.parametrize("mood", ["refuses", "hangs"])
@pytest.mark.parametrize("cmd", ["play", "suspend"])
def test_module_that_does_not_obey_leaves_and_the_next_one_plays(
    queue: Client, mood: str, cmd: str
) -> None:
    bad = {"refuses": {cmd: "will not"}} if mood == "refuses" else {"hangs": [cmd]}
    a = queue.add(name="a")
    culprit = queue.add("moody", name="culprit", **bad)
    b = queue.add(name="b")
    queue("mv", uids=[culprit, b])  # it has to play
    queue("mv", uids=[b])  # it has to pause, where it did
    wait_until(lambda: queue.uids() == [b, a], "the culprit is out")
    wait_until(lambda: states(queue) == ["playing", "suspended"], "b plays")
    wait_until(lambda: queue.heard("b") == ["init", "play"], "b has heard it")
    reason = wait_until(lambda: reason_of(queue, culprit), "why it is gone")
    assert reason in (f"refused `{cmd}`: will not", f"did not answer `{cmd}` within 1 s")


@pytest.mark.slow
def test_answer_to_suspend_that_has_come_while_the_service_was_stopped_counts(
    queue: Client,
) -> None:
    moved = queue.add("moody", name="moved", gates=["suspend"])
    other = queue.add(name="other")
    with ThreadPoolExecutor(1) as threads:
        moving = threads.submit(queue, "mv", uids=[other])
        wait_until(lambda: queue.parameters(moved).get("hears") == "suspend", "it is under way")
        with paused(queue.service):
            (queue.site.folder / "go-moved").touch()
            wait_until(lambda: times(queue, "moved", "suspend"), "it is answered")
            time.sleep(1.3)  # longer than it may take to answer
        moving.result()
    assert queue.uids() == [other, moved]
    assert states(queue) == ["playing", "suspended"]


def test_nobody_waits_for_a_neighbour_that_hangs(queue: Client) -> None:
    head = queue.add("slow", name="head", gates=["do_echo"])
    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(queue.tell, head, "echo", text="at last")
        wait_until(lambda: queue.parameters(head).get("hears") == "do_echo", "it hangs")
        other = queue.add(name="other")
        third = queue.add(name="third")
        assert queue.uids() == [head, other, third]
        assert queue.tell(other, "echo", a=1) == {"a": 1}
        queue("mv", uids=[head, third])
        queue("rm", uids=[other])
        assert queue.uids() == [head, third]
        assert not hanging.done()
        (queue.site.folder / "go-head").touch()
        assert hanging.result() == {"text": "at last"}
    assert states(queue) == ["playing", "suspended"]


# the background


def test_background_plays_while_the_queue_is_empty(queue: Client) -> None:
    assert queue("bg") is None
    uid = set_background(queue, name="bg")
    shown = queue("bg")
    assert (shown["uid"], shown["type"], shown["state"]) == (uid, "well", "playing")
    assert queue.roster() == []
    a = queue.add(name="a")
    queue.add(name="b")
    queue("rm", uids=[a])
    assert queue("bg")["state"] == "suspended"
    assert queue.heard("bg") == ["init", "play", "suspend"]  # once, not at each change
    queue("rm", uids=queue.uids())
    assert queue("bg")["state"] == "playing"
    assert queue.heard("bg") == ["init", "play", "suspend", "play"]


@pytest.mark.slow
def test_background_and_modules_take_turns_on_the_stage(queue: Client) -> None:
    set_background(queue, "slow", name="bg", delays={"suspend": 0.4})
    a = queue.add("slow", name="a", delays={"rm": 0.4})
    assert times(queue, "a", "play")[0][0] > times(queue, "bg", "suspend")[0][1]
    queue("rm", uids=[a])
    assert times(queue, "bg", "play")[1][0] > times(queue, "a", "rm")[0][1]


def test_background_set_beside_a_module_does_not_play(queue: Client) -> None:
    queue.add(name="a")
    set_background(queue, name="bg")
    assert queue("bg")["state"] == "suspended"
    assert queue.heard("bg") == ["init"]
    assert queue.heard("a") == ["init", "play"]


def test_set_bg_replaces_the_old_background(queue: Client) -> None:
    set_background(queue, name="old")
    new = set_background(queue, "scene", name="new")
    shown = queue("bg")
    assert (shown["uid"], shown["type"], shown["state"]) == (new, "scene", "playing")
    assert queue.heard("old") == ["init", "play", "rm"]
    assert queue.heard("new") == ["init", "play"]


def test_set_bg_that_fails_keeps_the_old_background(queue: Client) -> None:
    old = set_background(queue, name="old")
    with pytest.raises(Refusal, match="too loud"):
        set_background(queue, refuse="too loud")
    with pytest.raises(Refusal, match="type 'nosuch'; known: well, moody, slow, scene"):
        set_background(queue, "nosuch")
    shown = queue("bg")
    assert (shown["uid"], shown["type"], shown["state"]) == (old, "well", "playing")
    assert queue.heard("old") == ["init", "play"]


def test_background_can_be_removed(queue: Client) -> None:
    uid = set_background(queue, name="bg")
    queue("rm", uids=[uid])
    assert queue("bg") is None
    assert queue.heard("bg") == ["init", "play", "rm"]


@pytest.mark.parametrize("way", ["leave", "exit"])
def test_background_that_goes_by_itself_is_no_more(queue: Client, way: str) -> None:
    uid = set_background(queue)
    try:
        queue("tell_background", uid=uid, cmd=way)
    except Refusal:
        assert way == "exit"
    wait_until(lambda: queue("bg") is None, "the background is gone")


def test_background_is_told_and_asked_under_its_own_uid_only(queue: Client) -> None:
    background, module = set_background(queue), queue.add()
    told = queue("tell_background", uid=background, cmd="set", args={"a": 1})
    assert told is None
    wait_until(lambda: "a" in queue("bg", parameters=True)["parameters"], "it is set")
    assert queue("ask_background", uid=background, parameters=["a", "b"]) == {"a": 1}
    assert queue("bg", parameters={"well": ["a"]})["parameters"] == {"a": 1}
    for command in ("tell_background", "ask_background"):
        with pytest.raises(Refusal, match=f"no background with uid '{module}'"):
            queue(
                command,
                uid=module,
                **({"cmd": "echo"} if "tell" in command else {"parameters": []}),
            )
    with pytest.raises(Refusal, match=f"no module with uid '{background}'"):
        queue.tell(background, "echo")


def test_backgrounds_available_are_those_of_the_settings(queue: Client) -> None:
    assert queue("backgrounds_available") == ["well", "moody", "slow", "scene"]
    with pytest.raises(Refusal, match="unknown module type 'scene'"):
        queue.add("scene")


def test_mv_does_not_know_the_background(queue: Client) -> None:
    background, a, b = set_background(queue), queue.add(), queue.add()
    queue("mv", uids=[background, b])
    assert queue.uids() == [b, a]
    assert queue("bg")["state"] == "suspended"


def test_output_of_a_background_can_be_read_too(queue: Client) -> None:
    uid = set_background(queue)
    with pytest.raises(Refusal, match="out of tune"):
        queue("tell_background", uid=uid, cmd="fail", args={"words": "out of tune"})
    wait_until(
        lambda: any("out of tune" in line for line in queue("output", uid=uid)), "its no is there"
    )
    with pytest.raises(Refusal, match="no module with uid 'nobody'"):
        queue("output", uid="nobody")
