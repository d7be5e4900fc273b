"""Scopes of tokens: what each allows, and how they are written in the token file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from fake_types import Again, Plain
from fakes import FakeClock, FakeLauncher, open_with

from shmooze import tokens
from shmooze.access.caller import Caller, caller
from shmooze.access.gate import AccessGate
from shmooze.access.scopes import Scopes
from shmooze.access.token_file import TokenFile
from shmooze.broker.broker import Broker
from shmooze.errors import SettingsError
from shmooze.lib.service import JSONCommandProcessor
from shmooze.pool import Pool
from shmooze.queue import Queue
from shmooze.settings import Settings
from shmooze.wsgi import Gateway

# Commands of a queue


@contextmanager
def called_by(name: str | None, *scopes: str) -> Iterator[None]:
    """The token that commands come with."""
    allowed = Scopes.of(scopes or ["control"])
    before = caller.set(Caller(allowed.role, "127.0.0.1", name, scopes=allowed))
    try:
        yield
    finally:
        caller.reset(before)


class People:
    """People with tokens, who send commands to one queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def send(self, name: str, scopes: str, cmd: str, /, **args: Any) -> dict[str, Any]:
        """The answer to a command of somebody whose token has these scopes."""
        with called_by(name, *scopes.split()):
            answer: dict[str, Any] = self._queue.command({"cmd": cmd, "args": args})
        return answer

    def add(self, name: str, type: str = "plain") -> str:
        """Add a module with somebody's token. Returns its uid."""
        uid: str = self.send(name, "add", "add", type=type)["result"]["uid"]
        return uid

    @property
    def order(self) -> list[str]:
        return [module.uid for module in self._queue.roster.order]


@pytest.fixture
def queue(clock: FakeClock, launcher: FakeLauncher) -> Iterator[Queue]:
    queue = Queue([Plain, Again], [Plain, Again])
    open_with(queue, launcher)
    yield queue
    stopping = gevent.spawn(queue.stop)
    clock.advance(60)
    stopping.get()


@pytest.fixture
def people(queue: Queue) -> People:
    return People(queue)


def refused(words: str) -> dict[str, Any]:
    return {"success": False, "error": words}


GOOD = {"success": True, "result": None}


def test_a_module_knows_whose_token_added_it_through_all_its_lives(
    people: People, queue: Queue, launcher: FakeLauncher, clock: FakeClock
) -> None:
    uid = people.add("ada", "again")
    first = queue.roster.find(uid)
    launcher.processes[0].exit(1)
    clock.advance(30)
    second = queue.roster.find(uid)
    assert second is not None
    assert second is not first
    assert second.origin.by == "ada"
    assert people.send("ada", "own", "rm", uids=[uid]) == GOOD


def test_without_tokens_nobody_has_added_a_module(queue: Queue) -> None:
    with called_by(None):
        queue.command({"cmd": "add", "args": {"type": "plain"}})
    queue.command({"cmd": "add", "args": {"type": "plain"}})  # by the program itself
    assert [module.origin.by for module in queue.roster.order] == [None, None]


READING: list[tuple[str, dict[str, Any]]] = [
    ("queue", {}),
    ("bg", {}),
    ("modules_available", {}),
    ("gone", {}),
    ("usage", {}),
]


@pytest.mark.parametrize(
    "scopes", ["read", "add", "own", "order", "control", "add type:again", "control type:again"]
)
def test_whoever_may_do_something_may_read(people: People, scopes: str) -> None:
    uid = people.add("ada")
    reading = [*READING, ("ask_module", {"uid": uid, "parameters": []}), ("output", {"uid": uid})]
    for cmd, args in reading:
        assert people.send("bob", scopes, cmd, **args)["success"]


