"""The child's side, tested against a minimal parent, under every Python that is installed here."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import CHILDREN, PATIENCE, ROOT, Client, Refusal, Site, is_alive, wait_until

VERSIONS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"]
#: Ways to run the module, see children/poller.py.
WAYS = ["main", "thread", "gevent", "greenlet"]
#: Seconds within which a module that has lost its parent must be gone, on a busy machine.
PROMPTLY = 5


@functools.cache
def pythons() -> dict[str, str]:
    """Return the Pythons that are installed here, by version."""
    found = {"{}.{}".format(*sys.version_info[:2]): sys.executable}
    pyenv = Path("~/.pyenv/versions").expanduser().glob("*/bin/python")
    for python in [*pyenv, *(shutil.which(f"python{each}") for each in (*VERSIONS, "2.7"))]:
        if python is not None:
            code = "import sys; print('%d.%d' % sys.version_info[:2])"
            probe = subprocess.run([python, "-c", code], capture_output=True, text=True)
            if probe.returncode == 0:
                found.setdefault(probe.stdout.strip(), str(python))
    return found


def python(version: str) -> str:
    if version not in pythons():
        pytest.skip(f"no Python {version} here")
    return pythons()[version]


class Parent:
    """A minimal parent: two listening sockets, a child, and the two streams between them."""

    def __init__(
        self,
        here: Path,
        way: str = "main",
        python: str = sys.executable,
        program: str = "poller.py",
    ) -> None:
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ports = [str(listener.getsockname()[1]) for listener in listeners]
        self.here, self.stderr = here, here / "stderr"
        with self.stderr.open("wb") as stderr:
            self.child = subprocess.Popen(
                [python, str(CHILDREN / program), way, "127.0.0.1", *ports],
                env={**os.environ, "PYTHONPATH": str(ROOT), "HERE": str(here)},
                stderr=stderr,
            )
        for listener in listeners:
            listener.settimeout(PATIENCE)
        self.commands, self.updates = (listener.accept()[0] for listener in listeners)
        for stream in (self.commands, self.updates):
            stream.settimeout(PATIENCE)
        for listener in listeners:
            listener.close()
        self.answers, self.updates_in = self.commands.makefile("rb"), self.updates.makefile("rb")

    def ask(self, cmd: str, **args: Any) -> dict[str, Any]:
        """Send a command. Returns the child's answer, success or failure."""
        self.send(cmd, **args)
        return json.loads(self.answers.readline())

    def send(self, cmd: str, **args: Any) -> None:
        self.commands.sendall(json.dumps({"cmd": cmd, "args": args}).encode() + b"\n")

    def next_update(self) -> dict[str, Any]:
        return json.loads(self.updates_in.readline())

    def last_words(self) -> list[str]:
        file = self.here / "last-words"
        return file.read_text().split() if file.exists() else []

    def hang_up(self) -> None:
        self.commands.shutdown(socket.SHUT_WR)

    def vanish(self) -> None:
        for each in (self.answers, self.updates_in, self.commands, self.updates):
            each.close()

    def close(self) -> None:
        self.vanish()
        try:
            self.child.wait(PROMPTLY)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise


@pytest.fixture
def make_parent(tmp_path: Path) -> Iterator[Callable[..., Parent]]:
    made: list[Parent] = []

    def make(**keywords: Any) -> Parent:
        made.append(Parent(tmp_path, **keywords))
        return made[-1]

    yield make
    for parent in made:
        parent.close()


@pytest.fixture
def parent(make_parent: Callable[..., Parent]) -> Parent:
    return make_parent()


