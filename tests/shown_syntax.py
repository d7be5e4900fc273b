"""Blocks of other languages than Python, JSON and sh: whether the programs for them accept them."""

from __future__ import annotations

import configparser
import importlib
import re
import shutil
import sqlite3
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from support import PATIENCE, ROOT


class Missing(Exception):
    """A program or library that a check needs is not installed."""


def check(language: str, text: str, folder: Path) -> None:
    """Raises AssertionError if `text` is not valid, and Missing if that cannot be told here."""
    CHECKS[language](text, folder)


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise Missing(f"{name} is not installed") from problem


def _accepted(argv: list[str | Path], folder: Path) -> None:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=PATIENCE * 2)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def _javascript(text: str, folder: Path) -> None:
    file = folder / "checked.mjs"
    file.write_text(text)
    _accepted([_program("node"), "--check", file], folder)
    file.unlink()


class _Scripts(HTMLParser):
    """The scripts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._is_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_script = tag == "script"
        for name, value in attrs:
            if name.startswith("on") and value:
                self.found.append(value)

    def handle_data(self, data: str) -> None:
        if self._is_script:
            self.found.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False


def _html(text: str, folder: Path) -> None:
    parser = _Scripts()
    parser.feed(text)
    parser.close()
    assert "<" in text
    for script in parser.found:
        _javascript(script, folder)


def _sections(text: str, folder: Path) -> None:
    """A unit of systemd, or programs of supervisord."""
    if re.search(r"^\[(program:|supervisor|group:)", text, re.MULTILINE):
        _supervisord(text, folder)
        return
    text = text if re.match(r"(#.*\n)*\[", text) else f"[Service]\n{text}"
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(text)
    if not parser.has_option("Service", "ExecStart") and "[Timer]" not in text:
        text = text.replace("[Service]", "[Service]\nExecStart=/bin/true", 1)
    kind = "timer" if "[Timer]" in text else "service"
    file = folder / f"checked.{kind}"
    file.write_text(text)
    argv = [_program("systemd-analyze"), "verify", "--man=no", file]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
    # It also looks for users, programs and other units of the machine.
    wrong = re.compile(r"unknown (key|section|lvalue)|failed to parse|invalid", re.IGNORECASE)
    problems = [line for line in done.stderr.splitlines() if wrong.search(line)]
    assert not problems, problems


def _supervisord(text: str, folder: Path) -> None:
    _library("supervisor.options")
    file = folder / "checked.conf"
    text = text if "[supervisord]" in text else f"[supervisord]\n{text}"
    text = re.sub(r"^user=.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(\w*file|directory)=/.*/", rf"\1={folder}/", text, flags=re.MULTILINE)
    file.write_text(re.sub(r"^directory=.*$", f"directory={folder}", text, flags=re.MULTILINE))
    program = (
        "import sys; from supervisor.options import ServerOptions as S; s = S();"
        " s.realize(['-c', sys.argv[1]]); print(len(s.process_group_configs))"
    )
    _accepted([sys.executable, "-W", "ignore", "-c", program, file], folder)


def _sql(text: str, folder: Path) -> None:
    assert sqlite3.complete_statement(text.strip().rstrip(";") + ";")
    sqlite3.connect(":memory:").executescript(text)


def _yaml(text: str, folder: Path) -> None:
    assert _library("yaml").safe_load(text)


def _toml(text: str, folder: Path) -> None:
    assert _library("tomllib").loads(text)


def _nginx(text: str, folder: Path) -> None:
    """Blocks of a server or a location; certificates and names are not looked at."""
    if not re.search(r"^(server|upstream|http|map)\b", text, re.MULTILINE):
        text = f"server {{ listen 1;\n{text}\n}}"
    if "upstream shmooze" not in text and "http://shmooze" in text:
        text = f"upstream shmooze {{ server 127.0.0.1:8080; }}\n{text}"
    for name in set(re.findall(r"\$(shmooze_\w+)", text)):
        if f"${name} {{" not in text:
            text = f"map $http_upgrade ${name} {{ default upgrade; }}\n{text}"
    text = re.sub(r"^\s*ssl_certificate(_key)? .*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"listen (\S+) ssl", r"listen \1", text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    body = text if text.lstrip().startswith("http ") else f"http {{\n{temporary}\n{text}\n}}"
    file = folder / "checked-nginx.conf"
    file.write_text(f"pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{}}\n{body}\n")
    _accepted(
        [_program("nginx"), "-t", "-p", folder, "-c", file, "-e", folder / "nginx.log"], folder
    )


def _dockerfile(text: str, folder: Path) -> None:
    known = "FROM RUN COPY ADD CMD ENTRYPOINT ENV EXPOSE USER VOLUME WORKDIR ARG LABEL HEALTHCHECK"
    lines = re.sub(r"\\\n", " ", text).splitlines()
    words = {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}
    assert words <= set(known.split()), f"no instructions: {words - set(known.split())}"


def _typescript(text: str, folder: Path) -> None:
    """With the types of pages if it uses their script, else with those of modules."""
    is_page = "endpoints" in text
    types = ROOT / ("static" if is_page else "examples/modules") / "shmooze.d.mts"
    shutil.copy(types, folder)
    if "import " not in text:
        text = f'import {{ Module }} from "./shmooze.mjs";\n{text}'
    (folder / "checked.mts").write_text(text)
    options = ["--strict", "--noEmit", "--skipLibCheck", "--target", "es2022", "--module", "node16"]
    options += [] if is_page else ["--lib", "es2022"]  # without pages, which take most of the time
    _accepted([_program("tsc"), *options, "checked.mts"], folder)


def _sh(text: str, folder: Path) -> None:
    file = folder / "checked.sh"
    file.write_text(text)
    _accepted(["bash", "-n", file], folder)


def _nothing(text: str, folder: Path) -> None:
    """Text of a file that any program may read."""


CHECKS = {
    "js": _javascript,
    "mjs": _javascript,
    "javascript": _javascript,
    "ts": _typescript,
    "html": _html,
    "ini": _sections,
    "yaml": _yaml,
    "yml": _yaml,
    "toml": _toml,
    "nginx": _nginx,
    "sql": _sql,
    "dockerfile": _dockerfile,
    "Dockerfile": _dockerfile,
    "sh": _sh,
    "bash": _sh,
    "": _nothing,
    "text": _nothing,
    "css": _nothing,
}