@pytest.mark.parametrize(
    ("scopes", "cmd", "words"),
    [
        ("read", "add", "this token may only read"),
        ("own order", "add", "this token needs the scope `add`"),
        ("add order", "rm", "this token needs the scope `own`"),
        ("add order", "tell_module", "this token needs the scope `own`"),
        ("add", "mv", "this token needs the scope `order` or `own`"),
        ("add own order", "set_bg", "this token needs the scope `control`"),
        ("add own order", "tell_background", "this token needs the scope `control`"),
    ],
)
def test_a_command_that_no_scope_of_the_token_allows_is_refused(
    people: People, scopes: str, cmd: str, words: str
) -> None:
    uid = people.add("ada")
    args = {
        "add": {"type": "plain"},
        "rm": {"uids": [uid]},
        "mv": {"uids": [uid]},
        "tell_module": {"uid": uid, "cmd": "x"},
        "set_bg": {"type": "plain"},
        "tell_background": {"uid": uid, "cmd": "x"},
    }
    assert people.send("ada", scopes, cmd, **args[cmd]) == refused(f"{cmd}: {words}")
    assert people.order == [uid]


def test_own_allows_what_the_same_name_has_added_and_nothing_else(
    people: People, queue: Queue
) -> None:
    ada, bob = people.add("ada"), people.add("bob")
    with called_by(None):
        nobodys = queue.command({"cmd": "add", "args": {"type": "plain"}})["result"]["uid"]
    told = people.send("bob", "own", "tell_module", uid=bob, cmd="x")
    assert told == {"success": True, "result": "do_x"}
    assert people.send("bob", "own", "mv", uids=[bob]) == GOOD
    assert people.order == [bob, ada, nobodys]
    words = "this token may only change its own modules, and"
    for uid in (ada, nobodys):
        for cmd, args in (
            ("rm", {"uids": [uid]}),
            ("mv", {"uids": [uid]}),
            ("tell_module", {"uid": uid, "cmd": "x"}),
        ):
            answer = people.send("bob", "own", cmd, **args)
            assert answer == refused(f"{cmd}: {words} {uid} is not one")
    with called_by(None, "own"):
        answer = queue.command({"cmd": "rm", "args": {"uids": [nobodys]}})
    assert answer == refused(f"rm: {words} {nobodys} is not one")
    assert people.send("bob", "add own", "rm", uids=[bob]) == GOOD
    assert people.order == [ada, nobodys]


@pytest.mark.parametrize("cmd", ["rm", "mv"])
def test_a_list_with_one_module_of_others_is_refused_as_a_whole(people: People, cmd: str) -> None:
    others, own = people.add("ada"), people.add("bob")
    answer = people.send("bob", "own", cmd, uids=[own, others])
    assert "is not one" in answer["error"]
    assert people.order == [others, own]


@pytest.mark.parametrize("cmd", ["rm", "mv"])
def test_unknown_uids_are_ignored_for_restricted_tokens_too(people: People, cmd: str) -> None:
    own = people.add("bob")
    assert people.send("bob", "own type:plain", cmd, uids=["unknown", own]) == GOOD


def test_order_allows_moving_modules_of_others_but_not_removing_them(people: People) -> None:
    first, second = people.add("ada"), people.add("ada")
    assert people.send("bob", "order own", "mv", uids=[second]) == GOOD
    assert people.order == [second, first]
    assert not people.send("bob", "order own", "rm", uids=[second])["success"]


def test_own_and_order_allow_holding_and_releasing(people: People) -> None:
    uid = people.add("ada")
    for cmd in ("hold", "release"):
        for scopes, words in (
            ("add", "this token needs the scope `order` or `own`"),
            ("own", f"this token may only change its own modules, and {uid} is not one"),
            ("order type:again", "this token may not change modules of type 'plain'"),
        ):
            assert people.send("bob", scopes, cmd, uids=[uid]) == refused(f"{cmd}: {words}")
        assert "this token" not in people.send("ada", "own", cmd, uids=[uid]).get("error", "")
        assert "this token" not in people.send("bob", "order", cmd, uids=[uid]).get("error", "")