def check_module(parent: Parent) -> None:
    """Check what a module must do under any Python and however it is run."""
    assert parent.ask("init", name="ü") == {"success": True, "result": None}
    update = parent.next_update()
    assert update["cmd"] == "set_parameters"
    assert update["args"]["parameters"]["args"] == {"name": "ü"}
    assert parent.next_update() == {"cmd": "unset_parameters", "args": {"parameters": ["nothing"]}}
    assert parent.ask("do_add", a=[1], b=[None]) == {"success": True, "result": [1, None]}
    assert parent.ask("do_fail", words="no\nway") == {"success": False, "error": "no way"}
    assert parent.ask("do_dance")["error"].startswith("unknown command `dance`; known: `add`, ")
    assert "argument `b` is missing" in parent.ask("do_add", a=1)["error"]
    assert parent.ask("do_add", a=1, b=2)["result"] == 3
    words = "sum: argument `numbers[1]`: expected `int`, got `str`"
    assert parent.ask("do_sum", numbers=[1, "2"], name=None)["error"] == words
    assert parent.ask("do_sum", numbers=[1, 2])["result"] == 3


# Pythons, and ways to run


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_module_works_and_ends_under(version: str, make_parent: Callable[..., Parent]) -> None:
    parent = make_parent(python=python(version))
    check_module(parent)
    parent.hang_up()
    assert parent.child.wait(PROMPTLY) == 0
    assert parent.last_words() == ["finally", "atexit"]


@pytest.mark.parametrize("way", WAYS)
def test_module_works_in_any_thread_or_greenlet(
    way: str, make_parent: Callable[..., Parent]
) -> None:
    check_module(make_parent(way=way))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("loss", ["hang_up", "vanish"])
def test_module_that_has_lost_its_parent_ends_promptly(
    way: str, loss: str, make_parent: Callable[..., Parent]
) -> None:
    parent = make_parent(way=way)
    parent.ask("init")
    getattr(parent, loss)()
    status = parent.child.wait(PROMPTLY)
    if way in ("main", "gevent"):
        assert status == 0
        assert parent.last_words() == ["finally", "atexit"]
    else:  # a thread can end its program only by a signal
        assert status == -signal.SIGTERM
    assert "Traceback" not in parent.stderr.read_text()


def test_module_ends_when_its_parent_vanishes_before_the_first_command(parent: Parent) -> None:
    parent.vanish()
    assert parent.child.wait(PROMPTLY) == 0


def test_half_a_command_is_ignored(parent: Parent) -> None:
    parent.commands.sendall(b'{"cmd":"do_add","args":{"a":1,"b":2}}')
    parent.hang_up()
    assert parent.child.wait(PROMPTLY) == 0
    assert parent.answers.read() == b""


@pytest.mark.parametrize("way", WAYS)
def test_close_from_another_thread_wakes_the_thread_that_waits_for_a_command(
    way: str, make_parent: Callable[..., Parent]
) -> None:
    parent = make_parent(way=way)
    parent.ask("do_close")
    assert parent.answers.readline() == b""
    assert parent.child.wait(PROMPTLY) == 0
    joined = [] if way in ("main", "gevent") else ["joined"]
    assert parent.last_words() == ["finally", *joined, "atexit"]


# cleaning up after rm

#: Shapes in which a thread other than the reader cleans up, see children/tidy.py.
TIDY = ["player", "download", "joined", "greenlet", "reader"]


def wait_until_hung_up(parent: Parent) -> None:
    """Wait until the child has noticed the end of its command stream."""

    def has_read() -> bool:
        return "hung-up" in parent.last_words() or parent.child.poll() is not None

    wait_until(has_read, "it has read the end of its command stream")


@pytest.mark.parametrize("shape", TIDY)
def test_module_may_clean_up_in_another_thread_after_rm(
    shape: str, make_parent: Callable[..., Parent]
) -> None:
    parent = make_parent(way=shape, program="tidy.py")
    parent.ask("init")
    assert parent.ask("rm") == {"success": True, "result": None}
    parent.hang_up()
    wait_until_hung_up(parent)
    (parent.here / "go").touch()
    assert parent.child.wait(PROMPTLY) == 0
    assert sorted(parent.last_words()) == ["atexit", "hung-up", "tidied"]
    assert not (parent.here / "download").exists()
    assert parent.stderr.read_text() == ""


