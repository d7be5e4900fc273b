"""Runs the blocks of a page of the documentation, in the order in which it shows them."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import wave
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shown_packets
import shown_settings
import shown_syntax
import typed
from snippets import Block, Page
from support import PATIENCE, ROOT, Client, Site, free_ports, wait_until

#: Ports that a page has in mind if its settings name none.
USUAL_PORTS = ("8080", "5580", "5590")
_PORTS = re.compile(r'"[\w.-]+": *"?(?:[\w.]+:)?(\d{4,5})"?')
_IN_URLS = re.compile(r"(?:localhost|127\.0\.0\.1):(\d{4,5})\b")


#: How programs of ours, and a shell, say what they lack of what a machine may do without.
_NOT_INSTALLED = re.compile(
    r"[\w.-]+ is not installed|\b(sqlite3|openssl|ffmpeg|mpv|jq): (command )?not found"
)
_STARTS = re.compile(
    r"^(\w+=\S+ )*(shmooze run|python3? -m shmooze\.(wsgi|queue|pool)|scripts/(run_shmooze|shmz))",
    re.MULTILINE,
)


#: Folders of the system, which are made below the folder of the page.
_SYSTEM_PATHS = re.compile(r"(?<![\w.])(/(?:etc|opt|srv|var/lib|var/log|var/backups)/[\w./-]+)")


def _starts_application(page: Page) -> bool:
    """Whether a page has an application of its own, which its commands start."""
    lines = "".join(block.text for block in page.shown("sh"))
    for block in page.shown("console"):
        lines += "".join(command for command, _ in session(block.text))
    shows_settings = any('"ports"' in each.text and not each.is_output for each in page.blocks)
    makes_one = re.search("shmooze new|scripts/(run_shmooze|shmz)", lines) is not None
    serves = any("serve_forever" in text for text in page.files.values())
    return serves or (bool(_STARTS.search(lines)) and (shows_settings or makes_one))


class Failed(AssertionError):
    """A block of a page is wrong."""


def ports_on(page: Page) -> list[str]:
    """The numbers of all ports that a page names, which this machine may have other programs on."""
    found = set(USUAL_PORTS)
    for block in page.blocks:
        found |= set(_IN_URLS.findall(block.text))
        for ports in re.findall(r'"ports": *\{([^}]*)\}', block.text):
            found |= set(_PORTS.findall(ports))
    return sorted(found)


@dataclass
class Example:
    """The example application, which several pages use one after the other."""

    #: Its ports by those that pages show.
    ports: dict[str, str]
    commands: shown_packets.Commands
    settings: dict[str, Any]
    #: Files of SQLite that a page may speak of.
    databases: list[Path]
    #: Its queue and its pool.
    services: list[Client]

    def reset(self) -> None:
        """Make it what it was before other pages have used it."""
        for service in self.services:
            service("resume")
            if service.kind == "queue":
                service("repeat", mode="off")
            for schedule in service("schedules"):
                service("unschedule", id=schedule["id"])
            service.clear()


class Run:
    """One page in a folder of its own, with an application beside it.

    `example` starts the example application, for pages that show none, and returns it.
    """

    def __init__(self, page: Page, folder: Path, example: Callable[[], Example]) -> None:
        self.page, self._example = page, example
        names = ports_on(page)
        self.ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
        self.notes = folder / "notes"
        self.notes.mkdir()
        self._note_ports()
        self.folder = folder / "page"
        if page.name.startswith("examples/") or "/" not in page.name:  # read in a clone
            self.folder = typed.cloned(self.notes) / Path(page.name).parent
        self.folder.mkdir(exist_ok=True)
        self._make_commands()
        self._make_media()
        #: Whether the page starts an application of its own.
        self._has_own = _starts_application(page)
        #: Carries the badge by which what the page has started is found.
        self.site = Site(folder / "site", services=())
        self.environ = self._environ()
        #: What the last block of commands has printed, and the name of the last command that was
        #: shown as JSON; each with the heading below which it stands.
        self.printed, self.printed_below = "", ""
        self.command: str | None = None
        self.command_below = ""
        self.counted: dict[str, int] = {}

    def _note_ports(self) -> None:
        (self.notes / "ports.json").write_text(json.dumps(self.ports))

    def _make_commands(self) -> None:
        commands = self.notes / "bin"
        commands.mkdir()
        for name in (*typed.COMMANDS, *typed.NOTED):
            shim = [sys.executable, "-S", str(ROOT / "tests" / "typed.py"), name]
            (commands / name).write_text(f'#!/bin/sh\nexec {" ".join(shim)} "$@"\n')
            (commands / name).chmod(0o755)

    def _make_media(self) -> None:
        """What pages take for granted: ffmpeg, and something for it to read."""
        if "ffmpeg" in self.page.text:
            with suppress(ImportError):
                from imageio_ffmpeg import get_ffmpeg_exe

                (self.notes / "bin" / "ffmpeg").symlink_to(get_ffmpeg_exe())
        if ".wav" in self.page.text:
            for name in ("one", "two", "talk"):
                with wave.open(str(self.folder / f"{name}.wav"), "wb") as file:
                    file.setparams((1, 2, 8000, 0, "NONE", ""))
                    file.writeframes(bytes(16_000))

    def _environ(self) -> dict[str, str]:
        environ = {**self.site.environ, "PAGE_NOTES": str(self.notes)}
        environ["PAGE_PATH"] = os.environ["PATH"]
        environ["PATH"] = f"{self.notes / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        environ |= {"HOME": str(self.folder), "HERE": str(self.folder), "BROWSER": "true"}
        environ["PYTHONPATH"] = f"{self.folder}:{environ['PYTHONPATH']}"
        for name in ("SHMOOZE_SETTINGS", "SHMOOZE_TOKEN", "LANG", "VIRTUAL_ENV"):
            environ.pop(name, None)
        return environ

    def _use_application(self) -> None:
        """Let commands find the application of the page, or the example."""
        if "SHMZ_ENDPOINT" in self.environ:
            return
        if not self._has_own:
            example = self._example()
            example.reset()
            self.ports |= example.ports
            self._note_ports()
            self._copy_files_of(example)
        else:
            defaults = json.loads((ROOT / "shmooze" / "default_settings.json").read_text())
            defaults["ports"] = {"wsgi": 8080, "queue": 5580, "pool": 5590}
            file = self.notes / "defaults.json"
            file.write_text(self.adapted(json.dumps(defaults)))
        self.environ["SHMZ_ENDPOINT"] = self.adapted("http://localhost:8080/queue")

    def _copy_files_of(self, example: Example) -> None:
        """Put settings and state of the example into the folder, where a page speaks of them."""
        text = "".join(block.text for block in self.page.blocks)
        for file in example.databases:
            copy = self.folder / file.name
            if file.name in text:
                with closing(sqlite3.connect(file)) as old, closing(sqlite3.connect(copy)) as new:
                    old.backup(new)
        if _STARTS.search(text):
            values = dict(example.settings)
            values["ports"] = dict(zip(values["ports"], free_ports(4), strict=True))
            self._write("settings.json", json.dumps(values, indent=1))
            self._with_folders()

    def adapted(self, text: str) -> str:
        """The same text with the ports that the page really has."""
        for shown, port in self.ports.items():
            text = re.sub(rf"(?<![\d.,]){shown}\b", port, text)
        return text

    def run(self, block: Block) -> None:
        """Do what a block says. Raises AssertionError, with its place, if it does not work."""
        self._use_application()
        self.counted[block.language] = self.counted.get(block.language, 0) + 1
        try:
            self._run(block)
        except shown_syntax.Missing:
            raise
        except Failed as problem:
            raise Failed(f"{block.place}: {problem}") from None
        except Exception as problem:
            raise Failed(f"{block.place}: {type(problem).__name__}: {problem}") from problem

    def keep(self, block: Block) -> None:
        """Write a file that the page shows, and nothing more."""
        assert block.file is not None
        self._write(block.file, self.adapted(block.text))

    def _run(self, block: Block) -> None:
        text = self.adapted(block.text)
        if block.file is not None:
            self._write(block.file, text)
        if block.language in ("sh", "bash") and block.file is None:
            self._type(text, block)
        elif block.language == "console":
            self._console(block, text)
        elif block.language == "json":
            self._json(block, text)
        elif block.language == "python":
            self._python(block, text)
        elif block.language not in shown_syntax.CHECKS:
            raise Failed(f"nobody knows how to check {block.language}")
        else:
            shown_syntax.check(block.language, text, self.folder)

    def _write(self, name: str, text: str) -> None:
        file = self.folder / name.lstrip("/~")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    # Commands.

    def _type(self, text: str, block: Block) -> None:
        if "CLONE/" in text:
            text = text.replace("CLONE/", f"{typed.cloned(self.notes)}/")
        if re.search(r"(?<![\w/])examples/", text) and not (self.folder / "examples").exists():
            text = re.sub(r"(?<![\w/])examples/", f"{typed.cloned(self.notes)}/examples/", text)
        text = re.sub(r"^scripts/", "script ", text, flags=re.MULTILINE)
        for path in _SYSTEM_PATHS.findall(text):
            self._make_path(self.folder / path.lstrip("/"))
        text = _SYSTEM_PATHS.sub(rf"{self.folder}\1", text)
        text = re.sub(r"\bdocs/images/", f"{ROOT}/docs/images/", text)
        state = self.notes / "environment"
        before = f". {state}\n" if state.exists() else f"cd {self.folder}\n"
        after = f"\nset +e\n(export -p; echo \"cd '$PWD'\") > {state}\n"
        shell = "bash" if block.language == "bash" or "<(" in text else "sh"
        printed = self.notes / "printed"
        with printed.open("wb") as out:
            done = subprocess.run(
                [shell, "-e", "-c", before + text + after],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE,
            )
        self.printed, self.printed_below = printed.read_text(errors="replace"), block.heading
        if done.returncode:
            if missing := _NOT_INSTALLED.search(self.printed):
                raise shown_syntax.Missing(missing[0])
            raise Failed(
                f"ended with status {done.returncode}:\n{text}\n{self.printed}{self.logs()}"
            )

    def _console(self, block: Block, text: str) -> None:
        """Type each command of a session, and compare what it prints with what is shown."""
        for command, shown in session(text):
            try:
                self._type(command, block)
            except Failed:
                if not _ERROR.match(shown):
                    raise
            if problem := session_difference(shown, self.printed):
                raise Failed(f"{command} prints something else: {problem}\n{self.printed}")

    def _make_path(self, here: Path) -> None:
        """Make what a page takes for granted at a path of the system, below its own folder."""
        is_file = "." in here.name or here.parent.name == "bin"
        (here.parent if is_file else here).mkdir(parents=True, exist_ok=True)
        command = self.notes / "bin" / here.name
        if here.parent.name == "bin" and command.exists() and not here.exists():
            here.symlink_to(command)
        if here.name == "settings.json" and not here.exists() and not self._has_own:
            here.write_text(json.dumps(self._example().settings))

    def logs(self) -> str:
        """What everything that serves has said."""
        logs = sorted(self.notes.glob("served-*"))
        return "".join(f"\n{log.name}:\n{log.read_text(errors='replace')[-3000:]}" for log in logs)

    # JSON.

    def _json(self, block: Block, text: str) -> None:
        try:
            shown = shown_settings.parse(text)
        except ValueError:
            shown = shown_settings.parse_shown(text)
        settings = shown_settings.whole(shown)
        if block.file is not None and "ports" not in shown and block.file != "settings.json":
            return  # a file that something else reads
        if settings is not None:
            self._settings(block, shown, settings)
        elif isinstance(shown, dict) and "cmd" in shown:
            self.command, self.command_below = shown["cmd"], block.heading
            self._refuse_unknown(shown)
        else:
            self._answer(block, shown)

    def _settings(self, block: Block, shown: dict[str, Any], settings: dict[str, Any]) -> None:
        settings = json.loads(self.adapted(json.dumps(settings)))
        if unknown := shown_settings.check(settings, self.folder / "checked.json"):
            raise Failed("\n".join(unknown))
        if "ports" in shown and block.file is None and '"modules"' in block.text:
            self._write("settings.json", self.adapted(block.text))
        if "ports" in shown:
            self._with_folders()

    def _commands(self) -> shown_packets.Commands:
        return self._example().commands

    def _with_folders(self) -> None:
        """Let the settings file of the page keep its files in the folder of the page."""
        file = self.folder / "settings.json"
        if file.exists():
            values = shown_settings.use_folder(json.loads(file.read_text()), self.folder)
            file.write_text(json.dumps(values, indent=4))

    def _refuse_unknown(self, packet: dict[str, Any]) -> None:
        if problem := self._commands().problem_of(packet):
            raise Failed(f"no queue or pool takes {packet}: {problem}")

    def _answer(self, block: Block, shown: Any) -> None:
        """Compare output that is shown as JSON with what was really printed, in shape."""
        is_below = self.command is not None and self.command_below == block.heading
        name = self.command if is_below else self._commands().named_in(block.heading)
        if name is None and self.printed and self.printed_below == block.heading:
            problem = shown_packets.difference(shown, _last_json(self.printed))
        elif name is not None:
            problem = self._commands().misfit(name, shown)
        elif isinstance(shown, dict) and "success" in shown:
            problem = None  # a packet of no command
        else:
            problem = "no command is shown before it, and no settings have these keys"
        if problem:
            raise Failed(f"the answer is not as shown: {problem}\n{self.printed}")

    # Python.

    def _python(self, block: Block, text: str) -> None:
        tree = ast.parse(text)
        compile(text, block.place, "exec")
        if block.file is not None:
            return
        if not any(isinstance(each, ast.Import | ast.ImportFrom) for each in tree.body):
            raise Failed("this is no program: a test of its own must run it, see CLAIMS")
        file = self.notes / f"line{block.line}.py"
        file.write_text(text)
        argv = [sys.executable, str(file)]
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
        )
        if done.returncode:
            raise Failed(f"ended with status {done.returncode}: {done.stderr[-1500:]}{self.logs()}")
        self.printed, self.printed_below = done.stdout, block.heading

    # The end.

    def close(self) -> None:
        """End everything that the page has started. Nothing may be left, nor a traceback."""
        pids = [int(file.name.partition("-")[2]) for file in self.notes.glob("pid-*")]
        for pid in pids:
            if pid in self.site.survivors():
                os.kill(pid, signal.SIGTERM)
        try:
            wait_until(lambda: not self.site.survivors(), "nothing of the page is left")
        finally:
            for pid in self.site.survivors():
                os.kill(pid, signal.SIGKILL)
        logs = self.logs()
        shutil.rmtree(self.notes.parent / "clone", ignore_errors=True)
        assert "Traceback" not in logs, f"{self.page.name}: {logs}"


def session(text: str) -> list[tuple[str, str]]:
    """The commands of a session, each with the output that is shown for it."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^(?=[$#] )", text, flags=re.MULTILINE):
        prompt, _, rest = part.partition(" ")
        if prompt == "$":
            lines = rest.splitlines(keepends=True)
            length = next(n for n in range(1, len(lines) + 1) if _is_whole("".join(lines[:n])))
            found.append(("".join(lines[:length]), "".join(lines[length:])))
    return found


