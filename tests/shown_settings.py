"""JSON on a page that is settings: whole files, and parts that are put where they belong."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from certificates import certificate

from shmooze import pool, queue, settings
from shmooze.access.token_file import TokenFile
from shmooze.broker.declared import ModuleType
from shmooze.broker.section import Section
from shmooze.gateway.gateway import Gateway
from shmooze.run.programs import find_programs
from shmooze.runtime import declared, schema

TOP = {key for group in declared.GROUPS for key in schema.keys_of(group)} | {"hooks", "tracing"}
OF_SECTIONS = {*schema.keys_of(Section), "modules", "backgrounds", "kind", "program", "cluster"}
OF_TYPES = set(schema.keys_of(ModuleType))


def parse(text: str) -> Any:
    """The value of a block of JSON. A part, such as `"hello": {…}`, is an object without braces."""
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(f"{{{text}}}")


def parse_shown(text: str) -> Any:
    """The same for output, in which `…` stands for what is left out."""
    text = re.sub(r",\s*…|…\s*,", "", text)
    text = re.sub(r"([\[{])\s*…\s*([\]}])", r"\1\2", text)
    return json.loads(re.sub(r"(: *)…", r"\1null", text))


def whole(shown: Any) -> dict[str, Any] | None:
    """Settings of which this is all or a part; None if it is something else."""
    if not isinstance(shown, dict) or not shown or {"cmd", "success"} & shown.keys():
        return None
    made: dict[str, Any] = {"ports": {"wsgi": 8080, "queue": 5580, "pool": 5590}}
    made |= {"public": ["ports"]} if "ports" not in shown else {}
    modules: dict[str, Any] = {}
    for key, value in shown.items():
        is_sure = "ports" in shown and not isinstance(value, dict)  # a mistake is to be named
        if key in TOP or key.startswith("app") or is_sure:
            made[key] = value
        elif not isinstance(value, dict) or not value:
            return None
        elif value.keys() & {"process", "adapter"} and value.keys() <= OF_TYPES:
            modules[key] = value
        elif value.keys() <= OF_SECTIONS | OF_TYPES:
            made[key] = value
        else:
            return None
    if modules:
        made.setdefault("pool", {}).setdefault("modules", {}).update(modules)
    for key, value in made.items():
        if (
            key in shown
            and key not in TOP
            and not key.startswith("app")
            and isinstance(value, dict)
        ):
            made["ports"].setdefault(key, 5599)
            if key not in ("queue", "pool", "wsgi") and "program" not in value:
                value.setdefault("kind", "pool")
            if "program" not in value and not value.get("modules"):
                value["modules"] = {"item": {"process": ["true"]}}
    return made


def use_folder(made: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same settings with all absolute paths below `folder`, where their folders are made."""
    for key, value in made.items():
        if key.endswith("_path") and isinstance(value, str):
            path = value.removeprefix("$HERE/")
            path = str(folder / re.sub(r"^(~|\$HOME)?/", "", path))
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            made[key] = path
    for key, file in (("certificate", 0), ("ca", 0), ("key", 1)):
        path = made.get(f"service_{key}_path")
        if path is not None and not Path(path).exists():
            shutil.copy(certificate()[file], path)
    if (path := made.get("service_secret_path")) and not Path(path).exists():
        Path(path).write_text("0123456789abcdef" * 4)
        Path(path).chmod(0o600)
    if "log_path" in made:
        Path(made["log_path"]).mkdir(exist_ok=True)
    return made


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def _warnings() -> Iterator[list[str]]:
    kept = _Kept()
    logging.getLogger().addHandler(kept)
    try:
        yield kept.lines
    finally:
        logging.getLogger().removeHandler(kept)


def check(made: dict[str, Any], file: Path) -> list[str]:
    """What `shmooze check` says about these settings, without a process for each program.

    Raises ShmoozeError for what a program would refuse. Returns warnings about unknown keys.
    """
    makers = {"shmooze.queue": queue._from_settings, "shmooze.pool": pool._from_settings}
    made = use_folder(json.loads(json.dumps(made)), file.parent)
    if "tokens_path" in made and not Path(made["tokens_path"]).exists():
        TokenFile(made["tokens_path"]).add("ada", "control")
    file.write_text(json.dumps(made, indent=1))
    settings.use(settings.Settings.load({"SHMOOZE_SETTINGS": str(file), "HOME": str(file.parent)}))
    try:
        with _warnings() as lines:
            source = declared.current()
            Gateway(source).check()
            for program in find_programs(source).programs:
                if program.is_ours and program.name != "wsgi":
                    makers[program.argv[2]](program.name).check()
        return [line for line in lines if "is unknown" in line or "until this is fixed" in line]
    finally:
        settings.use(None)
        file.unlink()