def test_module_whose_main_thread_closes_the_streams_and_joins_the_reader_ends(
    make_parent: Callable[..., Parent],
) -> None:
    parent = make_parent(way="screen", program="tidy.py")
    parent.ask("init")
    parent.ask("rm")
    parent.hang_up()
    (parent.here / "go").touch()
    assert parent.child.wait(PROMPTLY) == 0
    assert parent.last_words() == ["tidied", "atexit"]


@pytest.mark.parametrize("shape", TIDY)
def test_module_that_loses_its_parent_without_rm_ends_at_once(
    shape: str, make_parent: Callable[..., Parent]
) -> None:
    parent = make_parent(way=shape, program="tidy.py")
    parent.ask("init")
    parent.vanish()
    parent.child.wait(PROMPTLY)
    assert "tidied" not in parent.last_words()
    assert "Traceback" not in parent.stderr.read_text()


@pytest.mark.parametrize("shape, status", [("endless", 0), ("endless-reader", -signal.SIGTERM)])
def test_module_whose_threads_never_end_ends_at_once_after_rm(
    shape: str, status: int, make_parent: Callable[..., Parent]
) -> None:
    parent = make_parent(way=shape, program="tidy.py")
    parent.ask("init")
    assert parent.ask("rm")["success"] is True
    parent.hang_up()
    assert parent.child.wait(PROMPTLY) == status


@pytest.mark.parametrize("shape", [*TIDY, "screen"])
def test_module_that_leaves_on_its_own_prints_nothing_on_standard_error(
    shape: str, make_parent: Callable[..., Parent]
) -> None:
    parent = make_parent(way=shape, program="tidy.py")
    parent.ask("init")
    parent.next_update()
    parent.send("do_end")  # it may close the streams before it can answer
    assert parent.next_update() == {"cmd": "rm"}
    parent.hang_up()
    assert parent.child.wait(PROMPTLY) == 0
    assert {"tidied", "atexit"} <= set(parent.last_words())
    assert parent.stderr.read_text() == ""


# threads that fail

#: What may fail in which way of running.
FAILS = [("main", "thread"), ("thread", "thread"), ("gevent", "thread"), ("gevent", "greenlet")]


@pytest.mark.parametrize("way, what", FAILS)
def test_exception_that_ends_a_thread_is_reported_to_the_parent(
    way: str, what: str, make_parent: Callable[..., Parent]
) -> None:
    parent = make_parent(way=way)
    assert parent.ask("do_fail_in", what=what, words="no sound")["success"] is True
    assert parent.next_update() == {"cmd": "fail", "args": {"error": "no sound"}}
    lines = parent.stderr.read_text().splitlines()
    assert "RuntimeError: no sound" in lines, "the operator has the traceback"


def test_programming_error_that_ends_a_thread_is_reported_without_python_internals(
    parent: Parent,
) -> None:
    parent.ask("do_fail_in", what="thread", words="x", kind="mistake")
    text = parent.next_update()["args"]["error"]
    assert text == "internal error; see the output of the module"
    assert "AttributeError: 'str' object" in parent.stderr.read_text()


def test_excepthook_of_the_program_is_still_called(make_parent: Callable[..., Parent]) -> None:
    parent = make_parent(way="hooked")
    parent.ask("do_fail_in", what="thread", words="oops")
    assert parent.next_update() == {"cmd": "fail", "args": {"error": "oops"}}
    assert parent.last_words() == ["oops"]
    assert parent.stderr.read_text() == ""


def test_exiting_thread_and_awaited_greenlet_do_not_count_as_failed(
    make_parent: Callable[..., Parent],
) -> None:
    parent = make_parent(way="gevent")
    parent.ask("do_fail_in", what="thread", words="x", kind="SystemExit")
    assert parent.ask("do_fail_in", what="awaited", words="x")["result"] == "caught"
    parent.ask("do_update")
    assert parent.next_update()["cmd"] == "set_parameters"


