"""What shmz makes of descriptions: values, help, lists of types, labels, completion."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from support import PATIENCE
from test_shmz import OTHER_UID, SHMZ, UID, Ended, Peer, bad, call_shmz, environ, good

from shmooze.shmz.completion.candidates import Line, candidates_for
from shmooze.shmz.completion.query import format_candidate, split_line
from shmooze.shmz.completion.scripts import SCRIPTS
from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.report import format_result
from shmooze.shmz.types import format_types
from shmooze.shmz.values import ask_secret, convert_pairs
from shmooze.shmz.watch.changes import describe_changes
from shmooze.shmz.watch.events import Event
from shmooze.shmz.watch.live import Live, apply_event
from shmooze.shmz.watch.screen import render
from shmooze.shmz.words import options_of, packet_from_words

TEA: dict[str, Any] = {
    "title": "Tea timer",
    "description": "Tells when the tea is ready.\nIt beeps.",
    "label": "{name}, {seconds} s",
    "args": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "What is brewed", "maxLength": 40},
            "seconds": {"type": "integer", "minimum": 1, "maximum": 3600, "default": 180},
            "kind": {"enum": ["black", "green tea", "07"]},
            "milk": {"type": "boolean"},
            "amount": {"type": ["number", "null"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "cup": {"$ref": "#/$defs/cup"},
            "key": {"type": "string", "writeOnly": True, "default": "hidden"},
        },
        "required": ["name"],
        "additionalProperties": False,
        "$defs": {"cup": {"type": "object", "properties": {"ml": {"type": "integer"}}}},
    },
    "commands": {
        "add": {
            "description": "Make it longer.",
            "args": {"properties": {"seconds": {"type": "integer"}}, "required": ["seconds"]},
        },
        "stop": {},
    },
}
SERVICE = {
    "name": "queue",
    "modules": {"tea": TEA, "bare": {}},
    "backgrounds": {"clock": {}},
    "commands": {
        "add": {"description": "Start a module."},
        "schedule": {
            "args": {
                "properties": {
                    "type": {"type": "string"},
                    "cron": {"type": "string", "description": "When, as for cron."},
                    "not_before": {"type": "string"},
                    "overlap": {"enum": ["skip", "queue", "replace"]},
                }
            }
        },
        "set_vol": {"args": {"properties": {"vol": {"type": "integer"}}, "required": ["vol"]}},
    },
}
ITEM = {
    "uid": UID,
    "type": "tea",
    "label": "Assam, 180 s",
    "state": "playing",
    "parameters": {"left": 3},
}
Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def described() -> Iterator[Peer]:
    """A service that describes itself, with one item."""
    with Peer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        server.described = {None: SERVICE, "tea": TEA, "bare": {}}
        server.known = [good([ITEM]), bad("unknown command"), good(), good([])]
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def shmz(described: Peer) -> Iterator[Run]:
    def run(*words: str, **keywords: Any) -> Ended:
        return call_shmz(*words, **{"SHMZ_ENDPOINT": f"{described.base}queue", **keywords})

    described.requests.clear()
    yield run
    described.reply = good()


# Values


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("name=007", "007"),
        ("name=true", "true"),
        ("name=a=b", "a=b"),
        ('name="30"', "30"),  # JSON quotes, as without a description
        ("seconds=007", 7),
        ("seconds=soon", "soon"),  # for the service to refuse
        ("seconds=1.5", 1.5),
        ("kind=07", "07"),
        ("milk=yes", True),
        ("milk=No", False),
        ("milk=maybe", "maybe"),
        ("amount=.5", 0.5),
        ("amount=null", None),
        ('tags=["a", "b"]', ["a", "b"]),
        ("tags=1", ["1"]),
        ('cup={"ml": 200}', {"ml": 200}),
        ("unknown=3", 3),
    ],
)
def test_values_are_converted_as_described(word: str, value: Any) -> None:
    name, _, text = word.partition("=")
    converted = convert_pairs([(name, text)], TEA["args"])[name]
    assert (converted, type(converted)) == (value, type(value))


def test_schemas_that_refer_to_themselves_end() -> None:
    loop = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "properties": {"x": {"$ref": "#/$defs/a"}}}
    assert convert_pairs([("x", "1")], loop) == {"x": 1}


@pytest.mark.parametrize("command", ["add", "set_bg"])
def test_add_sends_what_the_description_asks_for(shmz: Run, described: Peer, command: str) -> None:
    assert shmz(command, "tea", "name=007", "tags=a", "tags=b,c", "seconds=5").status == 0
    args = {"name": "007", "tags": ["a", "b,c"], "seconds": 5}
    assert described.packet == {"cmd": command, "args": {"type": "tea", "args": args}}


def test_tell_sends_what_the_description_asks_for(shmz: Run, described: Peer) -> None:
    assert shmz("tell", UID[:4], "add", "seconds=007").status == 0
    args = {"uid": UID, "cmd": "add", "args": {"seconds": 7}}
    assert described.packet == {"cmd": "tell_module", "args": args}


def test_name_that_is_not_an_array_cannot_be_repeated(shmz: Run, described: Peer) -> None:
    line = "shmz: name is given twice\n"
    assert shmz("add", "tea", "name=a", "name=b") == (2, "", line)
    assert described.requests == []


def test_refusal_is_that_of_the_service(shmz: Run, described: Peer) -> None:
    line = "add: argument `seconds`: expected `int`, got `str`"
    described.reply = bad(line)
    assert shmz("add", "tea", "seconds=soon") == (1, "", f"shmz: {line}\n")


def test_secret_is_read_from_a_file_and_other_values_never_are(
    shmz: Run, described: Peer, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("007\n")
    assert shmz("add", "tea", f"key=@{file}", f"name=@{file}").out == "null\n"
    args = {"key": "007", "name": f"@{file}"}
    assert described.packet["args"]["args"] == args
    missing = shmz("add", "tea", "key=@/nowhere")
    assert missing == (2, "", "shmz: key: cannot read '/nowhere': No such file or directory\n")


def test_secret_can_be_typed_without_being_shown() -> None:
    with mock.patch("getpass.getpass", return_value="007") as asked:
        assert convert_pairs([("key", "@-")], TEA["args"]) == {"key": "007"}
        assert ask_secret("key") == "007"
    asked.assert_called_with("key: ")


# Help and types


def test_help_for_a_type_explains_its_arguments_and_commands(shmz: Run) -> None:
    ended = shmz("add", "tea", "--help", COLUMNS="100")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "usage: shmz add tea name= [seconds=180] [kind=] [milk=] [amount=] [tags=] [cup=] [key=]",
        "",
        "Tea timer",
        "",
        "Tells when the tea is ready. It beeps.",
        "",
        "label: {name}, {seconds} s",
        "",
        "arguments",
        "  name     str, at most 40 characters, required. What is brewed",
        "  seconds  int, at least 1, at most 3600, default 180",
        "  kind     str, one of black, green tea, 07",
        "  milk     bool",
        "  amount   float or null",
        "  tags     array of str",
        "  cup      object",
        "  key      str, secret: key=@FILE reads it from a file, key=@- asks for it",
        "",
        "commands: shmz tell UID COMMAND",
        "  add seconds=  Make it longer.",
        "  stop",
    ]
    assert json.loads(shmz("add", "tea", "--help", "--json").out) == TEA


def test_help_for_an_item_lists_its_commands(shmz: Run, described: Peer) -> None:
    ended = shmz("tell", UID[:8], "--help")
    assert f"Assam, 180 s (tea) {UID}" in ended.out
    assert "  add seconds=  Make it longer.\n" in ended.out
    one = shmz("tell", UID, "add", "--help").out
    assert one.startswith(f"usage: shmz tell {UID} add seconds=\n")
    assert "  seconds  int, required\n" in one
    line = "shmz: tea describes no command 'sing'\n"
    assert shmz("tell", UID, "sing", "--help") == (1, "", line)
    assert shmz("tell", OTHER_UID, "--help").status == 1
    assert described.requests == []


def test_help_for_a_command_of_any_service(shmz: Run) -> None:
    assert shmz("set_vol", "--help").out.endswith("arguments\n  vol  int, required\n")
    named = shmz("-e", "queue", "set_vol", "--help").out
    assert named.startswith("usage: shmz -e queue set_vol vol=\n")
    assert shmz("ask", UID, "--help").err == "shmz: unknown command 'ask_module'\n"
    assert shmz("sing", "--help") == (1, "", "shmz: unknown command 'sing'\n")


def test_types_are_listed_with_their_arguments(shmz: Run) -> None:
    listed = {"queue": {"modules": {"tea": TEA, "bare": {}}, "backgrounds": {"clock": {}}}}
    assert json.loads(shmz("types").out) == listed
    assert format_types(listed, 60).splitlines() == [
        "queue: add",
        "  tea name= [seconds=180] [kind=] [milk=] [amount=] [tags=]…",
        "      Tea timer: Tells when the tea is ready.; label {name}…",
        "  bare",
        "",
        "queue: set_bg",
        "  clock",
    ]


def test_service_that_is_not_running_is_named_and_the_others_are_listed(shmz: Run) -> None:
    line = "service 'pool' is not running"
    answers = [Stop(Status.NO_ANSWER, line), SERVICE]
    with (
        mock.patch("shmooze.shmz.types.services_beside", return_value=["pool", "queue"]),
        mock.patch("shmooze.shmz.types.describe", side_effect=answers),
    ):
        ended = shmz("types")
    assert (ended.status, ended.err) == (0, f"shmz: {line}\n")
    assert list(json.loads(ended.out)) == ["queue"]


def test_hostile_descriptions_cannot_control_the_terminal(shmz: Run, described: Peer) -> None:
    bell = "\x1b[2J\x07"
    schema = {"type": "string", "default": bell, "description": bell, "enum": [bell]}
    nasty = {"title": bell, "label": bell, "args": {"properties": {bell: schema}}}
    described.described["nasty"] = {**nasty, "commands": {bell: {"description": bell}}}
    shown = shmz("add", "nasty", "--help").out + format_types(
        {bell: {"modules": {bell: nasty}}}, 80
    )
    assert all(line.isprintable() for line in shown.splitlines())


# Labels


def test_label_is_shown_with_the_type() -> None:
    table = format_result([ITEM, {**ITEM, "uid": OTHER_UID, "label": None}], 100)
    head, labelled, plain = table.splitlines()
    assert head.split() == ["uid", "type", "state", "parameters"]
    assert labelled == f"{UID}  Assam, 180 s (tea)  playing  left=3"
    assert plain.split() == [OTHER_UID, "tea", "playing", "left=3"]


def test_label_is_the_title_of_an_item_in_the_history() -> None:
    ended = {"ended": "2026-01-01T00:00:00Z", "by": None, "seconds": 1, "reason": "left"}
    page = {"items": [{**ITEM, **ended, "args": {"name": "Ceylon"}}], "next": None}
    row = format_result(page, 200).splitlines()[1]
    assert "tea   Assam, 180 s" in row
    assert "Ceylon" not in row


def test_item_that_is_held_says_so_whatever_its_state() -> None:
    held = {**ITEM, "state": "suspended", "held": "by hand"}
    waiting = {**held, "uid": OTHER_UID, "state": "held"}
    lines = format_result([held, waiting], 120).splitlines()
    assert "  suspended, held  " in lines[1]
    assert "  held  " in lines[2]
    assert "held, held" not in lines[2]


def test_what_the_web_server_of_an_item_is_doing_is_shown_with_its_state() -> None:
    items = [
        {**ITEM, "web": "ready"},
        {**ITEM, "uid": OTHER_UID, "state": "held", "held": "was idle", "web": "resting"},
        {**ITEM, "state": "suspended", "held": "by hand", "web": "ready"},
    ]
    lines = format_result(items, 120).splitlines()
    assert "  playing, ready  " in lines[1]
    assert "  held, resting  " in lines[2]
    assert "  suspended, held, ready  " in lines[3]
    snapshot = {"modules": items[:1], "background": None}
    ready = apply_event(Live("url"), Event("snapshot", "1", json.dumps(snapshot)))
    assert "  playing, ready  " in render(ready, 100, 24)[1]
    change = {"modules": {UID: {"web": None}}}
    stopped = apply_event(ready, Event("change", "2", json.dumps(change)))
    assert "  playing  " in render(stopped, 100, 24)[1]
    assert describe_changes(ready, stopped) == [f"Assam, 180 s (tea) {UID} playing"]


def test_watch_shows_what_is_held_and_released() -> None:
    def change(live: Live, **changes: Any) -> Live:
        data = {"modules": {UID: changes}}
        return apply_event(live, Event("change", "2", json.dumps(data)))

    snapshot = {"modules": [{**ITEM, "state": "suspended"}], "background": None}
    free = apply_event(Live("url"), Event("snapshot", "1", json.dumps(snapshot)))
    held = change(free, held="by hand")
    assert "  suspended, held  " in render(held, 100, 24)[1]
    assert describe_changes(free, held) == [f"Assam, 180 s (tea) {UID} suspended, held"]
    released = change(held, held=None)
    assert "  suspended  " in render(released, 100, 24)[1]
    assert describe_changes(held, released) == [f"Assam, 180 s (tea) {UID} suspended"]
    snapshot = {"modules": [{**ITEM, "held": "by hand"}], "background": None}
    again = apply_event(held, Event("snapshot", "3", json.dumps(snapshot)))
    assert "  playing, held  " in render(again, 100, 24)[1]


def test_watch_shows_labels() -> None:
    snapshot = {"modules": [ITEM], "background": None}
    live = apply_event(Live("url"), Event("snapshot", "1", json.dumps(snapshot)))
    assert "Assam, 180 s (tea)  playing" in render(live, 100, 24)[1]
    begun = describe_changes(Live("url"), live)
    assert begun[1] == f"Assam, 180 s (tea) {UID} playing, left=3"
    change = {"order": [], "gone": {UID: {"reason": "was removed"}}}
    after = apply_event(live, Event("change", "2", json.dumps(change)))
    assert describe_changes(live, after)[-1] == f"Assam, 180 s (tea) {UID} gone: was removed"
    assert "Assam, 180 s (tea) 3f2a5a0e was removed" in render(after, 100, 24)[-1]


# Completion


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["ad"], ["add"]),
        (["set_"], ["set_vol"]),
        (["w"], ["watch"]),
        (["add", ""], ["tea", "bare"]),
        (["set_bg", ""], ["clock"]),
        (["--json", "add", "--timeout", "3", "te"], ["tea"]),
        (["add", "tea", "name=x", "m"], ["milk="]),
        (["add", "tea", "name=x", "n"], []),
        (["add", "tea", "tags=x", "t"], ["tags="]),
        (["add", "tea", "kind="], ["kind=black", "kind=green tea", "kind=07"]),
        (["add", "tea", "milk=t"], ["milk=true"]),
        (["add", "tea", "seconds="], ["seconds=180"]),
        (["add", "tea", "key="], []),
        (["add", "bare", ""], []),
        (["rm", ""], [UID]),
        (["rm", UID, ""], []),
        (["tell", "3f"], [UID]),
        (["tell", UID, ""], ["add", "stop"]),
        (["tell", UID[:6], "add", ""], ["seconds="]),
        (["ask", UID, ""], ["left"]),
        (["set_vol", ""], ["vol="]),
        (["--t"], ["--timeout", "--token-file"]),
        (["--timeout", ""], []),
        (["schedule", ""], ["tea", "bare"]),
        (["schedule", "tea", "--c"], ["--cron"]),
        (["schedule", "tea", "--cron", "0 8 * * *", "--c"], []),
        (["schedule", "tea", "--cron", ""], []),
        (["schedule", "tea", "--overlap", ""], ["skip", "queue", "replace"]),
        (["schedule", "--overlap", "skip", "t"], ["tea"]),
        (["schedule", "--cron", "0 8 * * *", "tea", "mi"], ["milk="]),
        (["schedule", "tea", "--t"], ["--timeout", "--token-file"]),
        (["completion", "z"], ["zsh"]),
    ],
    ids=" ".join,
)
def test_last_word_is_completed(described: Peer, words: list[str], values: list[str]) -> None:
    with mock.patch.dict(os.environ, {"SHMZ_ENDPOINT": f"{described.base}queue"}):
        assert [value for value, _ in candidates_for(Line(words), PATIENCE)] == values


def test_uids_are_completed_with_labels(described: Peer) -> None:
    with mock.patch.dict(os.environ, {"SHMZ_ENDPOINT": f"{described.base}queue"}):
        found = candidates_for(Line(["rm", ""]), PATIENCE)
    assert found == [(UID, "Assam, 180 s (tea), playing")]


def test_candidates_are_quoted_for_bash_and_cannot_control_the_terminal(described: Peer) -> None:
    types = {"$(date)": {}, "a\x1b": {}, "green tea": {}}
    service = {None: {"modules": types}}
    with (
        mock.patch.dict(os.environ, {"SHMZ_ENDPOINT": f"{described.base}queue"}),
        mock.patch.object(described, "described", service),
    ):
        found = candidates_for(Line(["add", ""]), PATIENCE)
    assert found == [("$(date)", ""), ("green tea", "")]
    assert format_candidate("$(date)", "", "bash") == "'$(date)'"
    assert format_candidate("kind=a=b c", "About\n", "bash") == "kind='a=b c'\tAbout\\n"
    assert format_candidate("green tea", "", "fish") == "green tea"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("shmz ", [""]),
        ("shmz add", ["add"]),
        ("shmz add tea ", ["add", "tea", ""]),
        ("shmz add 'green tea' na", ["add", "green tea", "na"]),
    ],
)
def test_line_of_bash_is_split_into_words(line: str, words: list[str]) -> None:
    assert split_line(line) == words


BASH_TEST = """
source <("$1" completion bash)
for line in "${@:2}"; do
    COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=(old)
    _shmz "$1" 2>/dev/null
    echo "${COMPREPLY[*]}"
