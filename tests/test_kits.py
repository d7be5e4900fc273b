"""The kits for modules in other languages, under a real queue."""

from __future__ import annotations

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

import pytest
from support import PATIENCE, ROOT, Client, Refusal, Site, wait_until

KITS = ROOT / "examples" / "modules"

#: One module, written with each kit.
IN_SH = r"""
. "$(dirname "$0")/shmooze.sh"
title='Sam "the" \ module'
label='{name}'
parameters='{"count":{"type":"integer"}}'
args_init='name:str count:int=0 every:float=100 loud:bool=false more:json=null'
on_restore() { saved=$state; }
on_init() {
    count=${saved:-$count}
    set_parameters name "$(json "$name")" count "$count" loud "$loud" more "$more" pid $$
}
on_play() { set_parameters plays true; }
on_suspend() { set_parameters plays false; }
args_do_add='count:int'
help_do_add='Add to the count.'
do_add() {
    [ "$count" != 0 ] || { refuse "nothing to add"; return; }
    total=$((${total:-0} + count)) result=$total
    set_parameters count "$total"
    save "$total"
}
do_forget() { unset_parameters loud more; }
do_give_up() { fail 'no "sound" \ card'; }
do_break() { nonsense 2>/dev/null; }
work() { sleep "$every"; [ "$name" != job ] || give_result "{\"count\":$count}"; }
serve "$@"
"""
IN_NODE = r"""
import { Module } from "./shmooze.mjs";

class Sam extends Module {
  static description = {
    title: 'Sam "the" \\ module',
    label: "{name}",
    args: {
      properties: {
        name: { type: "string" },
        count: { type: "integer", default: 0 },
        every: { type: "number", default: 100 },
        loud: { type: "boolean", default: false },
        more: { default: null },
        pin: { enum: ["x"], writeOnly: true },
      },
      required: ["name"],
    },
    commands: {
      add: {
        description: "Add to the count.",
        args: { properties: { count: { type: "integer" } }, required: ["count"] },
      },
      forget: {},
      give_up: {},
      break: {},
    },
    parameters: { count: { type: "integer" } },
  };
  total = 0;
  restore({ state }) { this.saved = state; }
  finish() {
    if (this.name === "job") this.result({ count: this.count });
    else this.leave();
  }
  init({ name, count, every, loud, more }) {
    Object.assign(this, { name, count, every });
    this.setParameters({ name, count: this.saved ?? count, loud, more, pid: process.pid });
  }
  play() {
    this.setParameters({ plays: true });
    this.timer ??= setTimeout(() => this.finish(), this.every * 1000);
  }
  async suspend() { this.setParameters({ plays: false }); }
  do_add({ count }) {
    if (count === 0) throw new Error("nothing to add");
    this.total += count;
    this.setParameters({ count: this.total });
    this.save(this.total);
    return this.total;
  }
  do_forget() { this.unsetParameters(["loud", "more"]); }
  do_give_up() { this.fail('no "sound" \\ card'); }
  do_break() { this.nonsense(); }
}
Sam.run();
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kits")
    for name in ("shmooze.sh", "shmooze.mjs", "shmooze.d.mts"):
        shutil.copy(KITS / name, folder)
    (folder / "sam.sh").write_text(IN_SH)
    (folder / "sam.mjs").write_text(IN_NODE)
    return folder


PROGRAMS = {"sh": ["sh", "sam.sh"], "node": ["node", "sam.mjs"]}


@pytest.fixture(scope="module")
def running(make_shared_site: Callable[..., Site], folder: Path) -> Iterator[Client]:
    modules = {
        name: {
            "process": [program, str(folder / file)],
            "restart": "on-failure",
            "restart_delay": 0.01,
        }
        for name, (program, file) in PROGRAMS.items()
    }
    site = make_shared_site(services=("queue",), settings={"queue": {"modules": modules}})
    yield Client(site.start(), "queue")


@pytest.fixture(params=PROGRAMS)
def kind(request: pytest.FixtureRequest) -> str:
    if shutil.which(PROGRAMS[request.param][0]) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


NAME = 'it\'s "q" \\ $(id) `id` é\n\t\x01 \u2028 😀 /'


@pytest.mark.slow
def test_a_module_of_each_kit_plays_and_pauses_and_takes_commands(
    client: Client, kind: str
) -> None:
    uid = client.add(kind, name=NAME, more={"a": [1, '}"', {}]}, loud=True)
    shown = wait_until(
        lambda: "plays" in client.parameters(uid) and client.parameters(uid), "plays"
    )
    assert shown.pop("pid") > 0
    assert shown == {
        "name": NAME,
        "count": 0,
        "loud": True,
        "more": {"a": [1, '}"', {}]},
        "plays": True,
    }
    other = client.add(kind, name="other")
    client("mv", uids=[other])
    wait_until(lambda: not client.parameters(uid)["plays"], "it pauses")
    assert client.tell(uid, "add", count=2) == 2
    assert client.tell(uid, "add", count=3.0) == 5  # for JSON Schema an integer, too
    client.tell(uid, "forget")
    wait_until(lambda: not {"loud", "more"} & client.parameters(uid).keys(), "they are removed")


@pytest.mark.slow
def test_wrong_arguments_are_refused_in_the_same_words_by_each_kit(
    client: Client, kind: str
) -> None:
    for args, words in (
        ({}, "argument `name` is missing"),
        ({"name": "x", "nme": 1}, "unknown argument `nme`; known: `name`, `count`, `every`, "),
        ({"name": 1}, "argument `name`: expected `str`, got `int`"),
        ({"name": "x", "count": 1.5}, "argument `count`: expected `int`, got `float`"),
        ({"name": "x", "every": "1"}, "argument `every`: expected `float`, got `str`"),
        ({"name": "x", "loud": None}, "argument `loud`: expected `bool`, got `null`"),
    ):
        with pytest.raises(Refusal, match=re.escape(f"{kind} refused `init`: {words}")):
            client.add(kind, **args)
    uid = client.add(kind, name="x")
    for command, args, words in (
        ("add", {}, "add: argument `count` is missing"),
        ("add", {"count": []}, "add: argument `count`: expected `int`, got `array`"),
        ("add", {"count": 0}, "nothing to add"),
        ("dance", {}, "unknown command `dance`; known: `add`, `forget`, `give_up`, `break`"),
        ("break", {}, "break: internal error; see the output of the module"),
    ):
        with pytest.raises(Refusal, match=f"^{re.escape(words)}$"):
            client.tell(uid, command, **args)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["node"], indirect=True)
def test_refusal_of_a_secret_does_not_show_it(client: Client, kind: str) -> None:
    with pytest.raises(Refusal, match=r'argument `pin`: must be one of "x"$'):
        client.add(kind, name="x", pin="1234")


@pytest.mark.slow
def test_a_module_of_each_kit_that_crashes_goes_on_where_it_was(client: Client, kind: str) -> None:
    uid = client.add(kind, name="x")
    client.tell(uid, "add", count=7)
    pid = wait_until(lambda: client.parameters(uid).get("pid"), "it says its pid")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: client.parameters(uid).get("pid") not in (pid, None), "it is back")
    assert client.parameters(uid)["count"] == 7


@pytest.mark.slow
def test_a_module_of_each_kit_leaves_or_fails_and_says_why(client: Client, kind: str) -> None:
    leaving = client.add(kind, name="x", every=0.01)
    wait_until(lambda: client.uids() == [], "it leaves")
    failing = client.add(kind, name="x")
    client.tell(failing, "give_up")

    def reasons() -> dict[str, str]:
        return {each["uid"]: each["reason"] for each in client("gone")}

    wait_until(lambda: {leaving, failing} <= reasons().keys(), "both are gone")
    assert reasons()[leaving] == "left by itself"
    assert reasons()[failing] == 'failed: no "sound" \\ card'
    client("rm", uids=[failing])  # it is started again

    job = client.add(kind, name="job", every=0.01, count=3)
    while (end := client("wait", uid=job)) is None:
        pass  # it answers after a while in any case
    assert end["result"] == {"count": 3}


@pytest.mark.slow
def test_modules_of_both_kits_describe_themselves_alike(folder: Path) -> None:
    described = {}
    for name, (program, file) in PROGRAMS.items():
        if shutil.which(program):
            done = subprocess.run([program, folder / file, "--describe"], capture_output=True)
            assert (done.returncode, done.stderr) == (0, b"")
            described[name] = json.loads(done.stdout)
    for each in described.values():
        assert each["title"] == 'Sam "the" \\ module'
        assert each["label"] == "{name}"
        assert each["args"]["required"] == ["name"]
        assert each["args"]["properties"]["every"] == {"type": "number", "default": 100}
        assert each["commands"].keys() == {"add", "forget", "give_up", "break"}
        assert each["commands"]["add"]["description"] == "Add to the count."
        assert each["commands"]["add"]["args"]["required"] == ["count"]
        assert each["parameters"] == {"count": {"type": "integer"}}


@pytest.mark.slow
@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_module_that_is_started_by_hand_says_what_is_missing(folder: Path, kind: str) -> None:
    program, file = PROGRAMS[kind]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([program, folder / file], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "this is a shmooze module" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("connecter", ["bash", "perl", "python3"])
def test_sh_connects_by_whatever_can_open_a_connection(
    connecter: str, tmp_path: Path, folder: Path
) -> None:
    """Each of these may be missing on some system."""
    for name in ("sh", "awk", "sleep", "sed", "tr", "dirname", connecter):
        path = sys.executable if name == "python3" else shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed")
        (tmp_path / name).symlink_to(os.path.realpath(path))
    program = ["env", f"PATH={tmp_path}", "sh", str(folder / "sam.sh")]
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    for each in servers:
        each.settimeout(PATIENCE)
    ports = [str(each.getsockname()[1]) for each in servers]
    module = subprocess.Popen([*program, "127.0.0.1", *ports], start_new_session=True)
    try:
        streams = [each.accept()[0] for each in servers]
        streams[0].sendall(b'{"cmd":"do_nothing"}\n')
        assert b"unknown command" in streams[0].recv(1 << 12)
        for each in streams:
            each.close()
        assert module.wait(PATIENCE) == 0
    finally:
        module.kill()
        module.wait()
        for each in servers:
            each.close()


RIGHT = """
import { Module } from "./shmooze.mjs";
class Right extends Module<{ seconds: number }, { left: number }, number[]> {
  static description = { args: { properties: { seconds: { type: "number" } } }, "x-mine": 1 };
  restore({ state }: { state: number[] }) { state.map((each) => each + 1); }
  init({ seconds }: { seconds: number }) { this.setParameters({ left: seconds }); }
  async do_add({ seconds }: { seconds: number }) { this.save([seconds]); return seconds; }
}
Right.run();
"""
WRONG = """import { Module } from "./shmooze.mjs";
class Wrong extends Module<{ seconds: number }, { left: number }, number> {
  play() { this.setParameters({ left: "long" }); }
  suspend() { this.unsetParameters(["right"]); }
  rm() { this.save("here"); this.leave(1); }
}
Wrong.run(1);
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tsc") is None, reason="tsc is not installed")
def test_typescript_accepts_correct_use_of_the_kit_and_rejects_mistakes(folder: Path) -> None:
    (folder / "right.mts").write_text(RIGHT)
    (folder / "wrong.mts").write_text(WRONG)
    options = ["--strict", "--noEmit", "--target", "es2022", "--module", "node16"]
    options += ["--lib", "es2022"]  # without pages, which take most of the time
    command = ["tsc", *options, "right.mts", "wrong.mts"]
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE)
    assert re.findall(r"^(\w+)\.mts\((\d+)", done.stdout, re.MULTILINE) == [
        ("wrong", line) for line in "34557"
    ], done.stdout
