"""Children of all kinds, as real processes: what a client is told, and that nothing is left.

Every child that does not want to end against every cause of an end: see test_endings.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import (
    CHILDREN,
    PATIENCE,
    Client,
    Refusal,
    Site,
    child,
    connections_to,
    failure,
    has_ended,
    is_alive,
    parent_of,
    paused,
    wait_until,
)

pytestmark = pytest.mark.slow

LADDER = {"natural_death_timeout": 0.3, "sigterm_timeout": 0.3}

#: Behaviour of a child that obeys until it is to end, and the strongest means that ends it.
STUBBORN = {
    "deaf": "SIGTERM",
    "immortal": "SIGKILL",
    "stopped": "SIGTERM",
    "parent": "SIGKILL",
    "daemon": "SIGTERM",
    "naked": "SIGTERM",
    "immortal_daemon": "SIGKILL",
}
#: Behaviour of a child that does not even start, and why `add` says that it fails.
STILLBORN = {
    "never": "did not connect its command stream within 1 s",
    "half": "did not connect its update stream within 1.5 s",
    "exits": "exited with status 1 before `init`; last output: no sound card",
    "exits_connected": "exited with status 3 before `init`",
    "crashes": "killed by SIGSEGV before `init`",
}


def ill(behaviour: str, **patience: float) -> dict:
    return {
        "process": [sys.executable, "-S", str(CHILDREN / "ill.py"), behaviour],
        **LADDER,
        **patience,
    }


#: Prints its open files, in the shell's own process, and serves after that.
LISTER = """
for each in /proc/$$/fd/*; do [ -e "$each" ] && echo "${each##*/}"; done
echo end
exec 3<>"/dev/tcp/$1/$2" 4<>"/dev/tcp/$1/$3"
while read -r line <&3; do echo '{"success":true}' >&3; done
"""

TYPES = {
    "well": {"process": child("well")},
    "moody": {"process": child("moody"), "command_timeout": 0.5, **LADDER},
    "raw": {
        "process": [sys.executable, "-S", str(CHILDREN / "raw.py")],
        "command_timeout": 60,
        **LADDER,
    },
    "small": {
        "process": [sys.executable, "-S", str(CHILDREN / "raw.py")],
        "max_parameters_bytes": 1000,
        **LADDER,
    },
    **{behaviour: ill(behaviour) for behaviour in (*STUBBORN, *STILLBORN)},
    "lister": {"process": ["bash", "-c", LISTER, "lister"], **LADDER},
    "late": ill("late"),
    "hurried": ill("late", connect_timeout=2),
    "never": ill("never", connect_timeout=1),
    "half": ill("half", connect_timeout=1.5),
    "missing": {"process": ["/no/such/program"]},
    "unfound": {"process": ["no-such-program"]},
    "text": {"process": [str(Path(__file__))]},
    "folder": {"process": ["/tmp"]},
}


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Client]:
    site = Site(tmp_path_factory.mktemp("module"), ("pool",), {"pool": {"modules": TYPES}}).start()
    yield Client(site, "pool")
    site.close()


@pytest.fixture
def pool(running: Client) -> Iterator[Client]:
    """A pool; whatever a test's children do, it goes on, and nothing of them is left."""
    bystander = running.add()
    yield running
    assert running.tell(bystander, "echo", all="well") == {"all": "well"}
    assert running.uids()[0] == bystander
    running.clear()
    for kind in ("pids", "heard", "times", "go"):
        for file in running.site.folder.glob(f"{kind}-*"):
            file.unlink()


def reason_of(pool: Client, uid: str) -> str:
    """Why a module ended; waits until it is gone."""

    def find() -> str | None:
        return next((each["reason"] for each in pool("gone") if each["uid"] == uid), None)

    return wait_until(find, "it is gone")


def expect_dead(pids: list[int]) -> None:
    wait_until(lambda: not any(map(is_alive, pids)), f"none of {pids} lives")


# children that do not end, and such that do not begin


