"""The folder of a page: its files, the commands in its PATH, its ports, and what it has started."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import wave
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import shown_settings
import typed
from clones import cloned
from sessions import session
from shown_types import Example
from snippets import Page
from support import ROOT, Site, free_ports, wait_until

#: Ports that a page has in mind if its settings name none.
USUAL_PORTS = ("8080", "5580", "5590")
_PORTS = re.compile(r'"[\w.-]+": *"?(?:[\w.]+:)?(\d{4,5})"?')
_IN_URLS = re.compile(r"(?:localhost|127\.0\.0\.1):(\d{4,5})\b")
_STARTS = re.compile(
    r"^(\w+=\S+ )*(shmooze run|python3? -m shmooze\.(wsgi|queue|pool)|scripts/(run_shmooze|shmz))",
    re.MULTILINE,
)
#: Folders of the system, which are made below the folder of the page.
SYSTEM_PATHS = re.compile(r"(?<![\w.])(/(?:etc|opt|srv|var/lib|var/log|var/backups)/[\w./-]+)")


def typed_on(page: Page) -> str:
    """All commands of a page, also those of sessions."""
    lines = "".join(block.text for block in page.shown("sh") if block.file is None)
    for block in page.shown("console"):
        lines += "".join(command for command, _ in session(block.text))
    return lines


def unstarted(page: Page) -> list[str]:
    """The programs of services that a page shows, but does not start."""
    lines = typed_on(page)
    serving = (name for name, text in page.files.items() if "serve_forever(" in text)
    return [name for name in serving if not re.search(rf"\bpython3? {re.escape(name)}", lines)]


def _starts_application(page: Page) -> bool:
    """Whether a page has an application of its own, which its commands start."""
    lines = typed_on(page)
    shows_settings = any('"ports"' in each.text and not each.is_output for each in page.blocks)
    makes_one = re.search("shmooze new|scripts/(run_shmooze|shmz)", lines) is not None
    serves = sum("serve_forever(" in text for text in page.files.values()) > len(unstarted(page))
    return serves or (bool(_STARTS.search(lines)) and (shows_settings or makes_one))


def ports_on(page: Page) -> list[str]:
    """The numbers of all ports that a page names, which this machine may have other programs on."""
    found = set(USUAL_PORTS)
    for block in page.blocks:
        found |= set(_IN_URLS.findall(block.text))
        for ports in re.findall(r'"ports": *\{([^}]*)\}', block.text):
            found |= set(_PORTS.findall(ports))
    return sorted(found)


class PageFolder:
    """One page in a folder of its own, with an application beside it.

    `example` starts the example application, for pages that show none, and returns it.
    """

    def __init__(self, page: Page, folder: Path, example: Callable[[], Example]) -> None:
        self.page, self.example = page, example
        names = ports_on(page)
        self.ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
        self.notes = folder / "notes"
        self.notes.mkdir()
        self._note_ports()
        self.folder = folder / "page"
        if page.name.startswith("examples/") or "/" not in page.name:  # read in a clone
            self.folder = cloned(self.notes) / Path(page.name).parent
        self.folder.mkdir(exist_ok=True)
        self._make_commands()
        self._make_media()
        #: Whether the page starts an application of its own.
        self._has_own = _starts_application(page)
        #: Carries the badge by which what the page has started is found.
        self.site = Site(folder / "site", services=())
        self.environ = self._environ()

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

    def use_application(self) -> None:
        """Let commands find the application of the page, or the example."""
        if "SHMZ_ENDPOINT" in self.environ:
            return
        if not self._has_own:
            example = self.example()
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
            self.write("settings.json", json.dumps(values, indent=1))
            self.use_folders()

    def adapted(self, text: str) -> str:
        """The same text with the ports that the page really has."""
        for shown, port in self.ports.items():
            text = re.sub(rf"(?<![\d.,]){shown}\b", port, text)
        return text

    def write(self, name: str, text: str) -> None:
        file = self.folder / name.lstrip("/~")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def make_path(self, here: Path) -> None:
        """Make what a page takes for granted at a path of the system, below its own folder."""
        is_file = "." in here.name or here.parent.name == "bin"
        (here.parent if is_file else here).mkdir(parents=True, exist_ok=True)
        command = self.notes / "bin" / here.name
        if here.parent.name == "bin" and command.exists() and not here.exists():
            here.symlink_to(command)
        if here.name == "settings.json" and not here.exists() and not self._has_own:
            here.write_text(json.dumps(self.example().settings))

    def use_folders(self) -> None:
        """Let the settings file of the page keep its files in the folder of the page."""
        file = self.folder / "settings.json"
        if file.exists():
            values = shown_settings.use_folder(json.loads(file.read_text()), self.folder)
            file.write_text(json.dumps(values, indent=4))

    def logs(self) -> str:
        """What everything that serves has said."""
        logs = sorted(self.notes.glob("served-*"))
        return "".join(f"\n{log.name}:\n{log.read_text(errors='replace')[-3000:]}" for log in logs)

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