def test_a_restriction_to_types_holds_for_all_changes(people: People, queue: Queue) -> None:
    plain, again = people.add("ada"), people.add("ada", "again")
    for scopes in ("add own order type:again", "control type:again"):
        assert people.send("ada", scopes, "add", type="plain") == refused(
            "add: this token may not add modules of type 'plain'"
        )
        for cmd, args in (
            ("rm", {"uids": [again, plain]}),
            ("mv", {"uids": [plain]}),
            ("tell_module", {"uid": plain, "cmd": "x"}),
        ):
            assert people.send("ada", scopes, cmd, **args) == refused(
                f"{cmd}: this token may not change modules of type 'plain'"
            )
        assert people.order == [plain, again]
        added = people.send("ada", scopes, "add", type="again")["result"]["uid"]
        assert people.send("ada", scopes, "tell_module", uid=added, cmd="x")["success"]
        assert people.send("ada", scopes, "rm", uids=[added]) == GOOD
    assert people.send("ada", "add type:plain type:again", "add", type="plain")["success"]


def test_a_restriction_to_types_holds_for_the_background(people: People, queue: Queue) -> None:
    scopes = "control type:again"
    assert people.send("ada", scopes, "set_bg", type="plain") == refused(
        "set_bg: this token may not add modules of type 'plain'"
    )
    assert people.send("ada", scopes, "set_bg", type="again")["success"]
    plain = people.send("bob", "control", "set_bg", type="plain")["result"]["uid"]
    words = "this token may not change modules of type 'plain'"
    assert people.send("ada", scopes, "set_bg", type="again") == refused(f"set_bg: {words}")
    told = people.send("ada", scopes, "tell_background", uid=plain, cmd="x")
    assert told == refused(f"tell_background: {words}")


def test_an_error_of_the_command_itself_comes_after_that_of_the_token(people: People) -> None:
    assert people.send("ada", "add type:nowhere", "add", type="nothing") == refused(
        "add: this token may not add modules of type 'nothing'"
    )
    unknown = people.send("ada", "add", "add", type="nothing")["error"]
    assert unknown.startswith("unknown module type 'nothing'")


def test_a_refused_command_of_a_list_does_not_stop_the_others(people: People, queue: Queue) -> None:
    packets = [
        {"cmd": "add", "args": {"type": "plain"}},
        {"cmd": "set_bg", "args": {"type": "plain"}},
        {"cmd": "queue"},
    ]
    with called_by("ada", "add"):
        answers = [json.loads(bytes(each)) for each in queue.command(packets)]
    assert [answer["success"] for answer in answers] == [True, False, True]


@pytest.mark.parametrize("service", [Queue([Plain]), Pool([Plain])])
def test_the_table_of_scopes_names_commands_that_there_are(service: Broker) -> None:
    assert set(service.cmd_scopes) <= set(service.commands)
    assert not set(service.cmd_scopes) & set(service.read_cmds)


class Shuffled(Queue):
    """A queue of an application, with commands of its own."""

    def shuffle(self) -> str:
        return "shuffled"

    def rm(self, uid: str) -> None:
        """Takes other arguments than that of a queue."""
        super().rm([uid])

    commands = {**Queue.commands, "shuffle": shuffle, "rm": rm}


def test_commands_of_an_application_are_refused_to_tokens_that_are_restricted(
    clock: FakeClock, launcher: FakeLauncher
) -> None:
    queue = Shuffled([Plain])
    open_with(queue, launcher)
    people = People(queue)
    uid = people.add("ada")
    assert people.send("ada", "control", "shuffle")["result"] == "shuffled"
    assert people.send("ada", "add own order", "shuffle") == refused(
        "shuffle: this token needs the scope `control`"
    )
    assert people.send("ada", "control type:plain type:again", "shuffle") == refused(
        "shuffle: this token may only change modules of type 'again' or 'plain'"
    )
    assert people.send("ada", "own", "rm", uid=uid) == refused(
        "rm: this token may only change its own modules"
    )
    assert people.order == [uid]
    stopping = gevent.spawn(queue.stop)
    clock.advance(60)
    stopping.get()


# Services of an application


