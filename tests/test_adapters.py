"""The adapters `command` and `stdio`: their logic, over processes in memory."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from fakes import FakeClock, FakeLauncher, FakeProcess, open_with, run_until_idle

from shmooze.adapters import placeholders
from shmooze.adapters.patterns import Patterns
from shmooze.broker.catalog import by_type
from shmooze.errors import CommandError, SettingsError
from shmooze.modules import Module
from shmooze.modules.channel import adapters
from shmooze.modules.channel.stream import Stream
from shmooze.queue import Queue

#: Seconds in which anything ends.
LONG = 30.0


class Job(Module):
    TYPE_STRING = "job"
    adapter = "command"
    process = ("convert", "--quality={quality}", "--", "{input}", "to {input}")
    progress = r"(\d+)%"
    parameter_patterns = {"speed": r"speed=(\S+)", "frame": r"frame= *(\d+)"}


class Lines(Job):
    TYPE_STRING = "lines"
    process = ("printer",)
    json_lines = True
    progress = None
    parameter_patterns = {}


class Talk(Module):
    TYPE_STRING = "talk"
    adapter = "stdio"
    process = ("talker", "loudly")


class Ahead(Talk):
    TYPE_STRING = "ahead"
    standby = 1


def kind(base: type[Module] = Job, **attributes: Any) -> type[Module]:
    """A type like another one, but for these attributes."""
    return type("Special", (base,), {"TYPE_STRING": "special", **attributes})


class Stage:
    """A queue whose processes are in memory."""

    def __init__(self, clock: FakeClock, kinds: list[type[Module]], is_described: bool) -> None:
        self.clock, self.launcher = clock, FakeLauncher()
        self.queue = Queue(kinds)
        if is_described:
            self.queue.attach_descriptions()
        open_with(self.queue, self.launcher)
        run_until_idle()

    def ask(self, command: str, /, **args: Any) -> Any:
        """The result of a command, or the error as text."""
        answer = self.queue.single_command({"cmd": command, "args": args})
        self.clock.advance(0)
        return answer["result"] if answer["success"] else answer["error"]

    def add(self, type: str, **args: Any) -> FakeProcess:
        """Add a module, which plays. Returns its process."""
        added = self.ask("add", type=type, args=args)
        assert isinstance(added, dict), added
        return self.processes[-1]

    @property
    def processes(self) -> list[FakeProcess]:
        return self.launcher.processes

    @property
    def item(self) -> dict[str, Any]:
        (item,) = self.ask("queue", parameters=True)
        return item

    @property
    def end(self) -> dict[str, Any]:
        """How the module that ended last has ended."""
        self.clock.advance(0)
        return self.ask("gone")[0]


@pytest.fixture
def make_stage(clock: FakeClock) -> Iterator[Callable[..., Stage]]:
    made = []

    def make(*kinds: type[Module], is_described: bool = True) -> Stage:
        made.append(Stage(clock, [*kinds], is_described))
        return made[-1]

    yield make
    for stage in made:
        stopping = gevent.spawn(stage.queue.stop)
        clock.advance(LONG)
        assert stopping.ready()
        assert stage.launcher.living == []


# Placeholders.


@pytest.mark.parametrize(
    ("word", "value", "expected"),
    [
        ("{x}", "a b; rm -rf $HOME", "a b; rm -rf $HOME"),
        ("{x}", "", ""),
        ("{x}", "{x}", "{x}"),
        ("{x}", -5, "-5"),
        ("--n={x}", "-5", "--n=-5"),
        ("{x}", True, "true"),
        ("{x}", 0.5, "0.5"),
        ("{x}", ["Ä", 1], '["Ä", 1]'),
        ("{{x}} {x}", "y", "{x} y"),
        ("a{x}b{x}", "-", "a-b-"),
    ],
)
def test_an_argument_stays_one_word(word: str, value: Any, expected: str) -> None:
    assert placeholders.fill(["program", word], {"x": value}) == ["program", expected]


def test_an_argument_after_two_dashes_may_begin_with_one() -> None:
    assert placeholders.fill(["rm", "--", "{x}"], {"x": "-f"}) == ["rm", "--", "-f"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "argument `x` is missing"),
        ({"x": None}, "argument `x` is missing"),
        ({"x": "-rf"}, "argument `x`: must not begin with `-`, because the program would"),
        ({"x": "a\0b"}, "argument `x`: has a null character"),
        ({"x": "\ud800"}, "argument `x`: is not valid text"),
    ],
)
def test_an_argument_that_no_program_can_be_given_is_refused(
    values: dict[str, Any], words: str
) -> None:
    with pytest.raises(CommandError, match=words):
        placeholders.fill(["program", "{x}"], values)


# Patterns.


@pytest.mark.parametrize(
    ("pattern", "lines", "progress"),
    [
        (r"(\d+)%", ["100%"], 1),
        (r"(\d+)%", ["1%"], 0.01),
        (r"([\d.]+) ?%", ["frame 3: 12.5 % done"], 0.125),
        (r"done: ([\d.]+)", ["done: 0.25"], 0.25),
        (r"(\d+)", ["250"], 1),
        (r"a (\d+)%|b (\d+)%", ["b 1%"], 0.01),
        (r"(?P<done>\d+)/(?P<total>\d+)", ["file 3/12"], 0.25),
        (r"of (?P<total>\d+)|at (?P<done>\d+)", ["at 1", "of 8", "at 2"], 0.25),
        (r"of (?P<total>\S+)|at (?P<done>\S+)", ["of 1:00:00.00", "at 0:15:00.00"], 0.25),
        (r"of (?P<total>\S+)|at (?P<done>\S+)", ["of 0", "at 1"], None),
        (r"of (?P<total>\S+)|at (?P<done>\S+)", ["of N/A", "at 1"], None),
        (r"(\S+)%", ["many%"], None),
    ],
)
def test_progress_is_found_in_lines(pattern: str, lines: list[str], progress: float) -> None:
    patterns = Patterns(pattern, {}, json_lines=False)
    found = [patterns.find(line) for line in lines]
    assert found[-1] == ({} if progress is None else {"progress": progress})


def test_a_parameter_is_a_number_if_it_is_written_as_one() -> None:
    patterns = Patterns(None, {"x": r"x=(\S*)", "y": r"y=(\S*)"}, json_lines=False)
    texts = {"1": 1, "-1.5": -1.5, "007": "007", "1e5": "1e5", "": "", "true": "true"}
    for text, value in texts.items():
        assert patterns.find(f"x={text} y=no") == {"x": value, "y": "no"}


def test_objects_of_json_set_parameters_and_other_lines_do_not() -> None:
    patterns = Patterns(None, {}, json_lines=True)
    assert patterns.find('{"a": {"b": [1]}, "c": null}') == {"a": {"b": [1]}, "c": None}
    for line in ('{"a": NaN}', '{"a": 1} and more', "{not json}", "[1]", "text", ""):
        assert patterns.find(line) == {}


# Settings and classes.


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"adapter": "no"}, "`adapter` cannot be used: there is no adapter `no`; known: command,"),
        (
            {"process": ["a", "{"]},
            '`process` has an unmatched `{` in "{": write `{{` for a literal brace',
        ),
        ({"process": ["a", "{0}"]}, "`process` has the placeholder {0}, which is not a name"),
        ({"process": ["{a}"]}, "`process` has a placeholder in the name of the program"),
        ({"standby": 1}, "`standby` must be 0: a command is started when it plays"),
        ({"describe": True}, "`describe` must be false: a command cannot be asked with"),
        ({"progress": "("}, "`progress` is not a regular expression"),
        ({"progress": "%"}, "`progress` has no group"),
        ({"progress": "(?P<done>.)"}, "`progress` has the group `done` and no group `total`"),
        ({"parameter_patterns": {"x": "y"}}, "`parameters.x` has no group"),
        ({"suspend_by": "kill"}, '`suspend` must be one of "stop", "end", "none"'),
        (
            {"schema": {"args": {"properties": {"quality": {}}}}},
            "`process` has the placeholder {input}, which `schema` does not describe",
        ),
        ({"adapter": "stdio", "parameter_patterns": {}}, "`progress` has no meaning for a type"),
    ],
)
def test_a_mistake_names_type_and_key(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        by_type([kind(**wrong)])
    assert str(refusal.value).startswith(f"Special: {words}")


def test_a_class_without_an_adapter_may_use_the_names_otherwise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = {"progress": property(lambda self: 5), "json_lines": lambda self: 5}
    by_type([kind(Module, process=("a",), **own)])
    assert caplog.messages == []
    by_type([kind(Module, process=("a",), progress=0.5)])
    assert caplog.messages == ["Special: `progress` has no meaning for a type without an adapter"]


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        (ImportError("No module named 'x'"), "adapter `own` cannot be loaded: No module named 'x'"),
        (KeyError("a fault of the package"), "the adapter `own` cannot be loaded"),
        (SimpleNamespace(keys=(), has_door=False), "x:ADAPTER is not an adapter: it has no"),
        (adapters.find("stdio"), ""),
    ],
)
def test_another_package_can_offer_an_adapter(
    monkeypatch: pytest.MonkeyPatch, offered: Any, words: str
) -> None:
    def load() -> Any:
        if isinstance(offered, Exception):
            raise offered
        return offered

    entry = SimpleNamespace(name="own", value="x:ADAPTER", load=load)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
    adapters.find.cache_clear()
    if words:
        with pytest.raises(SettingsError, match=words):
            adapters.find("own")
    else:
        assert adapters.find("own") is offered
    adapters.find.cache_clear()


# The adapter `command`.


def test_a_command_is_described_by_its_placeholders_and_patterns() -> None:
    by_type([Job])
    text = {"type": "string"}
    assert Job.schema == {
        "label": "{quality}, {input}",
        "args": {
            "type": "object",
            "properties": {"quality": text, "input": text},
            "required": ["quality", "input"],
        },
        "commands": {},
        "parameters": {
            "speed": {},
            "frame": {},
            "progress": {"type": "number", "minimum": 0, "maximum": 1, "role": "progress"},
        },
    }


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        (["result: 5", "result: 7"], 7),
        (["result: [1, 2]", "done"], [1, 2]),
        (["result: out.mp4"], "out.mp4"),
        (["result: "], "none"),
        ([], "none"),
    ],
)
def test_a_line_of_output_is_the_result_of_a_command(
    make_stage: Any, lines: list[str], result: Any
) -> None:
    stage = make_stage(kind(Lines, result_pattern=r"result: (\S.*)", restart="always"))
    process = stage.add("special")
    if lines:
        process.print(*lines)
    process.exit(0)
    assert (stage.end["state"], stage.end["reason"]) == ("done", "ended by itself")
    assert stage.end.get("result", "none") == result
    assert len(stage.ask("queue")) == (1 if result == "none" else 0)


def test_a_command_that_fails_has_no_result(make_stage: Any) -> None:
    stage = make_stage(kind(Lines, result_pattern=r"result: (\S+)", max_result_bytes=5))
    process = stage.add("special")
    process.print("result: 5")
    process.exit(2)
    assert stage.end["state"] == "failed" and "result" not in stage.end
    process = stage.add("special")
    process.print("result: 123456")
    process.exit(0)
    stage.clock.advance(1)
    assert "its result takes 6 bytes" in stage.ask("gone")[1]["reason"]


def test_a_subclass_and_a_schema_complete_the_description() -> None:
    by_type([Job])
    inherits = kind(process=("other", "{file}"))
    own = kind(process=("other", "{file}"), schema={"label": "film {file}"})
    for each in (inherits, own):
        by_type([each])
        by_type([each])
        assert list(each.schema["args"]["properties"]) == ["file"]
    assert inherits.schema["label"] == "{file}"
    assert own.schema["label"] == "film {file}"


def test_a_command_starts_when_it_plays_with_each_argument_as_one_word(make_stage: Any) -> None:
    stage = make_stage(Job)
    process = stage.add("job", quality="3", input="a b; true")
    assert process.spec.argv == ["convert", "--quality=3", "--", "a b; true", "to a b; true"]
    stage.ask("add", type="job", args={"quality": "1", "input": "x"})
    assert len(stage.processes) == 1  # the second waits for its turn
    assert [item["label"] for item in stage.ask("queue")] == ["3, a b; true", "1, x"]
    assert stage.ask("describe", type="job")["args"]["required"] == ["quality", "input"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"quality": "1"}, "argument `input` is missing"),
        (
            {"quality": "1", "input": "x", "output": "y"},
            "unknown argument `output`; known: `quality`",
        ),
    ],
)
@pytest.mark.parametrize("is_described", [True, False])
def test_wrong_arguments_are_refused_before_there_is_a_process(
    make_stage: Any, args: dict[str, Any], words: str, is_described: bool
) -> None:
    stage = make_stage(kind(), is_described=is_described)
    assert words in stage.ask("add", type="special", args=args)
    assert stage.processes == []


def test_lines_set_parameters_and_the_last_of_a_batch_counts(make_stage: Any) -> None:
    stage = make_stage(Job, Lines)
    process = stage.add("job", quality="1", input="x")
    process.print("nothing", "frame=  1 speed=2x", "5%", "frame=  2", "6%")
    assert stage.item["parameters"] == {"frame": 2, "speed": "2x", "progress": 0.06}
    stage.ask("rm", uids=[stage.item["uid"]])
    stage.add("lines").print('{"a": 1}', "text", '{"b": 2}')
    assert stage.item["parameters"] == {"a": 1, "b": 2}


def test_parameters_beyond_the_limit_are_left_out(make_stage: Any) -> None:
    stage = make_stage(kind(Lines, max_parameters_bytes=100))
    process = stage.add("special")
    process.print('{"a": 1}', json.dumps({"b": "x" * 200}), '{"c": 2}')
    assert stage.item["parameters"] == {"a": 1, "c": 2}
    assert stage.item["state"] == "playing"


def test_a_command_is_done_with_status_0_and_knows_no_commands(make_stage: Any) -> None:
    stage = make_stage(kind(Lines), Lines)
    process = stage.add("lines")
    told = stage.ask("tell_module", uid=stage.item["uid"], cmd="louder")
    assert "unknown command `louder`; known: none" in told
    process.exit(0)
    assert stage.end["state"] == "done"
    assert stage.end["reason"] == "ended by itself"


@pytest.mark.parametrize("is_error", [True, False])
def test_a_command_that_fails_says_so_with_its_status_and_last_lines(
    make_stage: Any, is_error: bool
) -> None:
    stage = make_stage(Lines)
    process = stage.add("lines")
    process.print("one", "no such file", is_error=is_error)
    process.exit(3)
    assert stage.end["state"] == "failed"
    assert stage.end["reason"] == "exited with status 3"
    assert stage.end["stderr_tail"] == ["one", "no such file"]


def test_a_command_is_stopped_and_goes_on(make_stage: Any) -> None:
    stage = make_stage(Lines)
    first = stage.add("lines")
    second_uid = stage.ask("add", type="lines")["uid"]
    stage.ask("mv", uids=[second_uid])
    assert first.is_suspended
    assert len(stage.launcher.living) == 2
    stage.ask("rm", uids=[second_uid])
    assert not first.is_suspended


def test_a_command_is_ended_and_started_anew(make_stage: Any) -> None:
    stage = make_stage(kind(Lines, suspend_by="end"), Lines)
    first = stage.add("special")
    first.print('{"a": 1}', "before")
    uid, second_uid = stage.item["uid"], stage.ask("add", type="lines")["uid"]
    stage.ask("mv", uids=[second_uid])
    assert first.exit_status is not None
    assert [item["state"] for item in stage.ask("queue")] == ["playing", "suspended"]
    assert "before" in stage.ask("output", uid=uid)
    stage.ask("rm", uids=[second_uid])
    assert stage.item["state"] == "playing"
    assert stage.launcher.living == [stage.processes[-1]]


def test_a_command_that_ended_while_it_was_suspended_is_not_started_anew(make_stage: Any) -> None:
    stage = make_stage(kind(Lines, suspend_by="end"), Lines)
    first = stage.add("special")
    second_uid = stage.ask("add", type="lines")["uid"]
    first.exit(0)
    stage.ask("mv", uids=[second_uid])
    assert stage.end["state"] == "done"
    assert len(stage.processes) == 2


def test_a_command_may_go_on_while_others_play(make_stage: Any) -> None:
    stage = make_stage(kind(Lines, suspend_by="none"), Lines)
    first = stage.add("special")
    stage.ask("mv", uids=[stage.ask("add", type="lines")["uid"]])
    assert not first.is_suspended
    assert len(stage.launcher.living) == 2


def test_a_command_that_is_removed_gets_sigterm_at_once(make_stage: Any) -> None:
    stage = make_stage(Lines)
    stage.add("lines")
    stage.ask("rm", uids=[stage.item["uid"]])
    assert stage.launcher.living == []
    assert (stage.end["state"], stage.end["ladder"]) == ("removed", "SIGTERM")


# The adapter `stdio`.


def test_commands_and_updates_pass_over_standard_input_and_output(make_stage: Any) -> None:
    stage = make_stage(Talk)
    process = stage.add("talk", name="x")
    assert process.spec.argv == ["talker", "loudly"]  # without host and ports
    assert process.heard == ["init", "play"]
    process.update("set_parameters", parameters={"a": 1})
    process.update("unset_parameters", parameters=["b"])
    run_until_idle()
    assert stage.item["parameters"] == {"a": 1}
    assert stage.ask("tell_module", uid=stage.item["uid"], cmd="sing") == "do_sing"
    stage.ask("mv", uids=[stage.ask("add", type="talk")["uid"]])
    assert process.heard[2:] == ["do_sing", "suspend"]
    assert process.refusals == []  # nothing but commands is written


def test_a_module_on_stdio_gets_its_state_back(make_stage: Any) -> None:
    stage = make_stage(kind(Talk, restart="always"))
    process = stage.add("special")
    process.update("save", state={"at": 5})
    run_until_idle()
    process.exit(1)
    stage.clock.advance(LONG)
    assert stage.processes[-1].restored == [{"at": 5}]
    assert stage.processes[-1].heard == ["restore", "init", "play"]


def test_a_module_on_stdio_is_started_ahead(make_stage: Any) -> None:
    stage = make_stage(Ahead)
    stage.clock.advance(LONG)
    (process,) = stage.processes
    assert process.heard == []
    stage.ask("add", type="ahead")
    assert process.heard == ["init", "play"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hello", "an update (other output belongs on standard error): `hello`"),
        ("", "an update (other output belongs on standard error): ``"),
        ('"\x1b[2J"', "is neither an answer nor an update"),
        ('{"cmd": "dance"}', None),
        ('{"cmd": "set_parameters", "args": {"parameters": {"a": NaN}}}', None),
        ('{"success": 1}', "sent an answer that is no packet: Expected `bool`, got `int`"),
        ('{"success": true}', "sent an answer that nobody waited for"),
        (" " * (Stream.max_line + 1), "sent a line over 1 MiB on its standard output"),
    ],
)
def test_a_line_that_is_no_packet_fails_the_module_in_words_for_its_author(
    make_stage: Any, caplog: pytest.LogCaptureFixture, line: str, words: str | None
) -> None:
    stage = make_stage(Talk)
    process = stage.add("talk")
    process.send(line)
    run_until_idle()
    if words is None:  # an update that is refused
        assert "an update was refused: bad update: " in caplog.text
        assert stage.item["state"] == "playing"
    else:
        stage.clock.advance(LONG)
        assert words in stage.end["reason"]
        assert "\x1b" not in stage.end["reason"]


def test_what_came_before_a_wrong_line_counts(make_stage: Any) -> None:
    stage = make_stage(Talk)
    process = stage.add("talk")
    uid = stage.item["uid"]
    module = stage.queue.roster.find(uid)
    update = '{"cmd":"set_parameters","args":{"parameters":{"a":1}}}'
    process.send(f"{update}\n{update.replace('1', '2')}\nhello")
    stage.clock.advance(LONG)
    assert module.parameters == {"a": 2}
    assert stage.end["state"] == "failed"


def test_an_update_that_is_refused_is_logged_once(
    make_stage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    stage = make_stage(kind(Talk, max_parameters_bytes=100))
    process = stage.add("special")
    for _ in range(3):
        process.update("set_parameters", parameters={"a": "x" * 200})
        run_until_idle()
    assert caplog.text.count("an update was refused: the parameters would take over 100") == 1


def test_a_module_on_stdio_may_refuse_init(make_stage: Any) -> None:
    stage = make_stage(Talk)
    stage.launcher._on_launch = lambda process: setattr(process, "is_obedient", False)

    adding = gevent.spawn(stage.ask, "add", type="talk")
    run_until_idle()
    (process,) = stage.processes
    process.answer(success=False)
    stage.clock.advance(LONG)
    assert adding.get() == "talk refused `init`: no init"


def test_a_module_on_stdio_that_closes_its_output_ends(make_stage: Any) -> None:
    stage = make_stage(Talk)
    process = stage.add("talk")
    process.stdio.deliver(b"")
    stage.clock.advance(LONG)
    assert stage.end["reason"] == "closed its standard output"
    assert process.has_hung_up
