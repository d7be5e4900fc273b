"""The store: items of a broker in memory, kept in a real file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_types
import gevent
import pytest
from fakes import FakeLauncher, open_with
from greenlets import run_until
from support import PATIENCE

from shmooze.broker.broker import Broker
from shmooze.broker.keeper import KeepsNothing
from shmooze.broker.roster import Place
from shmooze.errors import CommandError, SettingsError
from shmooze.pool import Pool
from shmooze.queue import Queue
from shmooze.runtime.backoff import Backoff
from shmooze.state import tables
from shmooze.state.file import StateFile
from shmooze.state.pruning import DAY, Limits
from shmooze.state.store import Store
from shmooze.state.write_behind import WriteBehind


class Plain(fake_types.Plain):
    natural_death_timeout = 0.02


class Lazy(fake_types.Lazy):
    natural_death_timeout = 0.02


class Again(fake_types.Again):
    natural_death_timeout = 0.02


class Service:
    """A queue whose items are kept in a file. It can crash and come back."""

    def __init__(self, path: Path, make: Callable[[], Broker]) -> None:
        self.path, self._make = path, make
        self.start()

    def start(self) -> None:
        self.launcher, self.broker = FakeLauncher(), self._make()
        self.file = StateFile(str(self.path))
        self.file.open("queue")
        self.store = Store(self.file, "queue", self.broker.roster, Limits(history_rows=3))
        self.broker.items.keeper = self.store
        open_with(self.broker, self.launcher)

    def crash(self) -> None:
        """Nothing is written any more."""
        self.store._behind._writer.kill()
        self.store._pruning.kill()
        self.broker.items.keeper = KeepsNothing()
        self.file.close()
        self.broker.stop()

    def rows(self, kind: str, columns: str) -> list[Any]:
        connection = sqlite3.connect(self.path)
        try:
            rows = connection.execute(f"SELECT {columns} FROM queue_{kind} ORDER BY rowid")
            found = rows.fetchall()
        finally:
            connection.close()
        return [row[0] if len(row) == 1 else row for row in found]

    @property
    def uids(self) -> list[str]:
        return [each["uid"] for each in self.broker.show_roster()]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "state", lambda: Queue([Plain, Lazy, Again], [Plain]))
    yield service
    service.broker.stop()


def test_order_survives_adds_moves_and_removals(service: Service) -> None:
    queue: Any = service.broker
    jobs = [gevent.spawn(queue.add, "lazy") for _ in range(20)]
    gevent.joinall(jobs)
    uids = service.uids
    assert sorted(uids) == sorted(job.get()["uid"] for job in jobs)
    queue.mv([uids[5], uids[7], "unknown"])
    queue.mv([uids[9]])
    queue.rm([uids[0], uids[3]])
    queue.add("lazy")
    expected = service.uids
    assert expected[:3] == [uids[9], uids[5], uids[7]]
    service.crash()
    service.start()
    assert service.uids == expected


def test_hold_is_kept_though_the_item_saves_a_state_meanwhile(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue: Any = service.broker
    uid = queue.add("plain")["uid"]
    commit = service.store._commit

    def commit_slowly(*args: Any) -> None:
        commit(*args)
        service.launcher.processes[0].update("save", state=1)
        run_until(lambda: service.rows("items", "state") == ["1"], "the state is written")

    monkeypatch.setattr(service.store, "_commit", commit_slowly)
    queue.hold([uid])
    run_until(lambda: service.rows("items", "held") == ["held by a client"], "it is written")


def test_items_come_back_with_all_that_was_kept(service: Service) -> None:
    queue: Any = service.broker
    uid = queue.add("again", {"film": "ä"}, key="k")["uid"]
    background = queue.set_bg("plain")["uid"]
    process = service.launcher.processes[0]
    process.update("save", state={"at": 90})
    process.exit(1)
    run_until(
        lambda: service.rows("items", "restarts, state")[0] == (1, '{"at":90}'), "it is written"
    )
    added = queue.show_roster()[0]["added"]
    service.crash()
    service.start()
    queue = service.broker
    (shown,) = queue.show_roster()
    assert (shown["uid"], shown["args"], shown["added"]) == (uid, {"film": "ä"}, added)
    assert shown["restarts"] == 1
    assert queue.show_background()["uid"] == background
    assert queue.add("plain", key="k")["uid"] == uid
    run_until(lambda: len(service.launcher.processes) == 2, "both are started again")
    restored = [process.heard[0] for process in service.launcher.processes]
    assert sorted(restored) == ["init", "restore"]


def test_ended_items_are_in_the_history_once(service: Service) -> None:
    queue: Any = service.broker
    done, failed, removed = (queue.add("plain", {"n": n})["uid"] for n in range(3))
    queue.rm([removed])
    assert service.rows("history", "uid, outcome") == [(removed, "removed")]
    service.launcher.processes[0].exit(0)
    service.launcher.processes[1].exit(3)
    run_until(lambda: len(service.rows("gone", "report")) == 3, "all ends are written")
    assert sorted(service.rows("history", "args, outcome, reason")) == [
        ('{"n":0}', "done", "ended by itself"),
        ('{"n":1}', "failed", "exited with status 3"),
        ('{"n":2}', "removed", "was removed"),
    ]
    assert {done, failed, removed} == set(service.rows("history", "uid"))
    assert service.rows("items", "uid") == []
    gone = queue.gone()
    service.crash()
    service.start()
    assert service.uids == []
    assert service.broker.gone() == gone


def test_ends_are_known_as_soon_as_somebody_asks(service: Service) -> None:
    queue: Any = service.broker
    uids = [queue.add("plain", batch="b")["uid"] for _ in range(3)]
    queue.rm([uids[0]])
    service.launcher.processes[1].exit(0)
    service.launcher.processes[2].update("result", value=[7])
    assert queue.wait(uids[2], 5)["result"] == [7]
    counts = {"batch": "b", "done": 2, "failed": 0, "removed": 1, "lost": 0}
    assert queue.wait(batch="b", timeout=5) == counts
    queue.supervision.ended.clear()
    queue.add("plain", after=uids[1:])
    with pytest.raises(CommandError, match="no item with uid 'x'"):
        queue.add("plain", after=["x"])


def test_key_of_a_refused_add_is_free_at_once(service: Service) -> None:
    queue: Any = service.broker

    def refuse(process: Any) -> None:
        process.is_obedient = False
        gevent.spawn(process.exit, 1)

    service.launcher._on_launch = refuse
    with pytest.raises(CommandError):
        queue.add("plain", key="k")
    service.launcher._on_launch = lambda process: None
    uid = queue.add("plain", key="k")["uid"]
    assert service.uids == [uid]
    run_until(lambda: service.rows("history", "key") == [None], "the key is forgotten")


def test_key_is_known_after_its_item_has_ended_for_a_while(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue: Any = service.broker
    uid = queue.add("plain", key="k")["uid"]
    queue.rm([uid])
    assert queue.add("plain", key="k")["uid"] == uid
    now = time.time()
    monkeypatch.setattr("shmooze.state.store.clock.time", lambda: now + 8 * DAY)
    assert queue.add("plain", key="k")["uid"] != uid


def test_stop_keeps_the_items_and_says_that_it_was_one(service: Service) -> None:
    uids = [service.broker.add(type)["uid"] for type in ("plain", "lazy")]
    assert service.rows("life", "value") == ["0"]
    service.broker.stop()
    assert service.rows("life", "value") == ["1"]
    assert service.rows("history", "uid") == []
    service.start()
    assert service.uids == uids


def test_state_that_is_saved_shortly_before_or_during_a_stop_is_kept(service: Service) -> None:
    uids = [service.broker.add("plain")["uid"] for _ in range(3)]
    before, during, _ = service.launcher.processes
    during.is_obedient = False
    before.update("save", state="before")
    during.update("save", state="too early")
    stopping = gevent.spawn(service.broker.stop)
    run_until(lambda: "rm" in during.heard, "it is told to go")
    during.update("save", state="during")
    during.answer()
    during.exit(0)
    stopping.join(PATIENCE)
    assert service.rows("items", "uid, state") == [
        (uids[0], '"before"'),
        (uids[1], '"during"'),
        (uids[2], None),
    ]
    service.start()
    processes = service.launcher.processes
    run_until(
        lambda: len([each for each in processes if each.heard]) == 3, "they are started again"
    )
    assert [process.restored for process in processes] == [["before"], ["during"], []]


def test_full_disk_refuses_commands_and_ends_are_written_later(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WriteBehind, "backoff", Backoff(0.01, 0.01))
    queue: Any = service.broker
    uid, other = queue.add("plain")["uid"], queue.add("lazy")["uid"]
    writer = service.file._writer
    commit = writer._commit

    def fail(jobs: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    writer._commit = fail
    for command in (lambda: queue.add("lazy"), lambda: queue.rm([other])):
        with pytest.raises(CommandError, match=r"^the state cannot be kept: the disk is full"):
            command()
    service.launcher.processes[0].exit(0)
    run_until(lambda: service.uids == [other], "it has ended")
    assert service.rows("items", "uid") == [uid, other]
    writer._commit = commit
    queue.add("lazy")
    run_until(lambda: service.rows("history", "uid") == [uid], "its end is written")


def test_item_whose_process_started_is_not_refused_when_the_disk_is_full_by_then(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WriteBehind, "backoff", Backoff(0.01, 0.01))
    writer = service.file._writer
    commit = writer._commit

    def fail_at_a_place(jobs: Any) -> None:
        if any(sql.startswith("UPDATE") for job in jobs for sql, _ in job.writes):
            raise sqlite3.OperationalError("database or disk is full")
        commit(jobs)

    writer._commit = fail_at_a_place
    uid = service.broker.add("plain")["uid"]
    assert service.uids == [uid]
    assert service.rows("items", "place") == ["arriving"]
    service.crash()
    service.start()
    run_until(lambda: service.uids == [uid], "it comes back")
    run_until(lambda: service.rows("items", "place") == ["order"], "its place is written")


def test_item_whose_add_was_refused_does_not_come_back_whenever_the_service_dies(
    service: Service,
) -> None:
    service.launcher.fault = "no such program"
    with pytest.raises(CommandError, match="no such program"):
        service.broker.add("plain", key="k")
    assert service.rows("items", "uid") == []  # the moment of the answer
    assert service.rows("history", "outcome, key") == [("failed", None)]


def test_pool_is_kept_as_well(tmp_path: Path) -> None:
    service = Service(tmp_path / "state", lambda: Pool([Plain, Lazy]))
    uids = [service.broker.add(type)["uid"] for type in ("plain", "lazy")]
    service.crash()
    service.start()
    assert service.uids == uids
    service.broker.stop()


def test_file_with_a_row_that_no_service_has_written_is_refused_in_one_line(
    service: Service,
) -> None:
    service.broker.add("lazy")
    service.file.commit(("UPDATE queue_items SET place = NULL", ()))
    with pytest.raises(SettingsError, match=r"the file is damaged: run `python -m shmooze\.state"):
        service.store.load()


def test_places_of_the_file_are_those_of_items() -> None:
    assert {*tables.PLACES, Place.NOWHERE.value} == {place.value for place in Place}


def test_idle_store_writes_nothing(service: Service) -> None:
    uid = service.broker.add("lazy")["uid"]
    service.broker.add("lazy")
    behind = service.store._behind
    run_until(lambda: not behind._wakeup.is_set() and not behind._changed, "all is written")
    service.launcher.processes[0].update("set_parameters", parameters={"x": 1})
    module = service.broker.roster.find(uid)
    run_until(lambda: module.parameters == {"x": 1}, "the update has come")
    # Both would stay for a tenth of a second.
    assert not behind._wakeup.is_set()
    assert not behind._changed


def test_history_is_pruned_in_the_background(service: Service) -> None:
    for _ in range(5):
        service.broker.rm([service.broker.add("lazy")["uid"]])
    service.broker.stop()
    service.start()
    run_until(lambda: len(service.rows("history", "uid")) == 3, "old items are removed")


def test_order_pause_and_repetition_come_back_from_the_file(service: Service) -> None:
    queue: Any = service.broker
    for film in range(4):
        queue.add("lazy", {"film": film})
    uids = [shown["uid"] for shown in queue.show_roster()]
    queue.repeat("all")
    queue.pause()
    adding = [gevent.spawn(queue.add, "lazy", {"film": 4 + each}, at=1) for each in range(3)]
    moving = gevent.spawn(queue.mv, [uids[3]], after=uids[0])
    gevent.joinall([*adding, moving], raise_error=True)
    queue.shuffle()
    before = [shown["uid"] for shown in queue.show_roster()]
    assert len(before) == 7
    queue.roster.find(before[0])._process.exit(0)
    run_until(lambda: len(service.rows("items", "uid")) == 7, "the one that follows is kept")
    run_until(lambda: service.rows("history", "uid") == [before[0]], "the end is kept")
    expected = [shown["args"]["film"] for shown in queue.show_roster()]
    service.crash()
    service.start()
    queue = service.broker
    assert [shown["args"]["film"] for shown in queue.show_roster()] == expected
    assert queue.status() == {"paused": {"suspend": False}, "repeat": "all"}
