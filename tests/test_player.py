"""Player: a program that is started, paused, continued and ended as the parent says."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_parent import Stage
from support import is_alive, wait_until

from shmooze.modules import Player


class Shell(Player):
    """Runs a script in sh."""

    def cmd_init(self, script: str):
        self.argv = ["sh", "-c", script]

    def line(self, text):
        self.set_parameters({"line": text})


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Stage]]:
    """Play a script. Whatever happens, nothing of it is left behind."""
    stages: list[Stage] = []

    def play(script: str, module: type[Player] = Shell) -> Stage:
        stages.append(Stage(module, monkeypatch))
        assert stages[-1].ask("init", script=script) is None
        assert stages[-1].ask("play") is None
        return stages[-1]

    yield play
    for stage in stages:
        stage.ask("rm")


def state(pid: int) -> str:
    """The state of a process in one letter, such as T for stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_program_does_not_start_before_play(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(Shell, monkeypatch)
    stage.ask("init", script="echo")
    assert stage.module.process is None
    assert stage.ask("rm") is None


def test_module_leaves_when_its_program_has_ended_well(
    play: Callable[..., Stage], capfd: pytest.CaptureFixture[str]
) -> None:
    stage = play("echo one; echo two >&2; printf three")
    lines = [stage.parameters()["line"] for _ in range(3)]
    assert sorted(lines) == ["one", "three", "two"]
    assert [stage.next_update()["cmd"] for _ in range(2)] == ["rm", "closed"]
    assert capfd.readouterr() == ("one\nthree", "two\n"), "the output is passed on"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "sh exited with status 3"),
        ("seq 5; exit 2", "sh exited with status 2; last output: 3 | 4 | 5"),
        ("kill -9 $$", "sh was killed by SIGKILL"),
    ],
)
def test_module_fails_when_its_program_fails(
    play: Callable[..., Stage], script: str, words: str
) -> None:
    stage = play(script)
    updates = iter(stage.next_update, None)
    failure = next(each for each in updates if each["cmd"] != "set_parameters")
    assert failure == {"cmd": "fail", "args": {"error": words}}


def test_program_and_its_children_are_stopped_and_continued(play: Callable[..., Stage]) -> None:
    stage = play("sleep 1000 & echo $!; wait")
    pids = [stage.module.process.pid, int(stage.parameters()["line"])]
    for _ in range(2):
        stage.ask("suspend")
        wait_until(lambda: {state(pid) for pid in pids} == {"T"}, "both are stopped")
        stage.ask("play")
        wait_until(lambda: "T" not in {state(pid) for pid in pids}, "both go on")
    stage.ask("rm")
    wait_until(lambda: not any(map(is_alive, pids)), "both are gone")


@pytest.mark.parametrize("is_paused", [False, True])
def test_program_is_gone_when_rm_is_answered(play: Callable[..., Stage], is_paused: bool) -> None:
    stage = play("trap 'echo bye; exit 1' TERM; echo ready; while :; do sleep 0.01; done")
    stage.next_update()
    if is_paused:
        stage.ask("suspend")
    stage.ask("rm")
    assert not is_alive(stage.module.process.pid)
    updates = [stage.next_update() for _ in range(stage.connection.updates.qsize())]
    assert {"line": "bye"} in [each["args"]["parameters"] for each in updates], "it was asked first"
    assert {each["cmd"] for each in updates} == {"set_parameters"}, "its end is no failure"


def test_program_that_ignores_sigterm_is_killed(play: Callable[..., Stage]) -> None:
    class Impatient(Shell):
        patience = 0.05

    stage = play("trap '' TERM; echo $$; while :; do sleep 0.01; done", Impatient)
    stage.next_update()
    stage.ask("rm")
    assert stage.module.process.wait(10) == -signal.SIGKILL


def test_children_that_outlive_their_program_are_ended(play: Callable[..., Stage]) -> None:
    stage = play("sleep 1000 & echo $!")
    child = int(stage.parameters()["line"])
    wait_until(lambda: not is_alive(child), "its child is gone")
    assert stage.next_update() == {"cmd": "rm"}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["/nowhere/player"], "cannot start `/nowhere/player`: No such file or directory"),
        (["sh", "a\0b"], "cannot start `sh`: an argument contains a null character"),
        ([], "Given needs `argv`, the program to run and its arguments in a list"),
        ("mpv a.ogg", "Given needs `argv`, the program to run and its arguments in a list"),
    ],
)
def test_program_that_cannot_be_started_is_named(
    monkeypatch: pytest.MonkeyPatch, argv: Any, words: str
) -> None:
    class Given(Player):
        pass

    stage = Stage(Given, monkeypatch)
    stage.module.argv = argv
    assert stage.ask("play") == words
    assert stage.ask("rm") is None


def test_module_can_pause_its_program_in_its_own_way_and_stay(play: Callable[..., Stage]) -> None:
    class Own(Shell):
        options = {"env": {"WORD": "hello"}}

        def pause(self):
            self.set_parameters({"asked": "pause"})

        def resume(self):
            self.send_signal(signal.SIGUSR1)

        def line(self, text):
            if text == "hello":
                super().line(text)

        def ended(self, status):
            self.set_parameters({"status": status})
            self.stay()

    stage = play("trap 'exit 5' USR1; echo $WORD; while :; do sleep 0.01; done", Own)
    assert stage.parameters() == {"line": "hello"}
    stage.ask("suspend")
    assert stage.parameters() == {"asked": "pause"}
    stage.ask("play")
    assert stage.parameters() == {"status": 5}
    stage.ask("suspend")
    stage.ask("rm")
    assert not stage.module._thread.is_alive()


def test_lines_end_at_carriage_returns_and_are_cut(play: Callable[..., Stage]) -> None:
    script = "import sys; sys.stdout.buffer.write(b'10%\\r20%\\r\\n' + b'x' * 300000 + b'\\n\\xff')"
    stage = play(f'exec "{sys.executable}" -c "{script}"')
    lines = [stage.parameters()["line"] for _ in range(4)]
    assert [*lines[:2], lines[3]] == ["10%", "20%", "\ufffd"]
    assert set(lines[2]) == {"x"}
    assert len(lines[2]) <= 1000


def test_end_of_a_line_that_arrives_in_two_parts_is_one_end(
    play: Callable[..., Stage], tmp_path: Path
) -> None:
    shown = tmp_path / "shown"
    script = (
        rf"printf 'a\r'; until [ -e '{shown}' ]; do sleep 0.01; done; printf '\n'; printf 'b\n'"
    )
    stage = play(script)
    assert stage.parameters() == {"line": "a"}
    shown.touch()
    assert stage.parameters() == {"line": "b"}


@pytest.mark.parametrize("options", [{"bufsize": 0}, {"text": True}])
def test_output_is_passed_on_whatever_the_options_of_the_pipes(
    play: Callable[..., Stage], options: dict[str, Any]
) -> None:
    stage = play("echo heard", type("Odd", (Shell,), {"options": options}))
    assert stage.parameters() == {"line": "heard"}


def test_program_never_outlives_the_module(
    play: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_exit: list[tuple[Any, ...]] = []
    monkeypatch.setattr("atexit.register", lambda *call: at_exit.append(call))
    stage = play("sleep 1000 & echo $!; wait")
    pid = int(stage.parameters()["line"])
    ((function, *args),) = at_exit
    function(*args)
    wait_until(lambda: not is_alive(pid), "it is gone")
