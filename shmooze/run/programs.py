"""The programs of an application: the gateway, and what runs each service of the settings."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from shmooze.runtime import declared, schema
from shmooze.settings import Settings

GATEWAY = "wsgi"


@dataclass(frozen=True)
class Program:
    """The program of one service."""

    #: The name of the service in `ports`.
    name: str
    argv: Sequence[str]
    #: Whether it is one of ours, which ends its modules itself and knows `--check`.
    is_ours: bool = True
    #: Seconds for which it may take to end before it is killed; None: it ends by itself.
    stop_timeout: float | None = None


@dataclass(frozen=True)
class Application:
    """All programs of an application."""

    programs: Sequence[Program]
    #: Why there is no program for the other services: a line for each.
    left_out: Sequence[str]


def find_programs(source: Settings) -> Application:
    """What runs each service that `ports` names, the gateway first. Raises SettingsError."""
    programs, left_out = [], []
    for name in sorted(source.values["ports"], key=lambda each: each != GATEWAY):
        host = host_of(source, name)
        if host is None or _is_here(host):
            found = _find(source, name)
        else:
            found = f"{name} is not run: `ports` says that it is at {host}"
        if isinstance(found, Program):
            programs.append(found)
        else:
            left_out.append(found)
    if not programs:
        raise source.error(
            "ports", "names nothing that can be run" + "".join(f"; {each}" for each in left_out)
        )
    if GATEWAY not in source.values["ports"]:
        left_out.append("no gateway, and so no page: `ports` does not name `wsgi`")
    return Application(programs, left_out)


def host_of(source: Settings, name: str) -> str | None:
    """The host at which `ports` places a service; None if it names a port only."""
    entry = source.values["ports"][name]
    return entry.rpartition(":")[0].strip("[]") if isinstance(entry, str) else None


def _is_here(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                probe.bind(address)
            return True
    except OSError:
        pass  # no address of this machine, or no such host
    return False


def _find(source: Settings, name: str) -> Program | str:
    """The program of a service, or a line that says why there is none."""
    if name == GATEWAY:
        return Program(name, [sys.executable, "-m", "shmooze.wsgi"])
    section = declared.section_of(source, name)
    keys = schema.keys_of(declared.Runnable)
    own = schema.check(
        declared.Runnable,
        {key: section[key] for key in keys if key in section},
        source.error,
        name,
    )
    chosen = declared.Runnable(**own)
    if chosen.program is not None:
        return Program(name, chosen.program, is_ours=False, stop_timeout=chosen.stop_timeout)
    if "modules" not in section:
        for key in section:  # not if it is far: `max_modules` is a key of its own
            if hint := schema.did_you_mean(key, ["modules", "program"], cutoff=0.8):
                raise source.error(f"{name}.{key}", f"is unknown;{hint}")
        return (
            f"{name} is not run: its section in the settings has neither `modules` nor a `program`"
        )
    kind = chosen.kind or (name if name in ("queue", "pool") else None)
    if kind is None:
        raise source.error(f"{name}.kind", 'is missing; it must be "queue" or "pool"')
    return Program(name, [sys.executable, "-m", f"shmooze.{kind}", name])