@pytest.mark.parametrize("behaviour", STUBBORN)
def test_every_process_of_a_stubborn_child_is_gone_in_time_after_rm(
    pool: Client, behaviour: str
) -> None:
    uid = pool.add(behaviour)
    pids = pool.pids(behaviour)
    assert all(map(is_alive, pids))
    assert len(pids) == {"parent": 3, "deaf": 1, "immortal": 1, "stopped": 1}.get(behaviour, 2)
    pool("rm", uids=[uid])
    assert uid not in pool.uids()
    expect_dead(pids)
    assert reason_of(pool, uid) == "was removed"
    assert pool("gone")[-1]["ladder"] == STUBBORN[behaviour]


@pytest.mark.parametrize("behaviour", STILLBORN)
def test_child_that_does_not_start_is_explained_and_nothing_is_left(
    pool: Client, behaviour: str
) -> None:
    with pytest.raises(Refusal) as refused:
        pool.add(behaviour)
    assert str(refused.value) == f"{behaviour} {STILLBORN[behaviour]}"
    assert len(pool.pids(behaviour)) == (2 if behaviour == "crashes" else 1)
    assert not any(map(is_alive, pool.pids(behaviour)))
    assert len(pool.uids()) == 1


@pytest.mark.parametrize(
    "type, words",
    [
        ("missing", "missing cannot be started: /no/such/program: No such file or directory"),
        ("unfound", "unfound cannot be started: no-such-program: No such file or directory"),
        ("text", f"text cannot be started: {__file__}: Permission denied"),
        ("folder", "folder cannot be started: /tmp: Permission denied"),
    ],
)
def test_program_that_cannot_be_run_is_named(pool: Client, type: str, words: str) -> None:
    with pytest.raises(Refusal) as refused:
        pool.add(type)
    assert str(refused.value) == words


