"""The history of a queue: pages, counts, single items, adding again, forgetting."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from fake_types import Lazy, Plain
from fakes import FakeClock, FakeLauncher, open_with, run_until_idle
from support import Client, Refusal, Site, child, log_rows, wait_until

from shmooze.access.caller import Caller, caller
from shmooze.access.scopes import Scopes
from shmooze.errors import TooMany
from shmooze.queue import Queue
from shmooze.state import past
from shmooze.state.file import StateFile
from shmooze.state.history import History

pytestmark = pytest.mark.usefixtures("clock")

HOUR = 3600.0


class Secret(Plain):
    TYPE_STRING = "secret"
    show_args = False


class Jukebox:
    """A queue with a history, and what a client sees of it."""

    def __init__(self, file: StateFile, launcher: FakeLauncher) -> None:
        self.file = file
        self.queue = Queue([Plain, Lazy, Secret])
        self.queue.add_table(History(self.queue, self.file))
        open_with(self.queue, launcher)

    def end(self, uid: str, args: Any = None, **known: Any) -> None:
        """Put an ended item into the history."""
        row = {
            "uid": uid,
            "type": "plain",
            "args": json.dumps(args or {}, ensure_ascii=False),
            "added": 0.0,
            "by": None,
            "outcome": "done",
            "ended": HOUR,
            "seconds": 60.0,
            "reason": "ended by itself",
            **known,
        }
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        self.file.commit(
            (f"INSERT INTO queue_history ({names}) VALUES ({marks})", tuple(row.values()))
        )

    def __call__(self, cmd: str, /, **args: Any) -> Any:
        answer = self.queue.single_command({"cmd": cmd, "args": args})
        assert answer["success"], answer["error"]
        return answer["result"]

    def refusal(self, cmd: str, /, **args: Any) -> str:
        answer = self.queue.single_command({"cmd": cmd, "args": args})
        assert not answer["success"]
        assert "\n" not in answer["error"]
        return str(answer["error"])

    def uids(self, **wanted: Any) -> list[str]:
        return [item["uid"] for item in self("history", **wanted)["items"]]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[StateFile]:
    opened = StateFile(tmp_path / "state.db", "normal")
    opened.open("queue")
    yield opened
    opened.close()


@pytest.fixture
def box(clock: FakeClock, file: StateFile, launcher: FakeLauncher) -> Iterator[Jukebox]:
    jukebox = Jukebox(file, launcher)
    yield jukebox
    run_until_idle()  # those that are being started have a process
    gevent.spawn(jukebox.queue.stop)
    clock.advance(30.0)
    assert launcher.living == []


# history


def test_history_is_shown_newest_first(box: Jukebox) -> None:
    box.end("a", {"title": "Kiev"}, by="ada")
    box.end("b", outcome="failed", reason="exited with status 3")
    newest, oldest = box("history")["items"]
    assert (newest["uid"], newest["state"], newest["reason"]) == (
        "b",
        "failed",
        "exited with status 3",
    )
    assert oldest == {
        "number": 1,
        "uid": "a",
        "type": "plain",
        "state": "done",
        "args": {"title": "Kiev"},
        "by": "ada",
        "added": "1970-01-01T00:00:00.000Z",
        "ended": "1970-01-01T01:00:00.000Z",
        "seconds": 60.0,
        "reason": "ended by itself",
    }


def test_pages_follow_each_other_without_gap_or_overlap(box: Jukebox) -> None:
    for number in range(7):
        box.end(str(number))
    seen, before = [], None
    while True:
        page = box("history", limit=3, **({"before": before} if before else {}))
        seen.append([item["uid"] for item in page["items"]])
        box.end(f"later-{len(seen)}")  # newer ones do not shift the pages
        if (before := page["next"]) is None:
            break
    assert seen == [["6", "5", "4"], ["3", "2", "1"], ["0"]]


def test_page_ends_early_if_its_args_are_large(
    box: Jukebox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "MAX_PAGE", 1000)
    for number in range(5):
        box.end(str(number), {"text": "x" * 600})
    first = box("history")
    assert [item["uid"] for item in first["items"]] == ["4", "3"]
    assert box.uids(before=first["next"]) == ["2", "1"]


def test_filters_apply_together(box: Jukebox) -> None:
    box.end("a", by="ada")
    box.end("b", by="ada", outcome="failed")
    box.end("c", by="bob", outcome="failed")
    box.end("d", by="ada", outcome="failed", type="gone-type")
    assert box.uids(by="ada") == ["d", "b", "a"]
    assert box.uids(by="ada", state="failed") == ["d", "b"]
    assert box.uids(by="ada", state="failed", type="plain") == ["b"]
    assert box.uids(type="unknown") == []


@pytest.mark.parametrize(
    "text", ["kiev", "KIEV", 'say "hi"', "50%", "a_b", "back\\slash", "ärzte", "ÄRZTE", "tab\t"]
)
def test_text_is_found_in_args_in_any_case_and_taken_literally(box: Jukebox, text: str) -> None:
    box.end("other", {"title": "507 aXb backXslash"})
    box.end("it", {"title": 'The Kiev, say "hi", 50%, a_b, back\\slash, Ärzte, tab\t'})
    assert box.uids(text=text) == ["it"]


def test_text_is_found_in_the_reason(box: Jukebox) -> None:
    box.end("a", reason="exited with status 3")
    box.end("b")
    assert box.uids(text="Status 3") == ["a"]


def test_hidden_args_are_neither_shown_nor_searched_nor_counted(box: Jukebox) -> None:
    box.end("a", {"password": "tulip"}, type="secret", report='{"args": {"password": "tulip"}}')
    assert "tulip" not in json.dumps(box("history"))
    assert "tulip" not in json.dumps(box("item", uid="a"))
    assert box.uids(text="tulip") == []
    assert box("history", count="args.password") == []
    assert box("history", count="type")[0]["count"] == 1


def test_items_whose_args_lack_the_key_are_not_counted(box: Jukebox) -> None:
    box.end("a", {"title": "Kiev"})
    box.end("b", {"title": None})
    box.end("c", {"name": "Kiev"})
    assert {each["value"]: each["count"] for each in box("history", count="args.title")} == {
        "Kiev": 1,
        None: 1,
    }


def test_args_of_a_type_that_is_not_on_offer_are_shown_if_they_were_when_it_ended(
    box: Jukebox,
) -> None:
    box.end("a", {"title": "Kiev"}, type="retired", report='{"args": {"title": "Kiev"}}')
    box.end("b", {"title": "tulip"}, type="retired", report='{"reason": "was removed"}')
    box.end("c", {"title": "tulip"}, type="retired")
    assert [item.get("args") for item in box("history")["items"]] == [None, None, {"title": "Kiev"}]
    assert box.uids(text="tulip") == []
    assert [each["value"] for each in box("history", count="args.title")] == ["Kiev"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"limit": 0}, "argument `limit`: Expected `int` >= 1"),
        ({"limit": 1001}, "argument `limit`: Expected `int` <= 1000"),
        ({"limit": "many"}, "argument `limit`: Expected `int`, got `str`"),
        ({"before": "x"}, "argument `before`: Expected `int"),
        ({"state": "lively"}, "argument `state`: must be one of done, failed, removed, lost"),
        ({"text": "x" * 201}, "argument `text`: Expected `str` of length <= 200"),
        ({"type": 3}, "argument `type`: Expected `str"),
        ({"count": "title"}, 'argument `count`: must be "type" or "args.KEY"'),
        ({"count": "args."}, 'argument `count`: must be "type" or "args.KEY"'),
        ({"count": 'args.a"b'}, "neither quotes"),
        ({"count": "type", "before": 3}, "`before` has no meaning together with `count`"),
        ({"since": 3}, "unknown argument `since`"),
    ],
)
def test_invalid_argument_is_refused_with_one_line(
    box: Jukebox, args: dict[str, Any], said: str
) -> None:
    refusal = box.refusal("history", **args)
    assert refusal.startswith("history: ")
    assert said in refusal


# count


def test_most_played_is_one_query(box: Jukebox) -> None:
    for uid, title in enumerate(["Kiev", "Bydlo", "Kiev", "Kiev", "Bydlo", "Gnomus"]):
        box.end(str(uid), {"title": title}, ended=uid * HOUR, seconds=10.0)
    box.end("untitled", {"name": "Kiev"})
    assert box("history", count="args.title", limit=2) == [
        {"value": "Kiev", "count": 3, "seconds": 30.0, "last": "1970-01-01T03:00:00.000Z"},
        {"value": "Bydlo", "count": 2, "seconds": 20.0, "last": "1970-01-01T04:00:00.000Z"},
    ]


def test_types_are_counted_among_those_wanted(box: Jukebox) -> None:
    box.end("a")
    box.end("b", outcome="failed")
    box.end("c", outcome="failed", type="lazy", seconds=None)
    by_type = {each["value"]: each["count"] for each in box("history", count="type")}
    assert by_type == {"plain": 2, "lazy": 1}
    failed = box("history", count="type", state="failed")
    assert {each["value"]: each["seconds"] for each in failed} == {"plain": 60.0, "lazy": 0.0}


VALUES = [1, "1", True, False, None, 2.5, [1, 2], {"a": "ü"}, "", 'a "b"']


def test_values_of_each_kind_of_json_are_counted_as_they_are(box: Jukebox) -> None:
    for number, value in enumerate(VALUES):
        box.end(str(number), {"a.b c": value})
    counted = [each["value"] for each in box("history", count="args.a.b c")]
    assert sorted(map(json.dumps, counted)) == sorted(map(json.dumps, VALUES))


def test_row_that_was_damaged_by_hand_is_shown_without_args(box: Jukebox) -> None:
    box.end("a", {"title": "Kiev"})
    box.file.commit(("UPDATE queue_history SET args = '{', report = '['", ()))
    assert box("history")["items"][0]["args"] is None
    assert box("item", uid="a")["args"] is None
    assert box("history", count="args.title") == []
    said = "requeue: 'a': was not added, since its args are no longer in the history"
    assert box.refusal("requeue", uids=["a"]) == said


# item


def test_item_is_shown_while_it_lives_and_after_its_end(box: Jukebox) -> None:
    uid = box("add", type="plain")["uid"]
    living = box("item", uid=uid)
    assert (living["uid"], living["state"], living["parameters"]) == (uid, "playing", {})
    box.end("a", report='{"state_at_end": "playing", "exit_status": 0, "reason": "old"}')
    ended = box("item", uid="a")
    assert (ended["state"], ended["state_at_end"], ended["exit_status"]) == ("done", "playing", 0)
    assert ended["reason"] == "ended by itself"


def test_item_whose_end_is_not_written_yet_is_ending(box: Jukebox) -> None:
    columns, marks = "uid, place, type, args, added, by", "?, 'order', ?, '{\"n\": 1}', 0.0, 'ada'"
    for uid, type in (("a", "plain"), ("b", "secret")):
        box.file.commit((f"INSERT INTO queue_items ({columns}) VALUES ({marks})", (uid, type)))
    ending = {"state": "ending", "by": "ada", "added": "1970-01-01T00:00:00.000Z"}
    assert box("item", uid="a") == {"uid": "a", "type": "plain", "args": {"n": 1}, **ending}
    assert box("item", uid="b") == {"uid": "b", "type": "secret", **ending}


def test_history_of_a_batch(box: Jukebox) -> None:
    for uid, terms in (("a", '{"batch":"x"}'), ("b", '{"batch":"y"}'), ("c", None)):
        box.end(uid, terms=terms)
    box.end("damaged", terms="{")
    assert box.uids(batch="x") == ["a"]
    assert box("history", batch="y")["items"][0]["batch"] == "y"


def test_result_is_shown_where_there_is_one(box: Jukebox) -> None:
    box.end("nothing")
    box.end("null", result="null")
    box.end("sum", result='{"sum": 7}', report='{"signal": "SIGTERM"}')
    shown = box("history")["items"]
    assert [each.get("result", "none") for each in shown] == [{"sum": 7}, None, "none"]
    item = box("item", uid="sum")
    assert (item["result"], item["signal"]) == ({"sum": 7}, "SIGTERM")


def test_unknown_uid_is_an_error(box: Jukebox) -> None:
    assert box.refusal("item", uid="x") == "no item with uid 'x' in queue or its history"


# requeue


def test_ended_items_are_added_again_in_the_order_named(box: Jukebox) -> None:
    box.end("a", {"seconds": 1})
    box.end("b", {"seconds": 2}, type="lazy")
    new = box("requeue", uids=["b", "a", "b"])
    modules = {module.uid: module for module in box.queue.roster.everyone}
    assert [module["uid"] for module in box("queue")] == new
    assert [modules[uid].TYPE_STRING for uid in new] == ["lazy", "plain", "lazy"]
    assert [modules[uid].args for uid in new] == [{"seconds": 2}, {"seconds": 1}, {"seconds": 2}]
    assert not {"a", "b"} & set(new)


@pytest.mark.parametrize(
    ("uid", "said"),
    [
        ("x", "requeue: no item with uid 'x' in the history of queue; nothing was added"),
        ("old", "has the type 'retired', which cannot be added to queue; nothing was added"),
    ],
)
def test_nothing_is_added_if_one_cannot_be(box: Jukebox, uid: str, said: str) -> None:
    box.end("a")
    box.end("old", type="retired")
    assert said in box.refusal("requeue", uids=["a", uid])
    assert box("queue") == []


def test_living_item_is_not_added_again(box: Jukebox) -> None:
    uid = box("add", type="plain")["uid"]
    said = f"requeue: {uid!r} has not ended; nothing was changed"
    assert box.refusal("requeue", uids=[uid]) == said


def test_start_that_fails_says_what_was_added_before(
    box: Jukebox, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.end("a")
    box.end("b")

    def add_one(queue: Queue, type: str, args: dict[str, Any]) -> dict[str, str]:
        if queue.roster.order:
            raise TooMany("limit reached (1)", 3.0)
        return queue.add(type, args)

    monkeypatch.setattr(box.queue, "commands", {**box.queue.commands, "add": add_one})
    said = box.refusal("requeue", uids=["a", "b"])
    [first] = [module["uid"] for module in box("queue")]
    assert said == f"requeue: 'b': limit reached (1); 1 of 2 were added: {first}"


def test_nothing_more_is_added_for_a_client_that_has_left(box: Jukebox) -> None:
    box.end("a")
    box.end("b")
    who = Caller("control", "127.0.0.1", has_left=lambda: bool(box.queue.roster.order))
    before = caller.set(who)
    said = box.refusal("requeue", uids=["a", "b"])
    caller.reset(before)
    assert said.startswith("requeue: 'b': was not added, since the client disconnected; 1 of 2")
    assert len(box("queue")) == 1


# forget


def test_forgotten_items_are_unknown_and_others_stay(box: Jukebox) -> None:
    box.end("a")
    box.end("b")
    assert box("forget", uids=["a", "x"]) is None
    assert box.uids() == ["b"]
    assert "no item with uid 'a'" in box.refusal("item", uid="a")


def test_living_item_is_not_forgotten(box: Jukebox) -> None:
    uid = box("add", type="plain")["uid"]
    box.end("a")
    assert "has not ended; nothing was changed" in box.refusal("forget", uids=["a", uid])
    assert box.uids() == ["a"]


# The table of commands


def test_service_without_a_state_file_says_what_it_needs() -> None:
    queue = Queue([Plain])
    for cmd, args in {"history": {}, "item": {"uid": "a"}, "requeue": {"uids": ["a"]}}.items():
        answer = queue.single_command({"cmd": cmd, "args": args})
        assert answer["error"] == f"{cmd} needs `state_path` in the settings"


def test_command_of_the_same_name_of_an_application_stays(file: StateFile) -> None:
    class Shop(Queue):
        def item(self, number: int) -> int:
            return number

        commands = {**Queue.commands, "item": item}

    shop = Shop([Plain])
    shop.add_table(History(shop, file))
    assert shop.single_command({"cmd": "item", "args": {"number": 3}})["result"] == 3
    assert "item" not in shop.read_cmds
    assert "history" in shop.read_cmds


@contextmanager
def token(*scopes: str) -> Iterator[None]:
    """Commands come from a client with these scopes."""
    before = caller.set(Caller("read", "127.0.0.1", "ada", scopes=Scopes.of(scopes)))
    try:
        yield
    finally:
        caller.reset(before)


def test_reading_is_all_that_the_scope_read_allows(box: Jukebox) -> None:
    box.end("a")
    with token("read"):
        assert box.uids() == ["a"]
        assert box("item", uid="a")["state"] == "done"
        for cmd in ("requeue", "forget"):
            assert box.refusal(cmd, uids=["a"]) == f"{cmd}: this token may only read"


def test_whoever_may_add_may_add_again_and_the_new_module_is_theirs(box: Jukebox) -> None:
    box.end("a", by="bob")
    with token("add"):
        [new] = box("requeue", uids=["a"])
        assert "needs the scope `control`" in box.refusal("forget", uids=["a"])
    assert box.queue.roster.find(new).origin.by == "ada"


def test_token_for_one_type_adds_only_items_of_that_type_again(box: Jukebox) -> None:
    box.end("a")
    box.end("b", type="lazy")
    with token("add", "type:lazy"):
        said = "requeue: this token may not add modules of type 'plain'"
        assert box.refusal("requeue", uids=["b", "a"]) == said
        assert box("queue") == []
        assert len(box("requeue", uids=["b"])) == 1


def test_changes_are_logged_and_questions_are_not(box: Jukebox) -> None:
    class Log:
        rows: list[Any] = []

        def log(self, uid: Any, namespace: str, command: Any, answer: Any) -> None:
            if namespace == "client-queue":
                self.rows.append(command["cmd"])

    box.queue.logger = Log()
    box.end("a")
    box("history")
    box("item", uid="a")
    box("requeue", uids=["a"])
    box("forget", uids=["a"])
    box.queue.logger = None
    assert Log.rows == ["requeue", "forget"]


# With a real service


def test_ends_survive_a_restart_and_ended_items_are_added_again(
    make_site: Callable[..., Site],
) -> None:
    types = {"modules": {"well": {"process": child("well")}}}
    settings = {"queue": types, "state_path": "$HERE/state.db"}
    site = make_site(services=("queue",), settings=settings).start()
    queue = Client(site, "queue")
    failing, leaving, removed = (queue.add(title=str(number)) for number in range(3))
    with pytest.raises(Refusal):
        queue.tell(failing, "exit", status=3)
    queue.tell(leaving, "leave")
    queue("rm", uids=[removed])
    wait_until(lambda: len(queue("history")["items"]) == 3, "all have ended")
    wait_until(lambda: len(queue("gone")) == 3, "it is known how")
    staying = queue.add_settled(title="here")
    site.stop("queue")
    site.start("queue")

    ends = {item["uid"]: item for item in queue("history")["items"]}
    assert {uid: item["state"] for uid, item in ends.items()} == {
        failing: "failed",
        leaving: "done",
        removed: "removed",
    }
    assert ends[failing]["reason"] == "exited with status 3"
    assert ends[failing]["args"] == {"title": "0"}
    assert queue("item", uid=failing)["exit_status"] == 3
    assert queue("item", uid=staying)["args"] == {"title": "here"}
    [new] = queue("requeue", uids=[failing])
    assert queue.uids() == [staying, new]
    assert queue("item", uid=new)["args"] == {"title": "0"}
    queue("forget", uids=[leaving])
    assert {item["uid"] for item in queue("history")["items"]} == {failing, removed}
    site.stop("queue")
    rows = log_rows(site.folder / "log.db")
    commands = [sent["cmd"] for _, space, sent, _ in rows if space == "client-queue"]
    assert commands[-2:] == ["requeue", "forget"]
