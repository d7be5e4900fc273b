"""Queues and pools whose module types are described. All in memory."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import Fake, FakeClock, FakeLauncher, open_with, run_until_idle
from memory_keeper import MemoryKeeper
from support import in_fresh_interpreter, wait_until

from shmooze.broker.broker import Broker
from shmooze.broker.catalog import by_type, types_from_settings
from shmooze.errors import SettingsError
from shmooze.pool import Pool
from shmooze.queue import Queue
from shmooze.settings import Settings, use

SONG: dict[str, Any] = {
    "title": "Song",
    "label": "{name}, {seconds} s",
    "args": {
        "properties": {
            "name": {"type": "string"},
            "seconds": {"type": "integer", "minimum": 1, "default": 10},
            "password": {"type": "string", "writeOnly": True},
        },
        "required": ["name"],
    },
    "commands": {
        "seek": {"args": {"properties": {"to": {"type": "number"}, "step": {"default": 1}}}},
        "unlock": {"args": {"properties": {"pin": {"type": "string", "writeOnly": True}}}},
    },
    "parameters": {"volume": {"type": "integer", "maximum": 100, "unit": "%"}, "mood": {}},
}
SECRET = "correct horse"


class Song(Fake):
    TYPE_STRING = "song"
    schema = SONG


class LazySong(Song):
    TYPE_STRING = "lazy"
    spawn = "lazy"


class HiddenSong(Song):
    TYPE_STRING = "hidden"
    show_args = property(lambda module: False)


class Plain(Fake):
    TYPE_STRING = "plain"


class Mistaken(Fake):
    TYPE_STRING = "mistaken"
    schema = {"args": {"properties": {"name": {"minLength": "x"}}}}


class Log:
    """A command log in memory."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def log(self, *row: Any) -> None:
        self.rows.append(row)


def opened(broker: Any, launcher: FakeLauncher) -> Any:
    broker.logger = Log()
    broker.attach_descriptions()
    open_with(broker, launcher)
    return broker


@pytest.fixture
def queue(clock: FakeClock, launcher: FakeLauncher) -> Queue:
    return opened(Queue([Song, LazySong, HiddenSong, Plain], [Song]), launcher)


def ask(broker: Broker, cmd: str, /, **args: Any) -> Any:
    """The result of a command; its error, as text."""
    answer = broker.single_command({"cmd": cmd, "args": args})
    run_until_idle()
    return answer["result"] if answer["success"] else answer["error"]


# Adding.


@pytest.mark.parametrize(("cmd", "type"), [("add", "song"), ("add", "lazy"), ("set_bg", "song")])
@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({}, "argument `name` is missing"),
        ({"name": 5}, "argument `name`: expected `str`, got `int`"),
        (
            {"name": "x", "speed": 1},
            "unknown argument `speed`; known: `name`, `seconds`, `password`",
        ),
    ],
)
def test_args_that_do_not_fit_are_refused_before_anything_is_done(
    clock: FakeClock, launcher: FakeLauncher, cmd: str, type: str, args: Any, problem: str
) -> None:
    keeper = MemoryKeeper()
    queue = Queue([Song, LazySong], [Song])
    queue.items.keeper = keeper
    opened(queue, launcher)
    assert ask(queue, cmd, type=type, args=args, key="k") == f"{cmd}: {problem}"
    assert not launcher.processes
    assert not keeper.asked
    assert ask(queue, "queue") == []
    assert "uid" in ask(queue, cmd, type=type, args={"name": "x"}, key="k")


def test_child_and_keeper_and_clients_get_the_args_with_defaults(
    clock: FakeClock, launcher: FakeLauncher
) -> None:
    queue = Queue([LazySong])
    queue.items.keeper = keeper = MemoryKeeper()
    opened(queue, launcher)
    uid = ask(queue, "add", type="lazy", args={"name": "x"})["uid"]
    filled = {"name": "x", "seconds": 10}
    assert keeper.items[uid].args == filled
    (item,) = ask(queue, "queue")
    assert (item["args"], item["label"]) == (filled, "x, 10 s")
    assert queue.roster.find(uid).args == filled
    (init,) = [row[2] for row in queue.logger.rows if row[2]["cmd"] == "init"]
    assert init["args"] == filled


