"""Types whose program is loaded once: each item is a process that is forked from a template."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import CHILDREN, Client, Refusal, Site, child, is_alive, parent_of, wait_until

from shmooze.broker.catalog import by_type
from shmooze.errors import SettingsError
from shmooze.modules import Module
from shmooze.runtime.python_command import parse


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("python3 a.py x", (["python3"], ["a.py"], ["x"])),
        ("/usr/bin/python3.12 -S -u a.py", (["/usr/bin/python3.12", "-S", "-u"], ["a.py"], [])),
        ("python -W error -Xdev a.py -v", (["python", "-W", "error", "-Xdev"], ["a.py"], ["-v"])),
        ("python -m a.b x", (["python"], ["-m", "a.b"], ["x"])),
        ("python -Sma.b x", (["python", "-S"], ["-m", "a.b"], ["x"])),
        ("python -c pass", None),
        ("python -", None),
        ("python", None),
        ("python -m", None),
        ("python --version", None),
        ("env python a.py", None),
        ("./a.py", None),
    ],
)
def test_a_command_line_is_interpreter_program_and_arguments(line: str, parts: Any) -> None:
    command = parse(line.split())
    assert command == parts or (command is not None and tuple(command) == parts)


def test_a_type_that_is_no_python_program_is_refused() -> None:
    class Shell(Module):
        TYPE_STRING = "shell"
        process = ("sh", "a.sh")
        preload = True

    with pytest.raises(SettingsError, match="`preload` needs a `process` that runs a file or -m"):
        by_type([Shell])


#: Programs that cannot be preloaded, and the reason that the log has.
UNFIT = {
    "threads": ("import threading, time\nthreading.Thread(target=time.sleep, args=[9], daemon=True)"
    ".start()\nif __name__ == '__main__':\n    pass\n", "it starts a thread while it is loaded"),
    "unguarded": ("", 'it has no `if __name__ == "__main__":`'),
    "faulty": ("1 / 0\nif __name__ == '__main__':\n    pass\n",
    "it fails while it is loaded: ZeroDivisionError: division by zero"),
    "ending": ("if __name__ == 'main':\n    pass\nraise SystemExit(0)\n"
    "if __name__ == '__main__':\n    pass\n", "it ends while it is loaded"),
}  # fmt: skip


@pytest.fixture(scope="module")
def running(make_shared_site: Callable[..., Site]) -> Iterator[Client]:
    program = child("preloaded", "first", "second")
    types: dict[str, Any] = {
        "cold": {"process": program},
        "tcp": {"process": program, "preload": True},
        "stdio": {"process": program, "preload": True, "adapter": "stdio"},
        "cold-stdio": {"process": program, "adapter": "stdio"},
        "mortal": {"process": program, "preload": True},
        "module": {
            "process": [sys.executable, "-S", "-m", "preloaded", "first", "second"],
            "preload": True,
            "cwd": str(CHILDREN),
        },
    }
    for name, described in types.items():
        variable = name.replace("-", "_")
        described |= {"environment": {"NAME": variable, "COLOUR": "red"}}
    types |= {
        name: {"process": [sys.executable, "-S", f"$HERE/{name}.py"], "preload": True}
        for name in UNFIT
    }
    site = make_shared_site(services=("pool",))
    for name, (text, _) in UNFIT.items():
        (site.folder / f"{name}.py").write_text(text)
        types[name]["process"][-1] = str(site.folder / f"{name}.py")
    for name in types:
        (site.folder / f"extra_{name.replace('-', '_')}.py").write_text("VERSION = 1\n")
    site.settings["pool"] = {"modules": types}
    site.settings_file.write_text(json.dumps(site.settings))
    client = Client(site.start(), "pool")
    for name in ("tcp", "stdio", "mortal", "module"):
        _wait_for_template(client, name)
    yield client


def _loads(pool: Client, kind: str) -> list[int]:
    file = pool.site.folder / f"loaded-{kind.replace('-', '_')}"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def _ask(pool: Client, kind: str, cmd: str, **args: Any) -> Any:
    uid = pool.add(kind)
    try:
        return pool.tell(uid, cmd, **args)
    finally:
        pool("rm", uids=[uid])


def _wait_for_template(pool: Client, kind: str) -> None:
    """Wait until a new process has not loaded the program itself."""
    wait_until(lambda: _ask(pool, kind, "pid") not in _loads(pool, kind), f"{kind} is forked")


@pytest.mark.parametrize(("forked", "started"), [("tcp", "cold"), ("stdio", "cold-stdio")])
def test_a_forked_process_is_like_one_that_was_started(
    running: Client, forked: str, started: str
) -> None:
    facts = _ask(running, forked, "facts")
    assert facts == _ask(running, started, "facts")
    assert facts["is marked"]
    assert facts["parent-death signal"] == signal.SIGKILL
    assert facts["parent"] == running.service


def test_a_module_that_is_found_by_name_is_loaded_once_too(running: Client) -> None:
    facts = _ask(running, "module", "facts")
    assert facts["main"][0] == "__main__"
    assert facts["arguments"][:2] == ["first", "second"]
    assert facts["folder"] == str(CHILDREN)


def test_the_program_is_loaded_once_for_all(running: Client) -> None:
    before = _loads(running, "tcp")
    uids = [running.add("tcp") for _ in range(3)]
    assert len({running.tell(uid, "pid") for uid in uids}) == 3
    running("rm", uids=uids)
    assert _loads(running, "tcp") == before


@pytest.mark.parametrize("kind", ["tcp", "stdio"])
def test_the_service_knows_how_a_forked_process_has_ended(running: Client, kind: str) -> None:
    uids = [running.add(kind), running.add(kind)]
    with pytest.raises(Refusal):
        running.tell(uids[0], "exit", status=3)
    pid = running.tell(uids[1], "pid")
    os.kill(pid, signal.SIGKILL)
    reasons: dict[str, str] = {}

    def both_are_gone() -> bool:
        reasons.update({end["uid"]: end["reason"] for end in running("gone")})
        return set(uids) <= reasons.keys()

    wait_until(both_are_gone, "both are gone")
    assert [reasons[uid] for uid in uids] == ["exited with status 3", "killed by SIGKILL"]
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "it is reaped")


def test_what_is_added_after_a_file_has_changed_has_the_new_code(running: Client) -> None:
    assert _ask(running, "tcp", "version") == 1
    (running.site.folder / "extra_tcp.py").write_text("VERSION = 1 + 1\n")
    assert _ask(running, "tcp", "version") == 2
    _wait_for_template(running, "tcp")
    assert _ask(running, "tcp", "version") == 2


def test_a_template_that_dies_is_replaced_and_ends_no_module(running: Client) -> None:
    uid = running.add("mortal")
    pid = running.tell(uid, "pid")
    template = next(each for each in _loads(running, "mortal") if is_alive(each))
    assert parent_of(template) == parent_of(pid) == running.service
    os.kill(template, signal.SIGKILL)
    assert _ask(running, "mortal", "pid")
    _wait_for_template(running, "mortal")
    assert running.tell(uid, "pid") == pid
    running("rm", uids=[uid])


@pytest.mark.parametrize("kind", UNFIT)
def test_a_program_that_cannot_be_preloaded_is_named_in_the_log(running: Client, kind: str) -> None:
    line = f"{kind}: each process loads the program itself, in spite of `preload`: "
    wait_until(lambda: line in running.site.log("pool"), "the log says so")
    assert line + UNFIT[kind][1] in running.site.log("pool")
    with pytest.raises(Refusal):  # as one that was started
        running.add(kind)
    assert running.site.log("pool").count(line) == 1


def test_templates_end_with_the_service(make_site: Callable[..., Site]) -> None:
    types = {"pre": {"process": child("several"), "preload": True}}
    site = make_site(services=("pool",), settings={"pool": {"modules": types}}).start()
    # Service, guardian, template, and what that forks ahead once it is loaded.
    wait_until(lambda: len(site.survivors()) == 4, "there is a template")
    assert site.stop() == {"pool": 0}
    assert site.survivors() == []
