"""The page on troubleshooting: each message that it quotes is one that shmooze prints."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from howto import Guide, type_command
from support import CHILDREN, ROOT, Site, free_ports, http, refusals

from shmooze.access.token_file import TokenFile
from shmooze.errors import SettingsError
from shmooze.gateway.gateway import Gateway
from shmooze.settings import Settings
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
    return [line for block in PAGE.texts("text") for line in block.splitlines()]


def pattern_of(message: str) -> re.Pattern[str]:
    """What fits a message, whatever stands in place of `…`."""
    return re.compile(".*".join(map(re.escape, message.split("…"))))


class Said:
    """Everything that an application with many faults has answered and logged."""

    def __init__(self, site: Site) -> None:
        self.site, self.lines = site, list[str]()

    def token(self, name: str, role: str | None = None, *scopes: str) -> dict[str, str]:
        """The header with a new token."""
        file = TokenFile(self.site.settings["tokens_path"])
        return {"Authorization": f"Bearer {file.add(name, role, scopes)}"}

    def ask(self, service: str, cmd: str, headers: dict[str, str], **args: Any) -> Any:
        reply = self.site.post(service, {"cmd": cmd, "args": args}, headers=headers)
        self.lines.append(str(reply.json.get("error")))
        return reply.json


def provoke_answers(said: Said) -> None:
    """Make gateway and pool refuse and fail in all ways that need no more than requests."""
    site, ada, lobby = said.site, said.token("ada", "control"), said.token("lobby", "read")
    guest = said.token("guest", None, "add", "service:queue")
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
    """Make programs refuse to start; most in this process, which is faster."""
    (port,) = free_ports(1)
    broken, good = folder / "broken.json", folder / "good.json"
    broken.write_text("{")
    good.write_text(json.dumps({"ports": {"queue": port}, "queue": {"modules": {"quick": QUICK}}}))
    argv = [sys.executable, "-m", "shmooze.queue"]
    said.lines += refusals(argv, settings_file=broken)
    with socket.create_server(("127.0.0.1", port)):
        said.lines += refusals(argv, settings_file=good)
    foreign, used, tokens = folder / "foreign.db", folder / "used.db", folder / "open.json"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE a (b)")
    tokens.write_text("{}")
    tokens.chmod(0o644)
    wrong = folder / "wrong.json"
    wrong.write_text(json.dumps({"ports": {"wsgi": port}, "wsgi_timeout": "60"}))
    file = StateFile(used)
    file.open("queue")
    refusing: list[Callable[[], Any]] = [
        lambda: Gateway(Settings.load({"SHMOOZE_SETTINGS": str(wrong)})),
        lambda: TokenFile(str(folder / "none.json")).load(),
        lambda: TokenFile(str(tokens)).load(),
        lambda: StateFile(folder / "none" / "state.db").open("queue"),
        lambda: StateFile(foreign).open("queue"),
        lambda: StateFile(used).open("queue"),
    ]
    for refuse in refusing:
        with pytest.raises(SettingsError) as refusal:
            refuse()
        said.lines.append(f"shmooze: {refusal.value}")
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
    command = command.replace("check_module", "check_module --quiet 0.1 --watch 0.5")
    done = type_command(command, ROOT / "examples" / "modules", os.environ)
    assert done.status == 0, done.text
    assert "FAILED" not in done.text