def _is_whole(command: str) -> bool:
    """Whether a command goes on in no further line."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return not command.endswith("\\\n")


#: What differs from one run to the next: uids and their beginnings, numbers and times.
_VARYING = re.compile(r"[0-9a-f]{8}(-[0-9a-f-]{4,}|-…)|\b\d[\w.:,-]*")
_ERROR = re.compile(r"[\w.]+: |.*\bfailed\b")


def session_difference(shown: str, printed: str) -> str | None:
    """The first line that is shown and was not printed, if there is one."""
    have = [_VARYING.sub("0", line) for line in printed.splitlines()]
    for line in shown.splitlines():
        if line.strip() in ("", "…"):
            continue
        parts = (re.escape(part) for part in _VARYING.sub("0", line).split("…"))
        wanted = re.compile(".*".join(parts).replace("\\ ", " +"))
        if not any(wanted.search(each) for each in have):
            return line
    return None


def _last_json(printed: str) -> Any:
    """The last value of JSON in what was printed: lines from some line to the end."""
    lines = printed.rstrip().splitlines()
    for first in range(len(lines)):
        try:
            return json.loads("\n".join(lines[first:]))
        except ValueError:
            continue
    for line in reversed(lines):
        try:
            return json.loads(line)
        except ValueError:
            continue
    raise Failed(f"no JSON was printed: {printed}")
