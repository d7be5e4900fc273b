"""Runs the blocks of a page of the documentation, in the order in which it shows them."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import shown_packets
import shown_settings
import shown_syntax
from clones import cloned
from page_folder import SYSTEM_PATHS, PageFolder, unstarted
from sessions import ERROR, last_json, session, session_difference
from shown_types import Example
from snippets import Block, Page
from support import PATIENCE, free_ports

#: How programs of ours, and a shell, say what they lack of what a machine may do without.
_NOT_INSTALLED = re.compile(
    r"[\w.-]+ is not installed|\b(sqlite3|openssl|ffmpeg|mpv|jq): (command )?not found"
)


class Failed(AssertionError):
    """A block of a page is wrong."""


class Run(PageFolder):
    """Runs blocks in the folder of their page."""

    def __init__(self, page: Page, folder: Path, example: Callable[[], Example]) -> None:
        super().__init__(page, folder, example)
        #: What the last block of commands has printed, and the name of the last command that was
        #: shown as JSON; each with the heading below which it stands.
        self.printed, self.printed_below = "", ""
        self.command: str | None = None
        self.command_below = ""

    def run(self, block: Block) -> None:
        """Do what a block says. Raises AssertionError, with its place, if it does not work."""
        self.use_application()
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
        self.write(block.file, self.adapted(block.text))

    def start_what_is_left(self) -> None:
        """Start each service that the page shows but does not start: it must listen.

        One that the settings of the page name as a `program` has been run with them.
        """
        for name in unstarted(self.page):
            if self._has_own and f'"{name}"' in self.page.text:
                continue
            shown = re.findall(r'"ports": *\{([^}]*)\}', self.page.text)
            names = {"wsgi", "queue", "pool", *re.findall(r'"(\w+)":', "".join(shown))}
            ports = dict(zip(sorted(names), free_ports(len(names)), strict=True))
            (self.notes / "defaults.json").write_text(json.dumps({"ports": ports}))
            self._type(f"python3 {name}\n", Block(self.page.name, 0, "sh", "", "", None, None))

    def _run(self, block: Block) -> None:
        text = self.adapted(block.text)
        if block.file is not None:
            self.write(block.file, text)
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

    # Commands.

    def _type(self, text: str, block: Block) -> None:
        if "CLONE/" in text:
            text = text.replace("CLONE/", f"{cloned(self.notes)}/")
        if re.search(r"(?<![\w/])examples/", text) and not (self.folder / "examples").exists():
            text = re.sub(r"(?<![\w/])examples/", f"{cloned(self.notes)}/examples/", text)
        text = re.sub(r"^scripts/", "script ", text, flags=re.MULTILINE)
        for path in SYSTEM_PATHS.findall(text):
            self.make_path(self.folder / path.lstrip("/"))
        text = SYSTEM_PATHS.sub(rf"{self.folder}\1", text)
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
                if not ERROR.match(shown):
                    raise
            if problem := session_difference(shown, self.printed):
                raise Failed(f"{command} prints something else: {problem}\n{self.printed}")

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
            self.write("settings.json", self.adapted(block.text))
        if "ports" in shown:
            self.use_folders()

    def _commands(self) -> shown_packets.Commands:
        return self.example().commands

    def _refuse_unknown(self, packet: dict[str, Any]) -> None:
        if problem := self._commands().problem_of(packet):
            raise Failed(f"no queue or pool takes {packet}: {problem}")

    def _answer(self, block: Block, shown: Any) -> None:
        """Compare output that is shown as JSON with what was really printed, in shape."""
        is_below = self.command is not None and self.command_below == block.heading
        name = self.command if is_below else self._commands().named_in(block.heading)
        if name is None and self.printed and self.printed_below == block.heading:
            problem = shown_packets.difference(shown, last_json(self.printed))
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
