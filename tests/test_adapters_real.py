"""Real programs as modules: the settings and programs of docs/how-to/adapters.md, as shown."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support import (
    PATIENCE,
    ROOT,
    Client,
    Refusal,
    Site,
    child,
    is_alive,
    log_rows,
    wait_until,
)

PAGE = (ROOT / "docs" / "how-to" / "adapters.md").read_text()
#: The text of each file that the page shows, and the settings.
FILES = dict(re.findall(r"`(\w+\.\w+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
TYPES: dict[str, Any] = json.loads(
    "{" + ",".join(re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)) + "}"
)
KITS = ROOT / "examples" / "modules"

#: Programs that are spoken to over standard input and output, one by each way to write them.
TALKING = {
    "hello.py": [sys.executable, "-S", "hello.py"],
    "hello.mjs": ["node", "hello.mjs"],
    "hello.sh": ["sh", "hello.sh"],
    "well.py": child("well"),
    "countdown.mjs": ["node", str(KITS / "countdown.mjs")],
    "ticker.sh": ["sh", str(KITS / "ticker.sh")],
}
#: A program with a status line, which starts another one, and prints both pids first.
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "1000"])
print("pids=%d,%d" % (os.getpid(), child.pid), flush=True)
for number in range(100):
    sys.stdout.write("%d%%\\r" % number)
time.sleep(1000)
"""
#: Never reads its input, and floods its output with updates.
DEAF = """
import sys
for command in ("init", "play"):
    sys.stdin.readline()
    print('{"success":true}', flush=True)
while True:
    sys.stdout.write('{"cmd":"set_parameters","args":{"parameters":{"a":1}}}\\n' * 1000)
"""
#: Starts programs and stops in the middle of it, over and over.
BUSY = """
while true; do sleep 0.001 & wait; done
"""


def types(folder: Path) -> dict[str, Any]:
    """All module types of the tests, of which some are the page's."""
    talking = {
        name: {"adapter": "stdio", "process": argv, "natural_death_timeout": PATIENCE}
        for name, argv in TALKING.items()
    }
    for name in ("hello.py", "hello.mjs", "hello.sh"):
        talking[name]["cwd"] = str(folder)
    python = [sys.executable, "-S", "-c"]
    return {
        **TYPES,
        **talking,
        **{name: {**TYPES[name], "cwd": str(folder)} for name in ("convert", "train")},
        "family": {
            "adapter": "command",
            "process": [*python, FAMILY],
            "progress": r"(\d+)%",
            "parameters": {"pids": r"pids=(\S+)"},
            "sigterm_timeout": 0.5,
        },
        "deaf": {
            "adapter": "stdio",
            "process": [*python, DEAF],
            "command_timeout": 1,
            "natural_death_timeout": 0.2,
        },
        "busy": {"adapter": "command", "process": ["sh", "-c", BUSY]},
        "no-program": {"adapter": "command", "process": ["/no/such/program"]},
        "talks too much": {"adapter": "stdio", "process": ["sh", "-c", "echo Welcome; cat"]},
    }


