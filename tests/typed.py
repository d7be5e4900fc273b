"""What the commands of a page are while its blocks run: `python -S typed.py NAME ARGUMENT…`.

tests/page_run.py puts them into PATH. `shmooze`, `shmz`, `python3` and `curl` do what they always
do, with what serves in the background, and with `UID` replaced by the uid of an item. Those that
would change the machine only check what they are told, and note that in the file `not-executed`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from clones import ROOT, cloned, with_free_ports
from page_notes import NOTES, fail, note
from typed_installs import git, pip, tokens_file, venv

#: Seconds for something to come up.
PATIENCE = 30.0

SERVICES = ("shmooze.wsgi", "shmooze.queue", "shmooze.pool")
UID = re.compile(r"\bUID\b")
#: Installers and others whose arguments are not looked at.
NOTED = (
    *("sudo", "apt-get", "systemctl", "journalctl", "loginctl", "useradd", "npm", "ssh", "scp"),
    *("crontab", "docker", "ps", "ss"),
)


def execute(argv: list[str]) -> NoReturn:
    os.execv(argv[0], argv)


# What serves.


def settings_file(named: str | None) -> Path:
    """The settings that a program uses which is told `named`, or nothing."""
    path = Path(named or os.environ.get("SHMOOZE_SETTINGS") or "settings.json")
    return path / "settings.json" if path.is_dir() else path


def ports_of(names: list[str] | None, named: str | None = None) -> list[int]:
    """The ports of these services, or of all that `shmooze run` runs."""
    values = json.loads(settings_file(named).read_text())
    ports = {name: port for name, port in values["ports"].items() if isinstance(port, int)}
    if names is None:
        names = [
            each
            for each in ports
            if each == "wsgi" or {"modules", "program"} & set(values.get(each, {}))
        ]
    return [ports[name] for name in names]


def listens(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def serve(argv: list[str], ports: list[int]) -> NoReturn:
    """Start a program in the background; end when it listens, or with its status if it ends.

    What has one of its ports is ended first, as its user would by Ctrl-C.
    """
    if any(map(listens, ports)):
        end_what_serves()
    number = len(list(NOTES.glob("served-*")))
    log = NOTES / f"served-{number}"
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    (NOTES / f"pid-{process.pid}").write_text(" ".join(sys.argv[1:]))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.stderr.write(log.read_text(errors="replace"))
            fail(f"ended with status {process.returncode}")
        is_there = all(map(listens, ports)) if ports else b"listening on" in log.read_bytes()
        if is_there:
            sys.exit(0)
        time.sleep(0.02)
    fail(f"does not listen:\n{log.read_text(errors='replace')}")


def end_what_serves() -> None:
    for file in NOTES.glob("pid-*"):
        pid = int(file.name.partition("-")[2])
        deadline = time.monotonic() + PATIENCE
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            os.kill(pid, signal.SIGTERM)
            time.sleep(0.1)
        file.unlink()


# Items.


def ask(url: str, command: str, **args: Any) -> Any:
    import urllib.request  # here, since it takes as long to load as most commands take

    body = json.dumps({"cmd": command, "args": args}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE) as answer:
        packet = json.load(answer)
    return packet["result"] if packet["success"] else None


def some_uid(url: str, ended: bool) -> str:
    """A living item of a service, which is added if there is none; or one that has ended."""
    living = ask(url, "queue") or ask(url, "pool") or []
    if ended:
        past = (ask(url, "history", limit=1) or {"items": []})["items"] or ask(url, "gone")
        if past:
            return str(past[0]["uid"])
    for each in reversed(living):
        if each["state"] in ("playing", "suspended", "waiting"):
            return str(each["uid"])
    for kind, args in {"countdown": {"seconds": 100_000}, "slide": {}}.items():
        if added := ask(url, "add", type=kind, args=args):
            if ended:
                ask(url, "rm", uids=[added["uid"]])
            return str(added["uid"])
    past = ask(url, "gone")
    if past:
        return str(past[-1]["uid"])  # of an application whose items are soon done
    sys.exit("there is no item for UID")


def with_uid(words: list[str], url: str, ended: bool = False) -> list[str]:
    if not any(UID.search(word) for word in words):
        return words
    uid = some_uid(url, ended)
    return [UID.sub(uid, word) for word in words]


def shmz(words: list[str]) -> NoReturn:
    """As shmz, but it waits for services that are coming up; and `watch` ends by itself."""
    endpoint = os.environ["SHMZ_ENDPOINT"]
    if "-e" in words[:1]:
        from urllib.parse import urljoin

        endpoint = urljoin(endpoint, words[1])
    is_past = bool({"requeue", "forget", "wait"} & set(words))
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            words = with_uid(words, endpoint, is_past)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    argv = [sys.executable, "-m", "shmooze.shmz", *words]
    if "watch" in words:
        until_something_is_shown(argv)
    while True:
        data = None if sys.stdin.isatty() or "-" not in words else sys.stdin.buffer.read()
        done = subprocess.run(argv, input=data, capture_output=True)
        if done.returncode != 3 or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    sys.stdout.buffer.write(done.stdout)
    sys.stderr.buffer.write(done.stderr)
    sys.exit(done.returncode)


def until_something_is_shown(argv: list[str]) -> NoReturn:
    """Run a program that goes on for ever until its first line, and end it with Ctrl-C."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline()
    sys.stdout.buffer.write(line)
    process.send_signal(signal.SIGINT)
    status = process.wait(PATIENCE)
    sys.exit(status if line else status or 1)


