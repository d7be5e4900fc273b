"""The page on troubleshooting: each message that it quotes is one that shmooze prints."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from howto import BIN, Guide, type_command
from support import CHILDREN, ROOT, Site, free_ports, http, refusals

from shmooze.state.file import StateFile

pytestmark = pytest.mark.slow

PAGE = Guide("troubleshooting")
QUICK = {"process": ["bash", str(CHILDREN / "quick.sh")]}
#: Connects both streams and reads nothing, or sends something that is no packet.
DEAF = """
import socket, sys, time
host, *ports = sys.argv[-3:]
streams = [socket.create_connection((host, int(port))) for port in ports]
if sys.argv[1] == "rude":
    streams[0].send(b"hello\\n")
time.sleep(1000)
"""
POOL = {
    "has": {"gpu": 1},
    "slots": 9,
    "modules": {
        "quick": QUICK,
        "train": {**QUICK, "needs": {"gpu": 1}},
        "convert": {**QUICK, "max_playing": 1},
        "missing": {"process": ["nosuchprogram"]},
        "absent": {"process": ["python3", "absent.py"]},
        "mute": {"process": ["sh", "-c", "sleep 1000"], "connect_timeout": 0.2},
        "deaf": {"process": ["python3", "-c", DEAF, "deaf"], "command_timeout": 0.2},
        "rude": {"process": ["python3", "-c", DEAF, "rude"]},
    },
}
#: Messages that would need a broken disk or machine: their words in the sources.
FROM_SOURCES = {
    "state file …: cannot be written: the disk is full": "state file %s: cannot be written: %s",
    "state file …: can be written again": "state file %s: can be written again",
    "log …: cannot be written, rows are kept in memory: …": (
        "log %s: cannot be written, rows are kept in memory: %s"
    ),
    "log …: written again; … rows were lost": "log %s: written again; %d rows were lost",
    "… is still there after SIGKILL: …": "%r is still there after SIGKILL: %s",
    "… survived SIGKILL, giving up: …": "%r survived SIGKILL, giving up: %s",
    "queue: ended … processes that an earlier crash had left": (
        "%s: ended %d processes that an earlier crash had left"
    ),
    "service '…' cannot be reached": "service {self.name!r} cannot be reached",
    "service '…' closed the connection without answering": (
        "service {self.name!r} closed the connection without answering"
    ),
    "service '…' did not answer in time": "service {self.name!r} did not answer in time",
    "limit reached (… waiting items for each user)": (
        "limit reached ({self._waiting} waiting items for each user)"
    ),
    "ERROR queue cannot be run: it has ended with status 2": "%s cannot be run: it %s",
}


def quoted() -> list[str]:
    """The messages in the `text` blocks of the page."""
    return [line for block in PAGE.blocks("text") for line in block.splitlines()]


def pattern_of(message: str) -> re.Pattern[str]:
    """What fits a message, whatever stands in place of `…`."""
    return re.compile(".*".join(map(re.escape, message.split("…"))))


class Said:
    """Everything that an application with many faults has answered and logged."""

    def __init__(self, site: Site) -> None:
        self.site, self.lines = site, list[str]()

    def token(self, *arguments: str) -> dict[str, str]:
        """The header with a new token."""
        done = type_command(
            f"python -m shmooze.tokens add {' '.join(arguments)}",
            self.site.folder,
            self.site.environ,
        )
        return {"Authorization": f"Bearer {done.text.split()[0]}"}

    def ask(self, service: str, cmd: str, headers: dict[str, str], **args: Any) -> Any:
        reply = self.site.post(service, {"cmd": cmd, "args": args}, headers=headers)
        self.lines.append(str(reply.json.get("error")))
        return reply.json


def provoke_answers(said: Said) -> None:
    """Make gateway and pool refuse and fail in all ways that need no more than requests."""
    site, ada, lobby = said.site, said.token("ada"), said.token("lobby", "--role read")
    guest = said.token("guest", "--scope add --scope service:queue")
    site.start()
    said.ask("pool", "pool", {})
    said.ask("pool", "pool", {"Authorization": "Bearer wrong"})
    said.ask("pool", "add", lobby, type="quick")
    said.ask("pool", "pool", guest)
    said.ask("pool", "pool", {**ada, "Host": "evil.example"})
    said.ask("pool", "pool", {**ada, "Origin": "https://evil.example"})
    said.ask("pol", "pool", ada)
    for type in ("missing", "absent", "mute", "deaf", "rude", "nosuch"):
        said.ask("pool", "add", ada, type=type)
    for type in ("train", "train", "convert", "convert"):
        assert said.ask("pool", "add", ada, type=type)["success"]
    shown = said.ask("pool", "pool", ada)["result"]
    said.lines += [each["waits"] for each in shown if "waits" in each]
    for _ in range(2):
        said.ask("pool", "add", ada, type="quick")
        said.ask("queue", "add", ada, type="quick")
    said.lines.append(http(f"{site.url}nothing", headers=ada).json["error"])
    site.stop("pool")
    said.ask("pool", "pool", ada)
    Path(site.settings["tokens_path"]).chmod(0o644)
    said.ask("queue", "queue", {"Authorization": "Bearer another"})


def provoke_refusals(said: Said, folder: Path) -> None:
    """Make services refuse to start, all at the same time."""
    port, other = free_ports(2)
    settings = {"ports": {"queue": port, "wsgi": other}, "queue": {"modules": {"quick": QUICK}}}
    foreign, used = folder / "foreign.db", folder / "used.db"
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
            "c.execute('CREATE TABLE t (a)')",
            foreign,
        ],
        check=True,
    )
    tokens = folder / "open.json"
    tokens.write_text("{}")
    tokens.chmod(0o644)
    files = {
        "ports": settings,
        "timeout": {**settings, "wsgi_timeout": "60"},
        "no_tokens": {**settings, "tokens_path": str(folder / "none.json")},
        "open_tokens": {**settings, "tokens_path": str(tokens)},
        "no_folder": {**settings, "state_path": str(folder / "none/state.db")},
        "foreign": {**settings, "state_path": str(foreign)},
        "used": {**settings, "state_path": str(used)},
    }
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    (folder / "broken.json").write_text("{")

    def refuse(name: str) -> list[str]:
        program = "wsgi" if name == "timeout" else "queue"
        argv = [str(BIN / "python"), "-m", f"shmooze.{program}"]
        return refusals(argv, settings_file=folder / f"{name}.json")

    file = StateFile(used)
    file.open("queue")
    try:
        with socket.create_server(("127.0.0.1", port)), ThreadPoolExecutor(3) as threads:
            for lines in threads.map(refuse, (*files, "broken")):
                said.lines += lines
    finally:
        file.close()


@pytest.fixture(scope="module")
def said(
    make_shared_site: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Said]:
    folder = tmp_path_factory.mktemp("messages")
    settings = {
        "public": ["name"],
        "static_path": "/nowhere",
        "alowed_hosts": [],
        "tokens_path": str(folder / "tokens.json"),
        "pool": {**POOL, "max_modules": 5},
        "queue": {"modules": {"quick": QUICK}, "max_adds_per_minute": 1},
    }
    yield Said(make_shared_site(settings=settings))


def test_each_message_of_the_page_is_printed(said: Said, tmp_path: Path) -> None:
    provoke_answers(said)
    provoke_refusals(said, tmp_path)
    said.lines += said.site.log("wsgi").splitlines() + said.site.log("pool").splitlines()
    elsewhere = {**said.site.environ, "SHMZ_ENDPOINT": f"http://localhost:{free_ports(1)[0]}/queue"}
    said.lines.append(type_command("shmz queue", tmp_path, elsewhere).text)
    messages = [message for message in quoted() if message not in FROM_SOURCES]
    missing = [each for each in messages if not any(map(pattern_of(each).search, said.lines))]
    assert missing == [], "\n".join(said.lines)


def test_messages_that_are_not_provoked_are_in_the_sources() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "shmooze").rglob("*.py"))
    assert FROM_SOURCES.keys() <= {*quoted()}
    for words in FROM_SOURCES.values():
        assert words in sources
    section = PAGE.text.partition("## The state file")[2].partition("\n## ")[0]
    reasons = re.findall(r"^\| `([^`]+)` \|", section, re.M)
    assert len(reasons) == 8
    assert [each for each in reasons if each not in sources] == []


def test_list_of_symptoms_leads_to_each_section() -> None:
    headings = re.findall(r"^## (.+)$", PAGE.text, re.M)
    targets = re.findall(r"^- \[[^\]]+\]\(#([\w-]+)\)$", PAGE.text, re.M)
    assert targets == [heading.lower().replace(" ", "-") for heading in headings]


def test_check_module_works_as_the_page_shows_it() -> None:
    (command,) = PAGE.commands("python -m shmooze.check_module")
    done = type_command(command, ROOT / "examples" / "modules", os.environ)
    assert done.status == 0, done.text
    assert "FAILED" not in done.text