def test_program_is_looked_up_in_path(make_site: Callable[..., Site], tmp_path: Path) -> None:
    program = tmp_path / "my-module"
    program.write_text(f'#!/bin/sh\nexec {" ".join(child("well"))} "$@"\n')
    program.chmod(0o755)
    site = make_site(
        services=("pool",),
        settings={"pool": {"modules": {"mine": {"process": ["my-module", "--an-argument"]}}}},
        environ={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    ).start()
    pool = Client(site, "pool")
    assert pool.tell(pool.add("mine"), "echo", a=1) == {"a": 1}


def test_child_has_none_of_the_services_files(pool: Client) -> None:
    pool.add()  # whose streams and pipes the service has open
    uid = pool.add("lister")
    wait_until(lambda: "end" in pool("output", uid=uid), "it has listed its files")
    assert pool("output", uid=uid) == ["0", "1", "2", "end"]


@pytest.mark.parametrize("streams", [[-2], [-1], [-2, -1]], ids=["commands", "updates", "both"])
def test_stranger_that_connects_before_the_child_does_not_take_its_place(
    pool: Client, streams: list[int]
) -> None:
    with ThreadPoolExecutor(1) as threads:
        adding = threads.submit(pool.add, "late")
        (pid,) = wait_until(lambda: pool.pids("late"), "it has started")
        argv = command_line(pid)
        strangers = [
            socket.create_connection(("127.0.0.1", int(argv[each])), timeout=PATIENCE)
            for each in streams
        ]
        (pool.site.folder / "go-late").touch()
        try:
            assert adding.result() in pool.uids()
            assert all(map(has_ended, strangers))
        finally:
            for stranger in strangers:
                stranger.close()


def test_connections_that_were_made_while_the_service_was_stopped_count(pool: Client) -> None:
    with ThreadPoolExecutor(1) as threads:
        adding = threads.submit(pool.add, "hurried")
        (pid,) = wait_until(lambda: pool.pids("late"), "it has started")
        ports = [int(port) for port in command_line(pid)[-2:]]
        with paused(pool.service):
            (pool.site.folder / "go-late").touch()
            wait_until(lambda: all(map(connections_to, ports)), "it has connected")
            time.sleep(2.3)  # longer than it may take to connect
        assert adding.result() in pool.uids()


def command_line(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")


def test_ten_that_have_to_be_killed_end_side_by_side(pool: Client) -> None:
    for _ in range(10):
        pool.add("immortal")
    pids = pool.pids("immortal")
    assert len(pids) == 10
    pool("rm", uids=pool.uids()[1:])
    expect_dead(pids)


# bytes that should not come

#: What is no packet on either stream, as Python expressions.
NO_PACKET = {
    "words": r"b'hello\n'",
    "an empty line": r"b'\n'",
    "binary": r"bytes(range(128, 256)) + b'\n'",
    "text that is not UTF-8": r"""b'{"cmd":"set_parameters","args":{"parameters":{"x":"\xff"}},'"""
    r"""b'"success":true,"result":"\xff"}\n'""",
    "text that is not UTF-8 where nobody looks": r"""b'{"cmd":"rm","success":true,"x":"\xff"}\n'""",
    "a number": r"b'42\n'",
    "an object of something else": r"b'{\"name\":1}\n'",
    "a wrong type": r"b'{\"cmd\":1,\"success\":\"yes\"}\n'",
    "deep nesting": r"b'[' * 100000 + b'\n'",
}
LONG = {
    "a line over 1 MiB": r"""b'{"success":true,"result":"' + b'x' * 2**20 + b'"}\n'""",
    "a line without end": r"b'x' * (2**20 + 2**18)",
}


@pytest.mark.parametrize("what", NO_PACKET | LONG)
def test_child_that_answers_init_with_no_packet_is_refused(pool: Client, what: str) -> None:
    with pytest.raises(Refusal) as refused:
        pool.add("raw", answer=(NO_PACKET | LONG)[what])
    expected = "an answer that is no packet: " if what in NO_PACKET else "a line over 1 MiB"
    assert str(refused.value).startswith(f"raw sent {expected}")
    assert len(pool.uids()) == 1


@pytest.mark.parametrize("what", NO_PACKET | LONG)
def test_child_that_sends_no_packet_as_update_is_condemned(pool: Client, what: str) -> None:
    uid = pool.add("raw")
    try:  # the answer may be faster than the condemnation, or not
        pool.tell(uid, "send", up=f"[{(NO_PACKET | LONG)[what]}]")
    except Refusal as refused:
        assert uid in str(refused)
    expected = "bytes on its update stream that are no packet" if what in NO_PACKET else "a line"
    assert reason_of(pool, uid).startswith(f"sent {expected}")
    assert uid not in pool.uids()


def test_second_answer_to_one_command_condemns_and_reaches_nobody(pool: Client) -> None:
    with pytest.raises(Refusal, match=r"^raw sent an answer that nobody waited for"):
        pool.add("raw", answer=r"b'{\"success\":true}\n' * 2")
    uid = pool.add("raw")
    twice = r"b'{\"success\":true,\"result\":1}\n{\"success\":true,\"result\":2}\n'"
    assert pool.tell(uid, "send", answer=twice) == 1
    assert reason_of(pool, uid) == "sent an answer that nobody waited for"


def test_late_answer_reaches_nobody(pool: Client) -> None:
    uid = pool.add("moody", delays={"do_echo": 0.7})

    def outcome(cmd: str) -> object:
        try:
            return pool.tell(uid, cmd, late="answer")
        except Refusal as refused:
            return str(refused)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(outcome, "echo")
        wait_until(lambda: pool.parameters(uid).get("hears") == "do_echo", "the first one waits")
        second = threads.submit(outcome, "set")
        assert first.result() == f"moody {uid} did not answer `do_echo` within 0.5 s"
        assert str(second.result()).startswith(f"moody {uid} ")
    assert reason_of(pool, uid) == "did not answer `do_echo` within 0.5 s"


@pytest.mark.parametrize("value", ["NaN", "1e999", "1" + "0" * 30, r'"\ud800"', r'"\u0000"'])
def test_value_that_not_everybody_can_read_breaks_no_reply(pool: Client, value: str) -> None:
    line = f'{{"cmd":"set_parameters","args":{{"parameters":{{"x":{value}}}}}}}\n'.encode()
    answer = f'{{"success":true,"result":{value}}}\n'.encode()
    uid = pool.add("raw")
    for args in ({"up": f"[{line}]"}, {"answer": f"{answer}"}):
        try:
            pool.tell(uid, "send", **args)
        except Refusal as refused:
            assert "internal error" not in str(refused)
        for command in ("pool", "gone"):
            assert isinstance(pool(command), list)
        assert isinstance(pool.roster(), list)


# updates


def update(name: str, value: object) -> str:
    return rf'{{"cmd":"set_parameters","args":{{"parameters":{{"{name}":"{value}"}}}}}}'


def test_unknown_update_is_answered_with_a_failure_and_the_child_lives_on(pool: Client) -> None:
    uid = pool.add("raw")
    lines = rf"""[b'{{"cmd":"dance"}}\n{{"cmd":"set_parameters"}}\n{update("a", 1)}\n']"""
    unknown, incomplete, good = pool.tell(uid, "send", up=lines, back=3)
    assert (unknown["success"], incomplete["success"]) == (False, False)
    assert "dance" in unknown["error"]
    assert "args" in incomplete["error"]
    assert good["success"] is True
    assert pool.parameters(uid) == {"a": "1"}


REFUSED = {
    "NaN": ("NaN", "bad update: "),
    "infinity": ("-Infinity", "bad update: "),
    "a number without end": ("1e999", "bad update: "),
    "a long integer": ("9" * 30, "an integer does not fit into 64 bits"),
    "half of a surrogate pair": (r'"\ud800"', "bad update: half of a surrogate pair"),
    "deep nesting": ("[" * 65 + "]" * 65, "nested over 64 levels deep"),
}


def with_value(value: str) -> str:
    line = f'{{"cmd":"set_parameters","args":{{"parameters":{{"x":{value}}}}}}}\n'
    return repr(line.encode())


@pytest.mark.parametrize("what", REFUSED)
def test_update_that_cannot_be_passed_on_is_refused_and_the_child_lives_on(
    pool: Client, what: str
) -> None:
    value, words = REFUSED[what]
    uid = pool.add("raw")
    lines = f"[{with_value(value)}, {update('y', 1).encode() + bytes([10])!r}]"
    refused, good = pool.tell(uid, "send", up=lines, back=2)
    assert refused["success"] is False
    assert refused["error"].startswith(words)
    assert good["success"] is True
    assert pool.parameters(uid) == {"y": "1"}


def test_child_that_goes_on_sending_what_is_refused_is_condemned(pool: Client) -> None:
    uid = pool.add("raw")
    for _ in range(10):  # a good one in between, and it is well
        pool.tell(uid, "send", up=f"5 * [{with_value('NaN')}] + [{with_value('1')}]", back=6)
    with contextlib.suppress(Refusal):
        pool.tell(uid, "send", up=f"11 * [{with_value('NaN')}]")
    expected = "went on sending updates that cannot be used; the last: bad update: "
    assert reason_of(pool, uid).startswith(expected)


def test_child_that_sends_no_packet_is_told_before_it_is_condemned(pool: Client) -> None:
    uid = pool.add("raw")
    with contextlib.suppress(Refusal):
        (answer,) = pool.tell(uid, "send", up=r"[b'hello\n']", back=1)
        assert answer["success"] is False
    assert reason_of(pool, uid).startswith("sent bytes on its update stream that are no packet")


def test_parameters_may_take_so_much_and_no_more(pool: Client) -> None:
    uid = pool.add("small")
    big, small = update("big", "x" * 900).encode(), update("small", "y" * 200).encode()
    lines = f"[{big!r} + b'\\n', {small!r} + b'\\n', {big!r} + b'\\n']"
    first, refused, again = pool.tell(uid, "send", up=lines, back=3)
    assert (first["success"], again["success"]) == (True, True), "what is replaced takes no room"
    assert refused["error"] == "the parameters would take over 1000 bytes"
    assert list(pool.parameters(uid)) == ["big"]


def test_parameters_that_are_full_can_be_replaced_and_taken_away(pool: Client) -> None:
    uid = pool.add("small")
    lines = [
        update("a", "x" * 400),
        update("b", "y" * 400),
        *(update("a", f"{number:0400}") for number in range(20)),
        update("c", "z" * 400),  # too much
        '{"cmd":"unset_parameters","args":{"parameters":["a"]}}',
        update("c", "z" * 400),
        update("d", "z" * 400),  # too much again
    ]
    sent = [f"{line}\n".encode() for line in lines]
    answers = pool.tell(uid, "send", up=repr(sent), back=len(sent))
    assert [n for n, answer in enumerate(answers) if not answer["success"]] == [22, 25]
    assert list(pool.parameters(uid)) == ["b", "c"]


def test_parameters_that_change_for_ever_never_fill_up(pool: Client) -> None:
    uid = pool.add("small")
    lines = [f"{update('a', f'{number:0400}')}\n".encode() for number in range(100)]
    lines += [f"{update('b', f'{number:0400}')}\n".encode() for number in range(100)]
    one_by_one = lines[9::10]  # the network takes a while for each
    sent = f"[{b''.join(lines)!r}, *{one_by_one!r}]"
    answers = pool.tell(uid, "send", up=sent, back=len(lines) + len(one_by_one))
    assert all(answer["success"] for answer in answers)
    more = [f"{update('c', 'z' * 400)}\n".encode()]
    (refused,) = pool.tell(uid, "send", up=repr(more), back=1)
    assert refused["error"] == "the parameters would take over 1000 bytes"
    assert pool.parameters(uid) == {"a": f"{99:0400}", "b": f"{99:0400}"}


def test_parameters_that_were_too_much_for_a_moment_are_refused_for_it(pool: Client) -> None:
    uid = pool.add("small")
    values = [("a", "x" * 600), ("b", "y" * 600), ("a", "1")]
    lines = b"".join(f"{update(*each)}\n".encode() for each in values)
    answers = pool.tell(uid, "send", up=f"[{lines!r}]", back=3)
    assert [answer["success"] for answer in answers] == [True, False, True]
    assert pool.parameters(uid) == {"a": "1"}


def test_numbers_that_grow_when_they_are_written_out_count_as_what_they_become(
    pool: Client,
) -> None:
    uid = pool.add("small")
    numbers = [",".join(count * ["1e15"]) for count in (40, 60, 20)]  # 19 bytes each, in the end
    head, tail = '{"cmd":"set_parameters","args":{"parameters":{"x":[', "]}}}\n"
    up = repr([f"{head}{each}{tail}".encode() for each in numbers])
    answers = pool.tell(uid, "send", up=up, back=3)
    assert [answer["success"] for answer in answers] == [True, False, True]
    assert len(pool.parameters(uid)["x"]) == 20


def test_updates_that_come_together_are_each_answered(pool: Client) -> None:
    uid = pool.add("raw")
    lines = [f"{update('x', str(number))}\n".encode() for number in range(500)]
    lines[250] = b'{"cmd":"dance"}\n'
    answers = pool.tell(uid, "send", up=f"[{b''.join(lines)!r}]", back=500)
    assert [n for n, answer in enumerate(answers) if not answer["success"]] == [250]
    assert pool.parameters(uid) == {"x": "499"}


def test_list_of_long_answers_is_cut_off(pool: Client) -> None:
    uid = pool.add("raw")
    pool.tell(uid, "send", up=f"[{update('x', 'x' * 1_000_000).encode() + bytes([10])!r}]", back=1)
    packets = 40 * [{"cmd": "pool", "args": {"parameters": True}}]
    answers = pool.site.direct("pool", packets).json
    assert [answer["success"] for answer in answers] == 34 * [True] + 6 * [False]
    assert answers[-1]["error"] == (
        "was not executed: the answers to this list have reached the limit (33554432 bytes)"
    )


def test_list_of_too_many_commands_is_refused(pool: Client) -> None:
    reply = pool.site.direct("pool", 1001 * [{"cmd": "modules_available"}])
    assert reply.status == 400
    assert failure(reply) == "a list may hold at most 1000 commands"
    assert len(pool.site.direct("pool", 1000 * [{"cmd": "modules_available"}]).json) == 1000


def test_lines_may_come_in_pieces_and_several_at_once(pool: Client) -> None:
    line = update("split", "Grüße").encode() + b"\n"
    middle = line.index("ü".encode()) + 1  # within a letter
    pieces = [line[:5], line[5:middle], line[middle:-1], line[-1:]]
    together = "".join(update(name, name) + "\n" for name in "abc").encode()
    uid = pool.add("raw")
    answers = pool.tell(uid, "send", up=repr([*pieces, together]), back=4)
    assert [answer["success"] for answer in answers] == 4 * [True]
    assert pool.parameters(uid) == {"split": "Grüße", "a": "a", "b": "b", "c": "c"}


def test_answer_may_come_in_a_long_line(pool: Client) -> None:
    uid = pool.add("raw")
    answer = r"""b'{"success":true,"result":"' + b'x' * 1000000 + b'"}\n'"""
    assert pool.tell(uid, "send", answer=answer) == "x" * 1_000_000


def test_child_that_never_reads_answers_loses_no_update_and_costs_no_memory(
    pool: Client,
) -> None:
    bystander, flooder = pool.uids()[0], pool.add("raw")
    service = parent_of(wait_until(lambda: pool.parameters(bystander).get("pid"), "a pid"))
    before, served = resident(service), 0
    line = rf"b'{update('k%d', '%d')}\n' % (i % 1000, i)"
    flood = f"[b''.join({line} for i in range(200000))]"
    with ThreadPoolExecutor(1) as threads:
        flooded = threads.submit(pool.tell, flooder, "send", up=flood)
        while not flooded.done():
            pool.tell(bystander, "echo")
            served += 1
        flooded.result()
    wait_until(lambda: pool.parameters(flooder).get("k999") == "199999", "the last one has come")
    assert pool.parameters(flooder) == {f"k{i % 1000}": str(i) for i in range(199000, 200000)}
    assert resident(service) - before < 30 << 20
    assert served > 1


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


# the end of the service


@pytest.fixture
def doomed(make_site: Callable[..., Site]) -> Client:
    """A pool of its own, that the test ends."""
    types = TYPES | {name: ill(name, connect_timeout=60) for name in ("never", "half")}
    site = make_site(services=("pool",), settings={"pool": {"modules": types}}).start()
    return Client(site, "pool")


def add_in_vain(pool: Client, behaviour: str) -> str:
    """The words with which an add is refused in the end."""
    with pytest.raises(Refusal) as refused:
        pool.add(behaviour)
    return str(refused.value)


def all_pids(pool: Client) -> list[int]:
    return [pid for behaviour in (*STUBBORN, *STILLBORN) for pid in pool.pids(behaviour)]


def test_sigterm_ends_the_service_with_all_kinds_of_children_at_once(doomed: Client) -> None:
    for behaviour in ("well", *STUBBORN):
        doomed.add(behaviour)
    with ThreadPoolExecutor(2) as threads:
        adds = [threads.submit(add_in_vain, doomed, behaviour) for behaviour in ("never", "half")]
        wait_until(lambda: doomed.pids("never") and doomed.pids("half"), "both adds are under way")
        assert doomed.site.stop() == {"pool": 0}
        for add in adds:
            assert "was stopped with the service before it had started" in add.result()
    assert len(all_pids(doomed)) == 14
    assert not any(map(is_alive, all_pids(doomed)))
    assert doomed.site.survivors() == []


def test_second_sigterm_changes_nothing(doomed: Client) -> None:
    doomed.add("immortal")
    service = doomed.site.processes["pool"]
    service.terminate()
    heard = doomed.site.folder / "heard-immortal"
    wait_until(lambda: "rm" in heard.read_text(), "the first one is at work")
    service.terminate()
    service.send_signal(signal.SIGINT)
    assert service.wait(PATIENCE) == 0
    del doomed.site.processes["pool"]
    expect_dead(doomed.pids("immortal"))
