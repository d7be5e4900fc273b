"""How long Patience waits for a child, and what a pause of the whole process costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent.event import Event

from shmooze.runtime import clock
from shmooze.runtime.patience import Patience

HOUR = 3600.0


class SetClock(clock.Clock):
    """A clock that only waiting moves on, and the actions that are due meanwhile."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._actions: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.seconds

    def at(self, due: float, action: Callable[[], None]) -> None:
        self._actions.append((due, action))
        self._actions.sort(key=lambda each: each[0])

    def pause(self, seconds: float) -> None:
        """What SIGSTOP does to a process: time goes by, and nothing runs."""
        self.seconds += seconds

    def wait(self, event: clock.Waitable, timeout: float | None) -> bool:
        assert timeout is not None
        end = self.seconds + timeout
        while not event.ready() and self._actions and self._actions[0][0] <= end:
            due, action = self._actions.pop(0)
            self.seconds = max(self.seconds, due)
            action()
        if not event.ready():
            self.seconds = max(self.seconds, end)
        return event.ready()


@pytest.fixture
def time() -> Iterator[SetClock]:
    time = SetClock()
    before = clock.use(time)
    yield time
    clock.use(before)


def test_an_event_that_has_come_costs_nothing(time: SetClock) -> None:
    event, patience = Event(), Patience(5)
    event.set()
    assert patience.wait(event)
    assert patience.left == 5


@pytest.mark.parametrize("start", [0, 1_000_000.1])
def test_an_event_that_does_not_come_uses_it_up(time: SetClock, start: float) -> None:
    """Also where sums of times are rounded."""
    time.seconds, patience = start, Patience(10.7)
    assert not patience.wait(Event())
    assert time.seconds - start == pytest.approx(10.7 + Patience.grace)
    assert patience.left == 0
    assert not patience.wait(Event()), "the next one gets nothing"
    assert time.seconds - start == pytest.approx(10.7 + Patience.grace)


def test_several_events_share_it(time: SetClock) -> None:
    first, patience = Event(), Patience(30)
    time.at(3.2, first.set)
    assert patience.wait(first)
    assert patience.left == pytest.approx(30 - 3.2)
    assert not patience.wait(Event())
    assert time.seconds == pytest.approx(30 + Patience.grace)


@pytest.mark.parametrize("seconds", [0.9, HOUR])
def test_an_answer_that_arrives_during_a_pause_counts(time: SetClock, seconds: float) -> None:
    event = Event()
    time.at(0.1, lambda: time.pause(seconds))
    # The answer is in the socket. The loop has to read it before it is an event.
    time.at(0.3, lambda: time.at(time.seconds + 0.01, event.set))
    assert Patience(0.5).wait(event)


def test_a_pause_is_not_counted(time: SetClock) -> None:
    event = Event()
    time.at(0.1, lambda: time.pause(HOUR))
    time.at(HOUR + 0.5, event.set)  # the child was stopped as well
    assert Patience(1).wait(event)


def test_a_loop_that_is_slow_again_and_again_is_not_a_pause(time: SetClock) -> None:
    def block() -> None:
        time.pause(Patience.step + Patience.pause_threshold)
        time.at(time.seconds, block)

    time.at(0, block)
    assert not Patience(3).wait(Event())
    assert time.seconds < 10


def test_no_patience_at_all_takes_hardly_any_time(time: SetClock) -> None:
    assert not Patience(0).wait(Event())
    assert 0 < time.seconds < Patience.grace / 10


def test_no_patience_at_all_still_reads_what_has_arrived() -> None:
    """With the real clock and event loop."""
    event = Event()
    gevent.spawn(event.set)
    assert Patience(0).wait(event)
    assert not Patience(0).wait(Event())
