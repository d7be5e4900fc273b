"""How long somebody waits for a child, and what a pause of the whole process costs."""

from __future__ import annotations

import time

import gevent
import pytest
from gevent.event import Event

from shmooze.runtime.patience import Patience


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "step", 0.02)
    monkeypatch.setattr(Patience, "much_too_late", 0.2)


def pause(seconds: float) -> None:
    """What SIGSTOP does to a process: nothing runs."""
    time.sleep(seconds)


def test_event_that_has_come_costs_nothing() -> None:
    event, patience = Event(), Patience(5)
    event.set()
    assert patience.wait(event)
    assert patience.left == 5


def test_event_that_does_not_come_uses_it_up() -> None:
    patience = Patience(0.1)
    assert not patience.wait(Event())
    assert patience.left == 0
    assert not patience.wait(Event()), "the next one gets nothing"


def test_several_events_share_it() -> None:
    first, patience = Event(), Patience(30)
    gevent.spawn_later(0.1, first.set)
    assert patience.wait(first)
    assert 0 < patience.left < 30


def test_what_has_come_during_a_pause_counts_however_long_that_was() -> None:
    event = Event()
    # As an answer that lies in a socket: somebody has to read it before it is an event.
    reader = gevent.spawn_later(0.05, lambda: gevent.spawn(event.set))
    gevent.spawn_later(0.01, pause, 0.15)
    assert Patience(0.1).wait(event)
    reader.join()


def test_a_loop_that_is_slow_again_and_again_is_no_pause() -> None:
    blocking = gevent.spawn(lambda: [(pause(0.25), gevent.sleep(0)) for _ in range(1000)])
    with gevent.Timeout(30):
        assert not Patience(0.1).wait(Event())
    blocking.kill()


def test_pause_is_not_counted() -> None:
    patience = Patience(0.1)
    gevent.spawn_later(0.01, pause, 0.5)
    event = Event()
    gevent.spawn_later(0.04, gevent.spawn_later, 0.02, event.set)  # the child was paused as well
    assert patience.wait(event)


def test_none_at_all_still_reads_what_has_come() -> None:
    event = Event()
    gevent.spawn(event.set)
    assert Patience(0).wait(event)
