"""What queue and pool have in common: one contract, held against both."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import Client, Refusal, Site, child, is_alive, wait_until

TYPES = {
    "well": {"process": child("well")},
    "other": {"process": child("well")},
    "moody": {"process": child("moody"), "natural_death_timeout": 0.3, "sigterm_timeout": 0.3},
    "hasty": {"process": child("moody"), "command_timeout": 0.5, "natural_death_timeout": 0.3},
}


@pytest.fixture(scope="module", params=["queue", "pool"])
def running(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Client]:
    kind = request.param
    settings = {kind: {"modules": TYPES}}
    site = Site(tmp_path_factory.mktemp(kind), services=(kind,), settings=settings).start()
    yield Client(site, kind)
    site.close()


@pytest.fixture
def client(running: Client) -> Iterator[Client]:
    yield running
    running.clear()


def refusal(client: Client, command: str, /, **args: object) -> str:
    """The words with which a command is refused: always one line."""
    with pytest.raises(Refusal) as caught:
        client(command, **args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# add


def test_add_answers_a_uuid4_once_the_child_has_accepted_init(client: Client) -> None:
    uid = client.add(name="add", colour="red")
    assert uuid.UUID(uid).version == 4
    assert client.heard("add") == ["init", "play"]
    wait_until(lambda: client.parameters(uid), "the first parameters")
    assert client.parameters(uid)["args"] == {"colour": "red"}
    assert client.roster()[0]["uid"] == uid


def test_add_works_without_args(client: Client) -> None:
    assert client("add", type="well")["uid"] == client.uids()[0]


def test_unknown_type_is_refused_by_name(client: Client) -> None:
    words = refusal(client, "add", type="nosuch")
    assert words == "unknown module type 'nosuch'; known: well, other, moody, hasty"


def test_refused_init_gives_the_childs_words_and_leaves_nothing(client: Client) -> None:
    words = refusal(client, "add", type="well", args={"refuse": "no more\nthan two"})
    assert "no more than two" in words
    assert words.startswith("well ")
    assert client.roster() == []
    client.expect_no_children()


def test_init_that_is_not_answered_in_time_is_refused_and_leaves_nothing(client: Client) -> None:
    words = refusal(client, "add", type="hasty", args={"hangs": ["init"]})
    assert words.startswith("hasty did not answer `init` within 0.5 s")
    assert client.roster() == []
    client.expect_no_children()


def test_add_fails_if_the_child_refuses_to_play(client: Client) -> None:
    words = refusal(client, "add", type="moody", args={"refuses": {"play": "stage fright"}})
    assert "stage fright" in words
    assert client.roster() == []
    client.expect_no_children()


def test_ten_adds_at_once_take_hardly_longer_than_one(client: Client) -> None:
    def add(number: int) -> str:
        return client.add("moody", delays={"init": 1})

    begin = time.monotonic()
    with ThreadPoolExecutor(10) as threads:
        uids = list(threads.map(add, range(10)))
    assert time.monotonic() - begin < 5
    assert sorted(client.uids()) == sorted(uids)
    assert len(set(uids)) == 10


# rm


def test_rm_of_one_leaves_the_others_as_they_are(client: Client) -> None:
    one, two, three = (client.add(name=f"rm-{number}") for number in "123")
    others_heard = client.heard("rm-1"), client.heard("rm-3")
    assert client("rm", uids=[two]) is None
    assert client.uids() == [one, three]
    assert client.heard("rm-2")[-1] == "rm"
    assert (client.heard("rm-1"), client.heard("rm-3")) == others_heard


def test_rm_of_many_at_once(client: Client) -> None:
    one, two, three = (client.add() for _ in range(3))
    client("rm", uids=[three, one, three])
    assert client.uids() == [two]


def test_rm_ignores_unknown_uids_and_may_be_said_twice(client: Client) -> None:
    one, two = client.add(), client.add()
    assert client("rm", uids=["nobody", one, str(uuid.uuid4())]) is None
    assert client("rm", uids=[one]) is None
    assert client("rm", uids=[]) is None
    assert client.uids() == [two]


def test_rm_ends_the_process(client: Client) -> None:
    uid = client.add()
    pid = wait_until(lambda: client.parameters(uid).get("pid"), "the pid")
    client("rm", uids=[uid])
    wait_until(lambda: not is_alive(pid), "the process is gone", patience=5)


# what clients are shown


def test_roster_is_in_the_order_of_the_adds(client: Client) -> None:
    uids = [client.add(type) for type in ("well", "other", "moody", "well")]
    roster = client(client.kind)
    assert [module["uid"] for module in roster] == uids
    assert [module["type"] for module in roster] == ["well", "other", "moody", "well"]
    rest = "playing" if client.kind == "pool" else "suspended"
    assert [module["state"] for module in roster] == ["playing", rest, rest, rest]
    assert all(set(module) == {"uid", "type", "state"} for module in roster)


def test_parameters_come_for_the_types_asked_for_and_the_names_that_are_set(
    client: Client,
) -> None:
    well, other = client.add("well"), client.add("other")
    for uid in (well, other):
        client.tell(uid, "set", level=3, empty=None)
        wait_until(lambda u=uid: "empty" in client.parameters(u), "the parameters have come")
    first, second = client(client.kind, parameters={"well": ["level", "empty", "nosuch"]})
    assert first["parameters"] == {"level": 3, "empty": None}
    assert "parameters" not in second
    first, second = client(client.kind, parameters={"other": ["nosuch"], "unknown": ["level"]})
    assert "parameters" not in first
    assert second["parameters"] == {}


def test_true_asks_for_all_parameters_of_all_types(client: Client) -> None:
    client.add("well", name=None)
    client.add("other", name=None)
    for shown in client(client.kind, parameters=True):
        wait_until(lambda u=shown["uid"]: "pid" in client.parameters(u), "the parameters")
        assert {"name", "args", "pid"} <= set(client.parameters(shown["uid"]))


def test_modules_available_are_those_of_the_settings(client: Client) -> None:
    assert client("modules_available") == list(TYPES)


# tell and ask


def test_tell_module_answers_what_the_child_answers(client: Client) -> None:
    uid = client.add()
    assert client.tell(uid, "echo", text="Grüße\n", deep=[{"a": None}]) == {
        "text": "Grüße\n",
        "deep": [{"a": None}],
    }
    assert client("tell_module", uid=uid, cmd="echo") == {}


def test_childs_failure_is_told_in_its_words_and_the_child_lives_on(client: Client) -> None:
    uid = client.add(name="failing")
    words = refusal(client, "tell_module", uid=uid, cmd="fail", args={"words": "out of\npaper"})
    assert words == "out of paper"
    assert client.tell(uid, "echo", still="here") == {"still": "here"}
    assert client.heard("failing") == ["init", "play"]


def test_command_that_the_child_does_not_have_is_refused_by_name(client: Client) -> None:
    uid = client.add()
    assert "do_dance" in refusal(client, "tell_module", uid=uid, cmd="dance")
    assert client.uids() == [uid]


def test_argument_that_the_child_does_not_take_is_named(client: Client) -> None:
    uid = client.add()
    assert "surplus" in refusal(client, "tell_module", uid=uid, cmd="fail", args={"surplus": 1})
    assert client.uids() == [uid]


def test_ask_module_gives_the_cached_values_that_are_set(client: Client) -> None:
    uid = client.add()
    client.tell(uid, "set", a=1, b=[2], c="x")
    client.tell(uid, "unset", names=["b", "nosuch"])
    wait_until(lambda: "c" in client.parameters(uid), "they are set")
    wait_until(lambda: "b" not in client.parameters(uid), "it is unset")
    assert client("ask_module", uid=uid, parameters=["a", "b", "nosuch"]) == {"a": 1}


def test_child_that_does_not_answer_in_time_is_told_of_and_leaves(client: Client) -> None:
    uid = client.add("hasty", hangs=["do_echo"])
    words = refusal(client, "tell_module", uid=uid, cmd="echo")
    assert words == f"hasty {uid} did not answer `do_echo` within 0.5 s"
    assert client.roster() == []


@pytest.mark.parametrize(("status", "words"), [(0, "ended by itself"), (3, "exited with status 3")])
def test_who_tells_a_child_that_ends_hears_how_it_ended(
    client: Client, status: int, words: str
) -> None:
    uid = client.add()
    told = {"uid": uid, "cmd": "exit", "args": {"status": status}}
    assert refusal(client, "tell_module", **told) == f"well {uid} {words}"


def test_asking_does_not_wait_for_a_busy_child(client: Client) -> None:
    uid = client.add("moody", name="busy", gates=["do_echo"])
    with ThreadPoolExecutor(1) as threads:
        told = threads.submit(client.tell, uid, "echo", a=1)
        wait_until(lambda: client.parameters(uid).get("hears") == "do_echo", "it is busy")
        assert client("ask_module", uid=uid, parameters=["hears"]) == {"hears": "do_echo"}
        assert not told.done()
        (client.site.folder / "go-busy").touch()
        assert told.result() == {"a": 1}


# refusals

BAD = [
    ("add", {}, "add: argument `type` is missing"),
    ("add", {"type": 3}, "add: argument `type`: "),
    ("add", {"type": "well", "args": []}, "add: argument `args`: "),
    ("add", {"type": "well", "arg": {}}, "add: unknown argument `arg`"),
    ("rm", {}, "rm: argument `uids` is missing"),
    ("rm", {"uids": "x"}, "rm: argument `uids`: "),
    ("rm", {"uids": [1]}, "rm: argument `uids`: "),
    ("modules_available", {"type": "x"}, "modules_available: unknown argument `type`"),
    ("tell_module", {"uid": "nobody", "cmd": "echo"}, "no module with uid 'nobody'"),
    ("tell_module", {"uid": "x"}, "tell_module: argument `cmd` is missing"),
    ("tell_module", {"uid": "x", "cmd": "a", "args": 1}, "tell_module: argument `args`: "),
    ("ask_module", {"uid": "nobody", "parameters": []}, "no module with uid 'nobody'"),
    ("ask_module", {"uid": "x"}, "ask_module: argument `parameters` is missing"),
    ("nosuch", {}, "unknown command 'nosuch'"),
]


def test_every_bad_command_is_refused_by_name_and_changes_nothing(client: Client) -> None:
    uid = client.add(name="bystander")
    for command, args, words in BAD:
        assert refusal(client, command, **args).startswith(words)
    assert client.uids() == [uid]
    assert client.heard("bystander") == ["init", "play"]
    assert len(client.site.survivors()) == len(client.own_processes) + 1


def test_queues_own_commands_are_unknown_to_the_pool(client: Client) -> None:
    own = {"mv", "bg", "set_bg", "backgrounds_available", "tell_background", "ask_background"}
    unknown = {each for each in own if f"unknown command '{each}'" in answer(client, each)}
    assert unknown == (own if client.kind == "pool" else set())
    other = "queue" if client.kind == "pool" else "pool"
    assert refusal(client, other).startswith(f"unknown command '{other}'")


def answer(client: Client, command: str) -> str:
    return json.dumps(client.site.direct(client.name, {"cmd": command}).json)


def test_list_of_commands_is_answered_in_order_and_goes_on_after_a_failure(
    client: Client,
) -> None:
    commands = [
        {"cmd": "add", "args": {"type": "well"}},
        {"cmd": "add", "args": {"type": "nosuch"}},
        {"cmd": "add", "args": {"type": "other"}},
        {"args": {}},
        {"cmd": client.kind},
    ]
    answers = client.site.direct(client.name, commands).json
    assert [each["success"] for each in answers] == [True, False, True, False, True]
    added = [answers[0]["result"]["uid"], answers[2]["result"]["uid"]]
    assert [module["uid"] for module in answers[4]["result"]] == added


# several of them


def test_several_brokers_run_side_by_side_each_with_its_own_log(
    make_site: Callable[..., Site],
) -> None:
    names = {"queue": "queue", "jukebox": "queue", "carpool": "pool"}
    site = make_site(
        services=tuple(names),
        settings={name: {"modules": {name: {"process": child("well")}}} for name in names},
        programs={n: [sys.executable, "-m", f"shmooze.{kind}", n] for n, kind in names.items()},
    ).start()
    uids = {name: Client(site, name, kind).add(name) for name, kind in names.items()}
    for name, kind in names.items():
        assert Client(site, name, kind).uids() == [uids[name]]
        with pytest.raises(Refusal, match=f"no module with uid .* in {name}"):
            site.ask(name, "tell_module", uid="nobody", cmd="echo")
    site.stop()
    with sqlite3.connect(site.folder / "log.db") as log:
        for name in names:
            adds = log.execute(
                f"SELECT output_json FROM {name}_log WHERE namespace LIKE 'client-%'"
                " AND json_extract(input_json, '$.cmd') = 'add'"
            ).fetchall()
            assert [json.loads(row[0])["result"]["uid"] for row in adds] == [uids[name]]
    log.close()