def test_types_without_description_take_anything(queue: Queue) -> None:
    ask(queue, "add", type="plain", args={"any": [1]})
    (item,) = ask(queue, "queue")
    assert item["args"] == {"any": [1]}
    assert "label" not in item


def test_type_that_hides_its_args_hides_its_label(queue: Queue) -> None:
    ask(queue, "add", type="hidden", args={"name": "x"})
    (item,) = ask(queue, "queue")
    assert not item.keys() & {"args", "label"}


# Telling.


@pytest.mark.parametrize(("tell", "add"), [("tell_module", "add"), ("tell_background", "set_bg")])
def test_commands_are_checked_and_get_defaults(
    queue: Queue, launcher: FakeLauncher, tell: str, add: str
) -> None:
    uid = ask(queue, add, type="song", args={"name": "x"})["uid"]
    words = "seek: argument `to`: expected `float`, got `str`"
    assert ask(queue, tell, uid=uid, cmd="seek", args={"to": "x"}) == words
    words = "unknown command `sek`; known: `seek`, `unlock`"
    assert ask(queue, tell, uid=uid, cmd="sek") == words
    assert not [cmd for cmd in launcher.processes[0].heard if cmd.startswith("do_")]
    assert ask(queue, tell, uid=uid, cmd="seek", args={"to": 5}) == "do_seek"
    (told,) = [row[2] for row in queue.logger.rows if row[2]["cmd"] == "do_seek"]
    assert told["args"] == {"to": 5, "step": 1}


# Secrets and labels.


def test_secrets_reach_the_child_and_nobody_else(clock: FakeClock, launcher: FakeLauncher) -> None:
    queue = Queue([Song], [Song])
    queue.items.keeper = keeper = MemoryKeeper()
    opened(queue, launcher)
    events = queue.events.watch(None)
    seen = [next(events), next(events)]
    args = {"name": "x", "password": SECRET}
    uid = ask(queue, "add", type="song", args=args)["uid"]
    background = ask(queue, "set_bg", type="song", args=args)["uid"]
    module = queue.roster.find(uid)
    assert module.args["password"] == keeper.items[uid].args["password"] == SECRET
    ask(queue, "tell_module", uid=uid, cmd="unlock", args={"pin": SECRET})
    ask(queue, "add", type="sing", args=args)
    ask(queue, "add", type="song", args={**args, "nam": 1})
    ask(queue, "add", type="song", args={"name": "x", "pasword": SECRET})
    ask(queue, "tell_module", uid=uid, cmd="unlok", args={"pin": SECRET})
    ask(queue, "tell_module", uid="nobody", cmd="unlock", args={"pin": SECRET})
    seen += [ask(queue, cmd) for cmd in ("queue", "bg", "describe")]
    clock.advance(1)
    seen.append(next(events))
    ask(queue, "rm", uids=[uid, background])
    for _ in range(10):
        clock.advance(1)
        run_until_idle()
    seen += [ask(queue, "gone"), queue.logger.rows, keeper.gone]
    assert len(keeper.gone) == 2
    assert str(seen).count("x, 10 s") >= 6
    assert SECRET not in str(seen)


def test_item_whose_type_is_missing_after_a_restart_shows_no_args(
    clock: FakeClock, launcher: FakeLauncher
) -> None:
    queue = Queue([LazySong])
    queue.items.keeper = keeper = MemoryKeeper()
    opened(queue, launcher)
    ask(queue, "add", type="lazy", args={"name": "x", "password": SECRET})
    later = Queue([Plain])
    later.items.keeper = keeper.copy()
    open_with(later, launcher)
    (item,) = ask(later, "queue")
    assert (item["type"], item["state"]) == ("lazy", "held")
    assert "args" not in item