done
"""


def test_bash_completes_and_is_silent_if_there_is_no_server(described: Peer) -> None:
    lines = [
        "shmz ad",
        "shmz add tea mi",
        "shmz add tea kind=g",
        "shmz add 'tea",
        "shmz -e http://127.0.0.1:1/ ad",
    ]
    ended = subprocess.run(
        ["bash", "--norc", "-c", BASH_TEST, "bash", SHMZ, *lines],
        env=environ(SHMZ_ENDPOINT=f"{described.base}queue"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ended.stdout.splitlines() == ["add", "milk=", "'green tea'", "", ""]
    assert ended.stderr == ""


@pytest.mark.parametrize("shell", SCRIPTS)
def test_script_is_valid_for_its_shell(shell: str) -> None:
    script = call_shmz("completion", shell).out
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    checked = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]], ids=" ".join)
def test_completion_needs_a_shell_that_it_knows(words: list[str]) -> None:
    line = "shmz: completion needs a shell: bash, zsh or fish\n"
    assert call_shmz("completion", *words) == (2, "", line)


WAITING: dict[str, Any] = {
    **ITEM,
    "uid": OTHER_UID,
    "state": "waiting",
    "waits": "needs gpu 1, used by tea 3f2a5a0e",
    "priority": 2,
    "ups": 1,
}


def test_what_an_item_waits_for_and_its_priority_stand_beside_its_state() -> None:
    lines = format_result([{**ITEM, "place": 0}, {**WAITING, "place": 1}], 160).splitlines()
    head = lines[0].split()
    assert head[head.index("state") + 1 :][:4] == ["place", "waits", "priority", "ups"]
    assert "  waiting  1      needs gpu 1, used by tea 3f2a5a0e  2" in lines[2]


def test_watch_shows_what_is_waited_for_votes_and_pauses() -> None:
    def change(live: Live, **changes: Any) -> Live:
        return apply_event(live, Event("change", "2", json.dumps(changes)))

    snapshot = {"modules": [WAITING], "background": None, "paused": {"suspend": False}}
    paused = apply_event(Live("url"), Event("snapshot", "1", json.dumps(snapshot)))
    assert render(paused, 200, 24)[0] == "live: 1 module, paused at url"
    assert "needs gpu 1, used by tea 3f2a5a0e priority=2 ups=1 left=3" in render(paused, 200, 24)[1]
    begun = describe_changes(Live("url"), paused)[1]
    assert "waiting, waits: needs gpu 1, used by tea 3f2a5a0e, priority=2 ups=1, left=3" in begun
    resumed = change(paused, paused=None, modules={OTHER_UID: {"waits": None, "ups": 2}})
    assert describe_changes(paused, resumed) == [
        "resumed",
        f"Assam, 180 s (tea) {OTHER_UID} ups=2",
    ]
    assert "paused" not in render(resumed, 200, 24)[0]


def test_result_of_a_job_is_a_column_of_the_history() -> None:
    ended = {"ended": "2026-01-01T00:00:00Z", "by": None, "seconds": 1, "reason": "left"}
    page = {"items": [{**ITEM, **ended, "result": {"primes": 25}}, {**ITEM, **ended}], "next": None}
    lines = format_result(page, 200).splitlines()
    assert "result" in lines[0]
    assert "primes=25" in lines[1]


def test_more_arguments_follow_the_uids() -> None:
    packet, _ = packet_from_words("mv", [UID, OTHER_UID, "to=2"])
    assert packet == {"cmd": "mv", "args": {"uids": [UID, OTHER_UID], "to": 2}}
    with pytest.raises(Stop, match="key=value"):
        packet_from_words("mv", [UID, "to=2", OTHER_UID])
    terms = options_of("add", {"not_before": "2031", "priority": "2", "at": "0"})
    assert terms == {"not_before": "2031", "priority": 2, "at": 0}
    with pytest.raises(Stop, match="--not-before is an option of add "):
        options_of("schedule", {"not_before": "2031"})
    packet, _ = packet_from_words("vote", [UID, "up"])
    assert packet == {"cmd": "vote", "args": {"uid": UID, "kind": "up"}}