class Volume(JSONCommandProcessor):
    def get_vol(self) -> int:
        return 1

    def set_vol(self) -> None:
        pass

    def mute(self) -> None:
        pass

    commands = {"get_vol": get_vol, "set_vol": set_vol, "mute": mute}
    read_cmds = ("get_vol",)


class Permissive(Volume):
    cmd_scopes = {"mute": ("order",)}


@pytest.mark.parametrize(
    ("kind", "scopes", "allowed"),
    [
        (Volume, "read", ["get_vol"]),
        (Volume, "add own order", ["get_vol"]),
        (Volume, "control type:plain", ["get_vol"]),
        (Volume, "control", ["get_vol", "set_vol", "mute"]),
        (Permissive, "add own", ["get_vol"]),
        (Permissive, "order", ["get_vol", "mute"]),
        (Permissive, "order type:plain", ["get_vol"]),
        (Permissive, "control", ["get_vol", "set_vol", "mute"]),
    ],
)
def test_a_service_declares_the_scopes_of_its_own_commands(
    kind: type[Volume], scopes: str, allowed: list[str]
) -> None:
    with called_by("ada", *scopes.split()):
        answers = {cmd: kind().command({"cmd": cmd}) for cmd in kind.commands}
    assert [cmd for cmd, answer in answers.items() if answer["success"]] == allowed


def test_a_caller_with_a_role_and_no_scopes_may_do_what_it_did() -> None:
    for role, allowed in (("control", True), ("read", False)):
        before = caller.set(Caller(role, "127.0.0.1"))
        assert Volume().command({"cmd": "set_vol"})["success"] is allowed
        caller.reset(before)


# The token file


HASH = "0" * 64


def write(file: Path, **entry: Any) -> TokenFile:
    file.write_text(json.dumps({"ada": {"sha256": HASH, **entry}}))
    file.chmod(0o600)
    return TokenFile(str(file))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "`ada` must have a `role` (control or read) or `scopes`"),
        ({"scopes": []}, "`ada.scopes` must name at least one of add, own, order, control, read"),
        ({"scopes": ["type:x"]}, "`ada.scopes` must name at least one of add, own, order"),
        ({"scopes": "add"}, '`ada.scopes` must be a list of strings, not "add"'),
        ({"scopes": [1]}, "`ada.scopes` must be a list of strings, not [1]"),
        (
            {"scopes": ["add", "contrl"]},
            '`ada.scopes` has an unknown scope "contrl"; did you mean `control`? known: add, own,'
            " order, control, read, type:NAME, service:NAME",
        ),
        ({"scopes": ["typ:x"]}, 'an unknown scope "typ:x"; did you mean `type:x`? known: '),
        ({"scopes": ["type"]}, '`ada.scopes` has "type", which needs a name: `type:NAME`'),
        ({"scopes": ["service:"]}, 'has "service:", which needs a name: `service:NAME`'),
        ({"scopes": ["zzz\n"]}, r'has an unknown scope "zzz\n"; known: add'),
        ({"role": "root", "scopes": ["add"]}, "`ada.role` must be one of control, read"),
        (
            {"role": "control", "scope": ["type:x"]},
            "`ada.scope` is unknown; did you mean `scopes`?",
        ),
    ],
)
def test_a_mistake_in_the_scopes_of_a_token_is_told_in_one_line(
    tmp_path: Path, entry: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError) as bad:
        write(tmp_path / "tokens.json", **entry).load()
    assert words in str(bad.value)
    assert len(str(bad.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("entry", "role", "allowed"),
    [
        ({"role": "control", "comment": "the boss"}, "control", {"control"}),
        ({"role": "read"}, "read", {"read"}),
        ({"scopes": ["control"]}, "control", {"control"}),
        ({"role": "read", "scopes": ["add", "own"]}, "read", {"read", "add", "own"}),
        ({"role": "control", "scopes": ["service:queue"]}, "control", {"control"}),
        # An application that knows the roles only must not grant everything.
        ({"role": "control", "scopes": ["type:x"]}, "read", {"control"}),
    ],
)
def test_an_entry_has_a_role_or_scopes_or_both(
    tmp_path: Path, entry: dict[str, Any], role: str, allowed: set[str]
) -> None:
    file = tmp_path / "tokens.json"
    token = TokenFile(str(file)).add("ada", "read")
    made = json.loads(file.read_text())["ada"]["sha256"]
    holder = write(file, **{"sha256": made, **entry}).holder_of(token)
    assert holder is not None
    assert (holder.name, holder.scopes.role, holder.scopes.allowed) == ("ada", role, allowed)


def test_the_program_adds_and_lists_tokens_with_scopes(tmp_path: Path, capsys: Any) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        status = tokens.main(["--file", str(tmp_path / "tokens.json"), *words])
        said = capsys.readouterr()
        return status, said.out, said.err

    assert run("add", "ada")[0] == 0
    assert run("add", "guest", "--scope", "add", "--scope", "own", "--scope", "type:film")[0] == 0
    assert run("add", "screen", "--role", "read", "--scope", "service:queue")[0] == 0
    status, out, err = run("add", "bob", "--scope", "onw")
    assert (status, out) == (2, "")
    assert '`bob.scopes` has an unknown scope "onw"; did you mean `own`? known: add' in err
    assert run("list")[1] == ("control  ada\nadd,own,type:film guest\nread,service:queue screen\n")


# Services


def get(application: Any, method: str, path: str, token: str) -> tuple[int, Any]:
    """Send a request to a WSGI application. Returns the status, and the error if there is one."""
    said: list[str] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "wsgi.url_scheme": "http",
    }
    answer = application(environ, lambda status, headers, exc_info=None: said.append(status))
    body = b"".join(answer)
    number = int(said[0].split()[0])
    return number, json.loads(body)["error"] if number >= 400 else None