def test_restored_item_has_its_label(clock: FakeClock, launcher: FakeLauncher) -> None:
    queue = Queue([LazySong])
    queue.items.keeper = keeper = MemoryKeeper()
    opened(queue, launcher)
    ask(queue, "add", type="lazy", args={"name": "x"})
    later = Queue([LazySong])
    later.items.keeper = keeper.copy()
    opened(later, launcher)
    (item,) = ask(later, "queue")
    assert item["label"] == "x, 10 s"


# Mistakes.


def test_mistake_is_logged_and_the_other_types_go_on(
    clock: FakeClock, launcher: FakeLauncher, caplog: pytest.LogCaptureFixture
) -> None:
    pool = opened(Pool([Mistaken, Song]), launcher)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line == (
        "pool: mistaken: Mistaken: `schema.args.properties.name.minLength` must be of the type"
        ' integer, not "x"; until this is fixed, args of this type are neither checked nor shown'
    )
    assert "uid" in ask(pool, "add", type="mistaken", args={"name": 5, "password": SECRET})
    assert ask(pool, "add", type="song", args={}) == "add: argument `name` is missing"
    assert SECRET not in str([ask(pool, "pool"), pool.logger.rows])


@pytest.fixture
def configure(tmp_path: Path) -> Iterator[Any]:
    """Returns a pool of types whose settings are these."""

    def configured(**types: Any) -> Pool:
        described = {name: {"process": ["x"], **keys} for name, keys in types.items()}
        use(Settings(tmp_path / "settings.json", {"pool": {"modules": described}}))
        return Pool(types_from_settings("pool", "modules"))

    yield configured
    use(None)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]


def test_description_may_be_a_file_beside_the_settings(
    configure: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "song.json").write_text(json.dumps(SONG))
    pool = configure(song={"schema": "song.json"})
    pool.attach_descriptions()
    assert ask(pool, "describe", type="song")["title"] == "Song"
    assert not errors(caplog)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        (b"{", "which is not JSON: "),
        (b"5", "which must be an object, not 5"),
        (b'{"tite": ""}', "in which `tite` is unknown; did you mean `title`?"),
        (b" " * (1 << 20), "which takes over 262144 bytes"),
    ],
)
def test_mistake_in_a_file_names_the_file(
    configure: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: Any, words: str
) -> None:
    if content is not None:
        (tmp_path / "song.json").write_bytes(content)
    pool = configure(song={"schema": "song.json"}, other={"schema": SONG})
    pool.attach_descriptions()
    (line,) = errors(caplog)
    where = f"pool: song: settings file {tmp_path}/settings.json: `pool.modules.song.schema` names "
    assert line.startswith(where + str(tmp_path / "song.json"))
    assert words in line
    assert ask(pool, "describe", type="song") == {}
    assert ask(pool, "describe", type="other")["title"] == "Song"


