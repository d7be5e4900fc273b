"""What queue and pool have in common: one contract, held against both."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import (
    PATIENCE,
    Client,
    Refusal,
    Site,
    child,
    connections_to,
    is_alive,
    parent_of,
    paused,
    suspend,
    wait_until,
)

TYPES = {
    "well": {"process": child("well")},
    "other": {"process": child("well")},
    "moody": {"process": child("moody"), "natural_death_timeout": 0.3, "sigterm_timeout": 0.3},
    "hasty": {"process": child("moody"), "command_timeout": 0.5, "natural_death_timeout": 0.3},
    "steady": {"process": child("moody"), "command_timeout": 1.5},
}


@pytest.fixture(scope="module", params=["queue", "pool"])
def running(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Client]:
    kind = request.param
    settings = {kind: {"modules": TYPES}}
    site = Site(tmp_path_factory.mktemp(kind), services=(kind,), settings=settings).start()
    yield Client(site, kind)
    site.close()


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
    assert words == "unknown module type 'nosuch'; known: well, other, moody, hasty, steady"


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


def test_ten_modules_start_at_once(client: Client) -> None:
    def add(number: int) -> str:
        return client.add("moody", name="ten", gates=["init"])

    with ThreadPoolExecutor(10) as threads:
        adds = [threads.submit(add, number) for number in range(10)]
        wait_until(lambda: client.heard("ten").count("init") == 10, "all have heard `init`")
        (client.site.folder / "go-ten").touch()
        uids = [each.result() for each in adds]
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


def test_child_that_refuses_to_go_is_told_so_once(client: Client) -> None:
    uid = client.add("moody", name="stays", refuses={"rm": "I stay"})
    client("rm", uids=[uid])
    client.expect_no_children()
    assert client.heard("stays").count("rm") == 1


def test_rm_ends_the_process(client: Client) -> None:
    uid = client.add()
    pid = wait_until(lambda: client.parameters(uid).get("pid"), "the pid")
    client("rm", uids=[uid])
    wait_until(lambda: not is_alive(pid), "the process is gone")


# what clients are shown


def test_roster_is_in_the_order_of_the_adds(client: Client) -> None:
    uids = [client.add(type) for type in ("well", "other", "moody", "well")]
    roster = client(client.kind)
    assert [module["uid"] for module in roster] == uids
    assert [module["type"] for module in roster] == ["well", "other", "moody", "well"]
    rest = "playing" if client.kind == "pool" else "suspended"
    assert [module["state"] for module in roster] == ["playing", rest, rest, rest]
    keys = {"uid", "type", "state", "args", "by", "added"}
    assert all(set(module) == keys for module in roster)


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
    words = refusal(client, "tell_module", uid=uid, cmd="dance")
    assert words.startswith("unknown command `dance`; known: `echo`, ")
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


# a service that stands still

#: Seconds that are too long for an answer of `steady`, and for a pause of the service.
TOO_LONG = 2.0


@pytest.mark.slow
def test_answer_that_has_come_while_the_service_was_stopped_counts(client: Client) -> None:
    uid = client.add("steady", name="stopped", gates=["do_echo"])
    with ThreadPoolExecutor(1) as threads:
        told = threads.submit(client.tell, uid, "echo", a=1)
        wait_until(lambda: client.parameters(uid).get("hears") == "do_echo", "it is under way")
        with paused(client.service):
            (client.site.folder / "go-stopped").touch()
            wait_until(lambda: "do_echo" in times(client, "stopped"), "it is answered")
            time.sleep(TOO_LONG)
        assert told.result() == {"a": 1}
    assert client.uids() == [uid]


@pytest.mark.slow
def test_time_in_which_service_and_child_are_stopped_does_not_count(client: Client) -> None:
    uid = client.add("steady", name="frozen", gates=["do_echo"])
    pid = wait_until(lambda: client.parameters(uid).get("pid"), "its pid")
    with ThreadPoolExecutor(1) as threads:
        told = threads.submit(client.tell, uid, "echo", a=1)
        wait_until(lambda: client.parameters(uid).get("hears") == "do_echo", "it is under way")
        with paused(client.service, pid):
            time.sleep(TOO_LONG)
            (client.site.folder / "go-frozen").touch()
        assert told.result() == {"a": 1}


def times(client: Client, name: str) -> str:
    file = client.site.folder / f"times-{name}"
    return file.read_text() if file.exists() else ""


# clients that leave


def start_to_wait(
    client: Client, packets: object, name: str | None = None, path: str = "/"
) -> socket.socket:
    """Send commands as a client that can leave before it is answered."""
    port = client.site.ports[name or client.name]
    body = json.dumps(packets).encode()
    head = [f"POST {path} HTTP/1.1", f"Host: localhost:{port}", "Content-Type: application/json"]
    lines = "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""])
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.sendall(lines.encode() + body)
    return connection


def is_open(port: int, peers: int) -> bool:
    """Whether the end of a connection at `port` of loopback is open, if only half."""
    ends = f"0100007F:{port:04X} 0100007F:{peers:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(" ".join(line.split()[1:3]) == ends for line in lines)


def telling(uid: str, cmd: str, **args: object) -> dict[str, object]:
    return {"cmd": "tell_module", "args": {"uid": uid, "cmd": cmd, "args": args}}


def test_command_whose_client_leaves_before_its_turn_is_not_carried_out(client: Client) -> None:
    uid = client.add("moody", name="line", gates=["do_echo"])
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(client.tell, uid, "echo", a=1)
        wait_until(lambda: client.parameters(uid).get("hears") == "do_echo", "it is under way")
        start_to_wait(client, telling(uid, "set", left=True)).close()
        with start_to_wait(client, telling(uid, "set", stays=True)):
            (client.site.folder / "go-line").touch()
            assert first.result() == {"a": 1}
            wait_until(lambda: "stays" in client.parameters(uid), "the other one is carried out")
    assert "left" not in client.parameters(uid)


def test_rest_of_a_list_whose_client_leaves_is_not_carried_out(client: Client) -> None:
    uid = client.add("moody", name="list", gates=["do_echo"])
    packets = [
        telling(uid, "echo"),
        telling(uid, "set", left=True),
        {"cmd": "rm", "args": {"uids": [uid]}},
    ]
    connection = start_to_wait(client, packets)
    wait_until(lambda: client.parameters(uid).get("hears") == "do_echo", "it is under way")
    service, ours = connection.getpeername()[1], connection.getsockname()[1]
    connection.close()
    (client.site.folder / "go-list").touch()
    wait_until(lambda: not is_open(service, ours), "the service has done with the list")
    assert client.tell(uid, "echo", a=1) == {"a": 1}
    assert "left" not in client.parameters(uid)
    assert client.uids() == [uid]


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


@pytest.mark.parametrize("how", ["its client leaves", "it is too slow"])
def test_gateway_takes_back_what_waits_in_line(make_site: Callable[..., Site], how: str) -> None:
    settings = {
        "pool": {"modules": {"moody": {"process": child("moody"), "command_timeout": 100}}},
        "wsgi_timeout": 1 if how == "it is too slow" else 100,
    }
    site = make_site(services=("wsgi", "pool"), settings=settings).start()
    pool = Client(site, "pool")
    uid = pool.add("moody", name="gated", gates=["do_echo"])
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(pool.tell, uid, "echo", a=1)
        wait_until(lambda: pool.parameters(uid).get("hears") == "do_echo", "it is under way")
        if how == "it is too slow":
            assert site.post("pool", telling(uid, "set", late=True)).status == 504
        else:
            connection = start_to_wait(pool, telling(uid, "set", late=True), "wsgi", "/pool")
            wait_until(lambda: connections_to(site.ports["pool"]) == 2, "it is passed on")
            connection.close()
        wait_until(lambda: connections_to(site.ports["pool"]) == 1, "the gateway has left")
        (site.folder / "go-gated").touch()
        assert first.result() == {"a": 1}
    assert pool.tell(uid, "echo", a=2) == {"a": 2}
    assert "late" not in pool.parameters(uid)


def test_all_who_have_told_a_module_that_does_not_answer_hear_why_it_ended(
    make_site: Callable[..., Site],
) -> None:
    kind = {"process": child("moody"), "command_timeout": 0.5, "natural_death_timeout": 0.1}
    settings = {"pool": {"modules": {"moody": kind}}}
    site = make_site(services=("pool",), settings=settings).start()
    pool = Client(site, "pool")
    uid = pool.add("moody", name="silent", gates=["do_echo"])
    with ThreadPoolExecutor(3) as threads:
        for told in [threads.submit(pool.tell, uid, "echo") for _ in range(3)]:
            with pytest.raises(Refusal, match=r"did not answer `do_echo` within 0\.5 s"):
                told.result()


def test_what_need_not_wait_is_carried_out_for_a_client_that_leaves_at_once(
    make_site: Callable[..., Site],
) -> None:
    settings = {"pool": {"modules": TYPES}}
    site = make_site(services=("wsgi", "pool"), settings=settings).start()
    pool = Client(site, "pool")
    uid = pool.add()
    for service, path in (("wsgi", "/pool"), ("pool", "/")):
        start_to_wait(pool, telling(uid, "set", heard=service), service, path).close()
        wait_until(lambda s=service: pool.parameters(uid).get("heard") == s, "it is told")


def test_helpers_that_an_application_has_started_itself_are_left_alone(
    make_site: Callable[..., Site],
) -> None:
    program = {"queue": child("helping_queue")}
    queue = Client(make_site(services=("queue",), programs=program).start(), "queue")
    helpers = wait_until(lambda: len(p := queue.pids("helpers")) == 3 and p, "all are started")
    uid = wait_until(lambda: queue.add_settled(), "it can be used, so it has tidied up")
    pid = queue.parameters(uid)["pid"]
    queue("rm", uids=[uid])
    wait_until(lambda: queue("gone"), "its processes were ended")
    assert [is_alive(each) for each in (*helpers, pid)] == [True, True, True, False]
    assert "earlier crash" not in queue.site.log("queue")
    service = parent_of(helpers[1])
    guardian = queue.site.processes["queue"].pid
    suspend(guardian)  # or it would end what the service leaves
    os.kill(service, signal.SIGKILL)
    queue.site.stop("queue", signal_number=signal.SIGKILL)
    queue.site.start("queue")
    later = wait_until(lambda: len(p := queue.pids("helpers")) == 6 and p, "all are started anew")
    assert queue.add_settled()
    assert all(map(is_alive, later[3:]))
    for pid in filter(is_alive, helpers):  # nobody could end them
        os.kill(pid, signal.SIGKILL)