def curl(words: list[str]) -> NoReturn:
    """As curl, but a failure packet or a status from 400 up is a failure."""
    import shutil

    path = os.environ["PAGE_PATH"]
    program = shutil.which("curl", path=path)
    if program is None:
        fail("curl is not installed")
    words = with_uid(words, os.environ["SHMZ_ENDPOINT"])
    argv = [program, "--silent", "--show-error", "--noproxy", "*", "--fail-with-body", *words]
    if any(re.search(r"/events$|/output/", word) for word in words):
        until_something_is_shown([*argv, "--no-buffer"])
    retry = ["--retry", "20", "--retry-delay", "1", "--retry-connrefused", "--max-time", "60"]
    done = subprocess.run([*argv, *retry], stdout=subprocess.PIPE)
    sys.stdout.buffer.write(done.stdout)
    if done.stdout.startswith(b'{"success":false'):
        sys.exit(22)
    sys.exit(done.returncode)


# Python and what installs things.


def python(words: list[str]) -> NoReturn:
    argv = [sys.executable, *words]
    if (NOTES / "defaults.json").exists():
        os.environ.setdefault("SHMOOZE_SETTINGS", str(NOTES / "defaults.json"))
    if words[:1] == ["-m"] and words[1] in SERVICES and "--check" not in words:
        name = words[2] if len(words) > 2 else words[1].rpartition(".")[2]
        serve(argv, ports_of([name]))
    if words[:2] == ["-m", "shmooze.tokens"] and "--file" not in words:
        file = tokens_file()
        execute([*argv[:3], "--file", str(file), *argv[3:]])
    if words[:2] == ["-m", "venv"]:
        venv(Path(words[-1]))
    if words[:2] == ["-m", "pip"]:
        pip(words[2:])
    if words and words[0].endswith(".py") and "serve_forever(" in Path(words[0]).read_text():
        serve(argv, [])
    execute(argv)


def shmooze(words: list[str]) -> NoReturn:
    argv = [sys.executable, "-m", "shmooze", *words]
    if words[:1] == ["new"]:
        done = subprocess.run(argv)
        with_free_ports(Path(words[-1]) / "settings.json", NOTES)
        sys.exit(done.returncode)
    if words[:1] != ["run"] or "--help" in words:
        execute(argv)
    named = [
        word
        for before, word in itertools.pairwise(words)
        if not word.startswith("-") and before != "--directory"
    ]
    serve(argv, ports_of(None, named[0] if named else None))


def script(words: list[str]) -> NoReturn:
    """A script of the clone. shmz is run, beside the example application, which is started for it;
    of others it is only checked that they are there.
    """
    file = ROOT / "scripts" / words[0]
    if not os.access(file, os.X_OK):
        fail(f"there is no script {file.name}")
    if words[0] == "shmz":
        if not (NOTES / "example-runs").exists():
            subprocess.run([sys.executable, __file__, "script", "run_shmooze.sh"], check=True)
        shmz(words[1:])
    if words[0] == "run_shmooze.sh":
        (NOTES / "example-runs").touch()
        example = cloned(NOTES) / "examples" / "settings.json"
        state = Path(json.loads(example.read_text())["state_path"]).expanduser()
        state.parent.mkdir(parents=True, exist_ok=True)
        shmooze(["run", str(example)])
    note("scripts/" + words[0], *words[1:])
    sys.exit(0)


COMMANDS = {
    "shmz": shmz,
    "shmooze": shmooze,
    "python": python,
    "python3": python,
    "pip": pip,
    "curl": curl,
    "git": git,
    "script": script,
}

if __name__ == "__main__":
    command, *words = sys.argv[1:]
    if command in COMMANDS:
        COMMANDS[command](words)
    note(command, *words)