def test_thread_that_fails_during_cleanup_is_not_reported(parent: Parent) -> None:
    parent.ask("init")
    parent.ask("do_fail_in", what="thread", words="no sound")
    for _ in range(2):
        parent.next_update()
    assert parent.next_update()["cmd"] == "fail"
    parent.ask("rm")
    parent.ask("do_fail_in", what="thread", words="no sound")
    wait_until(lambda: parent.stderr.read_text().count("Traceback") == 2, "it has failed")
    parent.hang_up()
    assert parent.updates_in.read() == b""


# in a queue


@pytest.fixture(scope="module")
def shared_queue(make_shared_site: Callable[..., Site]) -> Client:
    modules = {
        "poller": {"process": [sys.executable, str(CHILDREN / "poller.py"), "main"]},
        "player": {"process": [sys.executable, str(CHILDREN / "tidy.py"), "player"]},
        "broken": {"process": [sys.executable, "-c", "import no_such_library"]},
    }
    site = make_shared_site(services=("queue",), settings={"queue": {"modules": modules}})
    return Client(site.start(), "queue")


@pytest.fixture
def queue(shared_queue: Client) -> Iterator[Client]:
    yield shared_queue
    shared_queue.clear()


def end_of(queue: Client, uid: str) -> dict[str, Any]:
    """Wait until a module is gone. Returns its entry in `gone`."""

    def find() -> dict[str, Any] | None:
        return next((each for each in queue("gone") if each["uid"] == uid), None)

    return wait_until(find, "it is gone")


def test_module_whose_thread_has_failed_ends_with_its_reason_and_the_next_one_plays(
    queue: Client,
) -> None:
    first, second = queue.add("poller"), queue.add("poller")
    queue.tell(first, "fail_in", what="thread", words="no\nsound")
    end = end_of(queue, first)
    assert (end["reason"], end["state_at_end"]) == ("failed: no sound", "playing")
    assert end["ladder"] == "rm", "it could stop what it had begun"
    assert "RuntimeError: no" in end["stderr_tail"]
    assert [(each["uid"], each["state"]) for each in queue.roster()] == [(second, "playing")]


def test_module_of_a_queue_may_clean_up_after_rm(queue: Client) -> None:
    uid = queue.add("player")
    queue("rm", uids=[uid])
    (queue.site.folder / "go").touch()
    end = end_of(queue, uid)
    assert (end["reason"], end["ladder"], end["exit_status"]) == ("was removed", "rm", 0)
    assert not (queue.site.folder / "download").exists()
    assert end["stderr_tail"] == []