def test_file_that_would_block_its_reader_is_refused(
    configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(song={"schema": "/dev/zero"}).attach_descriptions()
    assert "which is not a file" in errors(caplog)[0]


def test_mistake_in_the_settings_has_its_place(
    configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(
        song={"schema": {"args": {"properties": {"s": {"minimum": "x"}}}}}
    ).attach_descriptions()
    assert "`pool.modules.song.schema.args.properties.s.minimum` must be" in errors(caplog)[0]


@pytest.mark.parametrize("keys", [{"schema": 5}, {"describe": "yes"}, {"schema": ["a"]}])
def test_keys_of_another_kind_stop_the_service(configure: Any, keys: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"`pool\.modules\.song\.\w+` must be"):
        configure(song=keys)


def test_methods_of_an_application_may_have_these_names() -> None:
    class Own(Fake):
        TYPE_STRING = "own"

        def describe(self) -> str:
            return ""

        class schema:
            pass

    assert by_type([Own])["own"] is Own
    assert not Queue([Own]).items.describer.presentation(Own)


# describe.


def test_describe_has_all_types_and_one(queue: Queue) -> None:
    everything = ask(queue, "describe")
    assert list(everything["modules"]) == ["song", "lazy", "hidden", "plain"]
    assert everything["modules"]["plain"] == {}
    assert everything["backgrounds"]["song"] == ask(queue, "describe", type="song")
    assert everything["events"] is True
    song = ask(queue, "describe", type="song")
    assert song["args"]["additionalProperties"] is False
    assert song["parameters"] == SONG["parameters"]
    words = "unknown module type 'x'; known: song, lazy, hidden, plain"
    assert ask(queue, "describe", type="x") == words


def test_service_without_descriptions_loads_nothing_for_them() -> None:
    code = (
        "import sys; from shmooze.modules import Module; from shmooze.queue import Queue\n"
        "class Plain(Module): TYPE_STRING, process = 'plain', ['true']\n"
        "Queue([Plain]).single_command({'cmd': 'describe'})\n"
        "print(*(name for name in sys.modules if 'jsonschema' in name or '.description' in name))"
    )
    assert in_fresh_interpreter(code).split() == []


def test_service_without_descriptions_describes_its_types_as_unknown(clock: FakeClock) -> None:
    assert ask(Pool([Plain]), "describe")["modules"] == {"plain": {}}


# Parameters.


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for each in caplog.records if "its parameter" in (line := each.getMessage())]


def test_parameter_that_does_not_fit_is_shown_and_logged_once(
    queue: Queue, launcher: FakeLauncher, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    uid = ask(queue, "add", type="song", args={"name": "x"})["uid"]
    (process,) = launcher.processes
    for volume in (50, 150, 250, "loud"):
        process.update("set_parameters", parameters={"volume": volume, "mood": 5, "other": 1})
        run_until_idle()
        clock.advance(1)
        run_until_idle()
    shown = ask(queue, "ask_module", uid=uid, parameters=["volume"])
    assert shown == {"volume": "loud"}
    assert not process.refusals
    (line,) = faults(caplog)
    assert line.endswith(
        "its parameter `volume` does not fit the description of its type: must be at most 100,"
        " got 150"
    )


def test_busy_module_is_checked_now_and_then(
    queue: Queue, launcher: FakeLauncher, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shmooze.description import parameter_checks

    checked: list[Any] = []
    monkeypatch.setattr(parameter_checks, "_problem", lambda _, value: checked.append(value))
    ask(queue, "add", type="song", args={"name": "x"})
    for volume in range(1000):
        launcher.processes[0].update("set_parameters", parameters={"volume": volume})
    for _ in range(3):
        run_until_idle()
        clock.advance(1)
    assert checked == [999]


# The history.


def test_history_neither_shows_nor_finds_secrets(
    clock: FakeClock, launcher: FakeLauncher, tmp_path: Path
) -> None:
    from shmooze.state.attach import attach

    def jukebox(*kinds: Any) -> Queue:
        queue = Queue(kinds)
        attach(queue)
        return opened(queue, launcher)

    use(Settings(tmp_path / "settings.json", {"state_path": str(tmp_path / "state.db")}))
    try:
        queue = jukebox(Song, LazySong)
        for type in ("song", "lazy"):
            uid = ask(queue, "add", type=type, args={"name": "x", "password": SECRET})["uid"]
            ask(queue, "rm", uids=[uid])
        for _ in range(10):
            clock.advance(1)
            run_until_idle()
        assert_history(queue)
        (again, _) = [item["uid"] for item in ask(queue, "history")["items"]]
        (uid,) = ask(queue, "requeue", uids=[again])
        assert queue.roster.find(uid).args["password"] == SECRET
        ask(queue, "rm", uids=[uid])
        ask(queue, "forget", uids=[uid])
        queue.items.keeper.close()
        assert_history(later := jukebox(Plain))
        later.items.keeper.close()
    finally:
        use(None)


def assert_history(queue: Queue) -> None:
    page = ask(queue, "history")
    assert [item["args"] for item in page["items"]] == 2 * [{"name": "x", "seconds": 10}]
    assert [item["label"] for item in page["items"]] == 2 * ["x, 10 s"]
    assert SECRET not in str(page)
    assert ask(queue, "history", text="correct")["items"] == []
    assert ask(queue, "history", count="args.password") == []
    wait_until(
        lambda: len(ask(queue, "history", text="seconds")["items"]) == 2,
        "the reports of both, which are searched, are written",
    )
    assert ask(queue, "history", count="args.name")[0]["count"] == 2
