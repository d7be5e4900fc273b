"""The numbers of items: whatever overlaps, the roster and what is kept have the same order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from fake_types import Lazy
from fakes import FakeLauncher, fake_clock, open_with, run_until_idle
from hypothesis import example, given, settings
from hypothesis import strategies as st
from memory_keeper import MemoryKeeper

from shmooze.errors import CommandError
from shmooze.queue import Queue

#: What clients do: the command, and places to which or from which it moves.
places = st.integers(0, 12)
commands = st.lists(
    st.tuples(
        st.sampled_from(["add", "append", "mv", "shuffle", "rm", "go on", "fail"]), places, places
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(commands=commands, are_close=st.booleans())
# All get new numbers while some are being moved, and then those are moved or not.
@example(commands=[("mv", 1, 0), ("add", 2, 0)], are_close=True)
@example(commands=[("mv", 1, 0), ("add", 2, 0), ("fail", 0, 0)], are_close=True)
def test_order_comes_back_as_it_was_whatever_overlaps(
    commands: list[tuple[str, int, int]], are_close: bool
) -> None:
    with fake_clock() as clock:
        keeper = MemoryKeeper()
        queue, launcher = Queue([Lazy]), FakeLauncher()
        queue.items.keeper = keeper
        open_with(queue, launcher)
        for _ in range(4):
            queue.add("lazy")
        if are_close:  # so that there is soon no room between them
            bring_together(queue, keeper)
        for command, first, second in commands:
            keeper.fault = "the disk is full" if command == "fail" else ""
            (keeper.may_go_on.set if command in ("go on", "fail") else keeper.may_go_on.clear)()
            run_until_idle()
            call(queue, command, first, second)
        keeper.fault = ""
        keeper.may_go_on.set()
        run_until_idle()
        if queue.roster.line.owed:
            queue.mv(queue.roster.order[0].uid.split())
        order = [module.uid for module in queue.roster.order]
        assert keeper.order == order
        stopping = gevent.spawn(queue.stop)
        clock.advance(60)
        stopping.get()
        restored = Queue([Lazy])
        restored.items.keeper = keeper
        open_with(restored, FakeLauncher())
        assert [module.uid for module in restored.roster.order] == order
        stopping = gevent.spawn(restored.stop)
        clock.advance(60)
        stopping.get()


def bring_together(queue: Queue, keeper: MemoryKeeper) -> None:
    for number, module in enumerate(queue.roster.order):
        module.position = keeper.items[module.uid].position = number * 5e-324


def call(queue: Queue, command: str, first: int, second: int) -> None:
    uids = [module.uid for module in queue.roster.order]
    chosen = uids[first : first + 2]
    if command == "add":
        spawn(queue.add, "lazy", at=first)
    elif command == "append":
        spawn(queue.add, "lazy")
    elif command == "mv":
        spawn(queue.mv, chosen, to=second)
    elif command == "shuffle":
        spawn(queue.shuffle)
    elif command == "rm":
        spawn(queue.rm, chosen[:1])
    run_until_idle()


def spawn(function: Callable[..., Any], *args: Any, **named: Any) -> None:
    def run() -> None:
        try:
            function(*args, **named)
        except CommandError:
            pass

    gevent.spawn(run)
