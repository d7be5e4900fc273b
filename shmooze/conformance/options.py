"""What to check, and how long the module may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shmooze.modules.kind import Kind


@dataclass(frozen=True)
class Options:
    """One module's program, and how it is checked. Times are in seconds."""

    #: The program and its arguments.
    argv: Sequence[str]
    #: The args of `init` with which it works; None: those that its description gives as examples.
    args: dict[str, Any] | None = None
    #: Names of checks that are left out.
    skip: frozenset[str] = field(default_factory=frozenset)
    #: The description that the settings have for its type, if any.
    schema: Any = None
    #: Whether it must answer `--describe`.
    must_describe: bool = False
    #: Whether it is spoken to over standard input and output.
    stdio: bool = False
    host: str = Kind.listen_host
    connect_timeout: float = Kind.connect_timeout
    command_timeout: float = Kind.command_timeout
    natural_death_timeout: float = Kind.natural_death_timeout
    sigterm_timeout: float = Kind.sigterm_timeout
    max_parameters_bytes: int = Kind.max_parameters_bytes
    max_state_bytes: int = Kind.max_state_bytes
    #: How long it is watched before `init`, where it must do nothing.
    quiet: float = 0.3
    #: How long it plays before the next command.
    watch: float = 1.5
    #: For everything together.
    time_limit: float = 120.0