@pytest.fixture(scope="module")
def running(
    make_shared_site: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory
) -> Client:
    """A queue with all of them."""
    folder = tmp_path_factory.mktemp("programs")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "Downloads").mkdir()
    environ = {"HOME": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        (folder / "ffmpeg").symlink_to(get_ffmpeg_exe())
    except ImportError:
        pass
    settings = {"queue": {"modules": types(folder)}, "folder": str(folder)}
    site = make_shared_site(services=("queue",), settings=settings, environ=environ)
    return Client(site.start(), "queue")


@pytest.fixture
def folder(client: Client) -> Path:
    return Path(client.site.settings["folder"])


def end_of(client: Client, uid: str) -> dict[str, Any]:
    """How an item has ended, as soon as it has."""
    ends = wait_until(lambda: [e for e in client("gone") if e["uid"] == uid], "it has ended")
    return ends[0]


def shown_by(client: Client, uid: str, name: str) -> list[Any]:
    """The values to which a module has set a parameter, as the log has them."""
    rows = log_rows(client.site.folder / "log.db")
    found = [sent for who, _, sent, _ in rows if who == uid and sent["cmd"] == "set_parameters"]
    return [
        each["args"]["parameters"][name] for each in found if name in each["args"]["parameters"]
    ]


def wait_for(client: Client, uid: str, name: str) -> Any:
    """A parameter of a module, as soon as it is set."""
    return wait_until(lambda: client.parameters(uid).get(name), f"{name} is set")


def test_ffmpeg_converts_with_progress(client: Client, folder: Path) -> None:
    if not (folder / "ffmpeg").exists():
        pytest.skip("imageio-ffmpeg is not installed")
    with wave.open(str(folder / "talk.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000 * 600))
    uid = client.add("convert", kbps="16", input="talk.wav", output="talk.ogg")
    end = end_of(client, uid)
    assert (end["state"], end["reason"]) == ("done", "ended by itself")
    wait_until(lambda: shown_by(client, uid, "progress")[-1:] > [0.99], "it is said to be done")
    assert max(shown_by(client, uid, "speed")) > 1
    with suppress(Refusal):  # it may end before its `add` is answered
        client.add("convert", kbps="16", input="nothing.wav", output="talk.ogg")
    failed = wait_until(lambda: [e for e in client("gone") if e["state"] == "failed"], "it fails")
    assert "No such file or directory" in "".join(failed[0]["stderr_tail"])


def test_curl_downloads_and_its_arguments_are_checked(
    client: Client, folder: Path, elsewhere: tuple[str, Path]
) -> None:
    origin, files = elsewhere
    (files / "film.bin").write_bytes(b"x" * 5_000_000)
    uid = client.add("download", url=f"{origin}/film.bin", file="film.bin")
    assert end_of(client, uid)["state"] == "done"
    assert (folder / "Downloads" / "film.bin").stat().st_size == 5_000_000
    with pytest.raises(Refusal, match="argument `file`"):
        client.add("download", url=f"{origin}/film.bin", file="../film.bin")
    missing = end_of(client, client.add("download", url=f"{origin}/none", file="none"))
    assert missing["reason"].startswith("exited with status 22")
    assert "404" in "".join(missing["stderr_tail"])


def test_lines_of_json_are_parameters(client: Client) -> None:
    with pytest.raises(Refusal, match="unknown argument `seed`; known: `epochs`"):
        client.add("train", epochs="3", seed=1)
    uid = client.add("train", epochs="200000")
    assert 0 < wait_for(client, uid, "progress") <= 1


@pytest.mark.parametrize("name", ["hello.py", "hello.mjs", "hello.sh"])
def test_a_loop_that_reads_lines_is_a_module(client: Client, name: str) -> None:
    if shutil.which(TALKING[name][0]) is None:
        pytest.skip(f"{TALKING[name][0]} is not installed")
    uid = client.add(name, **({} if name == "hello.sh" else {"name": "Ada"}))
    who = "world" if name == "hello.sh" else "Ada"
    assert wait_for(client, uid, "says") == f"hello {who}"
    assert client.tell(uid, "shout") == who.upper()
    with pytest.raises(Refusal, match="unknown command"):
        client.tell(uid, "nonsense")
    client("rm", uids=[uid])
    assert end_of(client, uid)["ladder"] == "rm"


def test_modules_of_the_kits_work_over_standard_input_and_output(client: Client) -> None:
    uid = client.add("well.py", colour="red")
    assert wait_for(client, uid, "args") == {"colour": "red"}
    large = "é" * 100_000
    assert client.tell(uid, "echo", text=large) == {"text": large}
    client("rm", uids=[uid])
    assert end_of(client, uid)["ladder"] == "rm"
    for name, parameter in (("countdown.mjs", "left"), ("ticker.sh", "ticks")):
        if shutil.which(TALKING[name][0]):
            uid = client.add(name, **({"seconds": 100} if "count" in name else {}))
            assert wait_for(client, uid, parameter)
            client("rm", uids=[uid])
            end = end_of(client, uid)
            assert (end["ladder"], end["exit_status"]) == ("rm", 0)


def test_one_on_standby_is_used(make_site: Callable[..., Site]) -> None:
    ahead = {"adapter": "stdio", "process": child("well"), "standby": 1}
    site = make_site(services=("queue",), settings={"queue": {"modules": {"ahead": ahead}}})
    client = Client(site.start(), "queue")

    def available() -> int:
        return client("standby_available")["ahead"]["available"]

    wait_until(available, "one is ready")
    uid = client.add("ahead", name="x")
    wait_until(lambda: client.parameters(uid).get("playing"), "it plays")
    wait_until(available, "the next one is ready")


def test_a_command_is_stopped_with_all_that_it_has_started(client: Client) -> None:
    uid = client.add("family")
    pids = [int(pid) for pid in wait_for(client, uid, "pids").split(",")]
    wait_until(lambda: client.parameters(uid).get("progress") == 0.99, "the last status is read")
    other = client.add("busy")
    client("mv", uids=[other])
    assert [state(pid) for pid in pids] == ["T", "T"]
    client("mv", uids=[uid])  # which stops one that is starting others all the time
    busy = [pid for pid in client.site.survivors() if b"sleep" in command_line(pid)]
    assert "T" not in [state(pid) for pid in pids]
    assert {state(pid) for pid in busy if pid not in pids} == {"T"}
    client("mv", uids=[other])
    client("rm", uids=[uid, other])
    assert end_of(client, uid)["ladder"] == "SIGTERM"
    assert not any(map(is_alive, pids))


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_one_that_reads_nothing_and_floods_its_output_holds_nobody_up(client: Client) -> None:
    uid = client.add("deaf")
    with pytest.raises(Refusal, match="did not answer `do_echo` within 1 s"):
        client.tell(uid, "echo", text="x" * 500_000)  # more than a pipe holds
    assert "did not answer" in end_of(client, uid)["reason"]


def test_programs_that_cannot_be_used_say_why(client: Client) -> None:
    words = "cannot be started: /no/such/program: No such file or directory"
    with pytest.raises(Refusal, match=words):
        client.add("no-program")
    with pytest.raises(
        Refusal, match=r"nor an update .other output belongs on standard error.: `Welcome`"
    ):
        client.add("talks too much")


@pytest.mark.parametrize("name", ["hello.py", "well.py", "countdown.mjs", "ticker.sh"])
def test_they_pass_the_check_of_modules(client: Client, folder: Path, name: str) -> None:
    if shutil.which(TALKING[name][0]) is None:
        pytest.skip(f"{TALKING[name][0]} is not installed")
    args = json.dumps({"seconds": 100} if "count" in name else {})
    checker = [sys.executable, "-m", "shmooze.check_module", "--stdio", "--json", "--args", args]
    quickly = ["--quiet", "0.05", "--watch", "0.2"]
    done = subprocess.run(
        [*checker, *quickly, *TALKING[name]],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**client.site.environ, "HERE": str(folder)},
        timeout=PATIENCE,
    )
    results = {each["check"]: each for each in json.loads(done.stdout)["checks"]}
    failed = [each for each in results.values() if each["result"] == "FAILED"]
    assert failed == []
    assert results["connects"]["got"] == "it uses standard input and output"
    assert results["play"]["result"] == "ok"