REFUSALS = {
    "words of its own": ({"words": "there is\nno sound"}, "there is no sound"),
    "a mistake": (
        {"words": "x", "kind": "mistake"},
        "internal error; see the output of the module",
    ),
    "a call that does not fit": ({"word": "x"}, "internal error; see the output of the module"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_client_sees_only_the_text_of_a_refused_init(queue: Client, what: str) -> None:
    args, words = REFUSALS[what]
    with pytest.raises(Refusal) as refused:
        queue.add("poller", fail_with=args)
    assert str(refused.value) == f"poller refused `init`: {words}"
    assert "cmd_rm" not in queue.site.log("queue"), "`rm` is not sent to a module without `init`"


def test_client_sees_no_traceback_of_a_program_that_crashes_at_startup(queue: Client) -> None:
    with pytest.raises(Refusal) as refused:
        queue.add("broken")
    last_words = "ModuleNotFoundError: No module named 'no_such_library'"
    expected = f"broken exited with status 1 before `init`; last output: {last_words}"
    assert str(refused.value) == expected


# answers and updates


@pytest.mark.parametrize("kind", ["object", "nan", "bytes"])
def test_result_that_is_not_json_is_a_failure_and_the_module_continues(
    parent: Parent, kind: str
) -> None:
    answer = parent.ask("do_result", kind=kind)
    words = "the result is not valid JSON; see the output of the module"
    assert answer == {"success": False, "error": words}
    assert parent.stderr.read_text().startswith("the result of `do_result` is not valid JSON: ")
    assert parent.ask("do_result", kind="tuple") == {"success": True, "result": [1, "ü"]}


def test_parameters_that_are_not_json_raise_value_error_and_are_not_sent(
    parent: Parent,
) -> None:
    assert "JSON" in parent.ask("do_nan")["result"]
    parent.ask("do_update")
    assert parent.next_update()["args"] == {"parameters": {"a": 1}}


@pytest.mark.parametrize("way", ["main", "gevent"])
def test_updates_of_several_threads_never_interleave(
    way: str, make_parent: Callable[..., Parent]
) -> None:
    parent = make_parent(way=way)
    parent.ask("do_updates", threads=8, count=50, size=20_000)
    heard: dict[int, list[int]] = {thread: [] for thread in range(8)}
    for _ in range(8 * 50):
        parameters = parent.next_update()["args"]["parameters"]
        assert parameters["ballast"] == "x" * 20_000
        heard[parameters["thread"]].append(parameters["number"])
    assert heard == {thread: list(range(50)) for thread in range(8)}


def test_state_that_a_module_saves_is_one_update(parent: Parent) -> None:
    parent.ask("do_save", state={"at": 12.5, "title": "ü"})
    assert parent.next_update() == {"cmd": "save", "args": {"state": {"at": 12.5, "title": "ü"}}}
    parent.ask("do_save", state=None)
    assert parent.next_update() == {"cmd": "save", "args": {"state": None}}


def test_state_to_restore_is_an_argument(parent: Parent) -> None:
    parent.ask("restore", state=[1, None])
    assert parent.ask("do_restored")["result"] == [1, None]


def test_module_that_could_not_restore_its_state_does_not_save_it(parent: Parent) -> None:
    refusal = parent.ask("do_save", state=1, in_vain=True)
    assert refusal["error"] == "a module that saves needs a function for `restore` in `commands`"
    parent.ask("do_update")
    assert parent.next_update()["cmd"] == "set_parameters"


def test_refused_update_is_reported_on_standard_error(parent: Parent) -> None:
    parent.updates.sendall(b'{"success":false,"error":"bad update: too big"}\n{"success":true}\n')

    def is_reported() -> bool:
        parent.ask("do_update")
        return "update refused: bad update: too big\n" in parent.stderr.read_text()

    wait_until(is_reported, "the operator is informed")


@pytest.mark.parametrize("kind", ["ValueError", "TypeError", "CommandError"])
def test_refusal_is_one_line_on_standard_error_with_its_location(parent: Parent, kind: str) -> None:
    assert parent.ask("do_fail", words="no\nway", kind=kind)["error"] == "no way"
    (line,) = parent.stderr.read_text().splitlines()
    assert re.fullmatch(r"refused `do_fail` \(poller\.py, line \d+\): no way", line)


def test_wrong_arguments_are_one_line_on_standard_error(
    parent: Parent,
) -> None:
    words = "arguments `a`, `b` are missing, unknown argument `c`; known: `a`, `b`"
    assert parent.ask("do_add", c=1)["error"] == f"add: {words}"
    assert parent.stderr.read_text() == f"refused `do_add`: {words}\n"


def test_value_error_from_another_file_is_printed_with_a_traceback(parent: Parent) -> None:
    error = parent.ask("do_parse", text="{")["error"]
    lines = parent.stderr.read_text().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == f"json.decoder.JSONDecodeError: {error}"


def test_programming_error_is_printed_with_a_traceback(parent: Parent) -> None:
    parent.ask("do_fail", words="oops")
    lines = parent.stderr.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("Traceback (most recent call last):", "RuntimeError: oops")


def test_refused_init_is_reported_once_in_each_place(new_site: Site) -> None:
    words = "no job 'nix' in the settings; known: hello, fail, forever"
    with pytest.raises(Refusal, match=f"^job refused `init`: {words}$"):
        new_site.ask("pool", "add", type="job", args={"name": "nix"})
    (ended,) = wait_until(lambda: new_site.ask("pool", "gone"), "it is gone")
    (line,) = ended["stderr_tail"]
    assert line.startswith("refused `init` (job.py, line ")
    assert line.endswith(f"): {words}")
    assert "Traceback" not in new_site.log("pool")


# how it starts


@pytest.mark.parametrize("arguments", [[], ["8080"], ["localhost", "a", "b"]])
def test_module_started_by_hand_prints_one_line(arguments: list[str], tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(CHILDREN / "poller.py"), "main", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HERE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("poller.py: this is a shmooze module; a queue or pool starts it")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        "from shmooze.modules import JSONParentPoller, ParentConnection",
        "from shmooze.modules.pymodule import JSONParentPoller, ParentConnection",
    ],
)
def test_child_loads_the_standard_library_only(line: str) -> None:
    code = f"{line}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    loaded = subprocess.check_output([sys.executable, "-S", "-c", code], env=environ, text=True)
    assert "shmooze" in loaded.split()
    assert set(loaded.split()) - sys.stdlib_module_names <= {"shmooze", "__main__"}


# modules of shmooze 1.2.4


@pytest.fixture(scope="module")
def old_shmooze(tmp_path_factory) -> Path:
    """A folder with shmooze 1.2.4 from the package index, for Python 2.7."""
    folder = tmp_path_factory.mktemp("shmooze-1.2.4")
    pip = [python("2.7"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    limits = ["--timeout", "10", "--retries", "0", "--target", str(folder)]
    try:
        subprocess.run(
            [*pip, *limits, "shmooze==1.2.4"], check=True, capture_output=True, timeout=90
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as bad:
        pytest.skip(f"shmooze 1.2.4 cannot be installed: {bad}")
    return folder


def test_module_written_for_1_2_4_under_python_2_works_unchanged(
    old_shmooze: Path, make_site: Callable[..., Site]
) -> None:
    environ = ["env", f"PYTHONPATH={old_shmooze}"]
    legacy = {
        "process": [*environ, python("2.7"), str(CHILDREN / "legacy.py2")],
        "natural_death_timeout": 0.5,
    }
    site = make_site(services=("queue",), settings={"queue": {"modules": {"legacy": legacy}}})
    queue = Client(site.start(), "queue")
    first, second = queue.add("legacy", title="ä"), queue.add("legacy", title="b")
    queue("mv", uids=[second])
    wait_until(lambda: queue.parameters(first)["heard"] == ["init", "play", "suspend"], "paused")
    wait_until(lambda: queue.parameters(second)["heard"] == ["init", "play"], "plays")
    assert queue("ask_module", uid=first, parameters=["title", "secret"]) == {
        "title": "ä",
        "secret": "ü",
    }
    assert queue.tell(first, "double", number=21) == 42
    with pytest.raises(Refusal, match=r"^no music today$"):
        queue.tell(first, "fail")
    queue.tell(first, "forget")
    wait_until(lambda: "secret" not in queue.parameters(first), "forgotten")
    pids = set(site.survivors()) - queue.own_processes
    assert len(pids) == 2
    queue("rm", uids=[second])  # it will spin at the end of its stream, until SIGTERM
    queue.tell(first, "leave")
    wait_until(lambda: queue.roster() == [], "both have left")
    wait_until(lambda: not any(map(is_alive, pids)), "both are gone")
    wait_until(lambda: len(queue("gone")) == 2, "their ends are told")
    assert {each["ladder"] for each in queue("gone")} == {"SIGTERM"}