@pytest.fixture
def guest(tmp_path: Path) -> tuple[Settings, TokenFile, str]:
    """Settings, and their token file with one token, for the service `queue` alone."""
    path = tmp_path / "tokens.json"
    file = TokenFile(str(path))
    token = file.add("guest", scopes=["control", "service:queue"])
    values = {
        "tokens_path": str(path),
        "static_path": str(tmp_path),
        "wsgi_prefix": "/",
        "static_prefix": "/static/",
        "ports": {"wsgi": 1, "queue": 1, "pool": 1},
        "public": ["ports"],
    }
    return Settings(tmp_path / "settings.json", values), file, token


DENIED = (403, "this token may not use the service 'pool'")


def test_a_service_denies_a_token_for_other_services(guest: Any) -> None:
    source, _, token = guest

    def service(name: str) -> AccessGate:
        def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            return []

        return AccessGate(application, "127.0.0.1", source, service=name)

    for method, path in (("POST", "/"), ("GET", "/events"), ("GET", "/own")):
        assert get(service("queue"), method, path, token) == (200, None)
        assert get(service("pool"), method, path, token) == DENIED


def test_the_gateway_denies_a_token_for_other_services_and_serves_the_rest(
    guest: Any, tmp_path: Path
) -> None:
    source, _, token = guest
    (tmp_path / "index.html").write_text("hello")
    gateway = Gateway(source)
    for method, path in (("POST", "/pool"), ("GET", "/pool/events")):
        assert get(gateway.app, method, path, token) == DENIED
    for path in ("/", "/settings.json", "/static/index.html"):
        assert get(gateway.app, "GET", path, token) == (200, None)
    status, error = get(gateway.app, "GET", "/queue/events", token)
    assert (status, error) == (502, "service 'queue' is not running")


def test_a_stream_ends_when_its_token_is_no_longer_for_its_service(guest: Any) -> None:
    source, file, token = guest

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return events()

    def events() -> Iterator[bytes]:
        yield b"first"
        entries = file.load()
        entries["guest"]["scopes"] = ["control", "service:pool"]
        file.path.write_text(json.dumps(entries))
        yield b"second"

    gate = AccessGate(application, "127.0.0.1", source, service="queue")
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/events",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
    }
    assert list(gate(environ, lambda *said: None)) == [b"first"]
