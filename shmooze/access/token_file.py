"""The token file: hashes of the tokens that let clients in, and what each allows.

    {"NAME": {"sha256": "64 hex digits", "role": "control" | "read", "scopes": ["add", …]}, …}

One of `role` and `scopes` is enough. With both, the role is one more scope (see access/scopes.py).
The tokens themselves are stored nowhere, so whoever reads the file cannot use it to get in.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shmooze import settings
from shmooze.access.scopes import ROLES, Scopes
from shmooze.errors import SettingsError
from shmooze.runtime.printable import printable
from shmooze.runtime.schema import did_you_mean, shown

log = logging.getLogger(__name__)

Entry = dict[str, Any]

_HASH = re.compile(r"[0-9a-f]{64}")
_KEYS = ("sha256", "role", "scopes")
_NAME = re.compile(r"[0-9A-Za-z._@-]{1,64}")


@dataclass(frozen=True)
class Holder:
    """The holder of a valid token."""

    #: None: no tokens are used.
    name: str | None
    scopes: Scopes


class TokenFile:
    """The tokens of one file. Changes take effect at once: a revoked token stops working."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._version: tuple[int, ...] | None = None
        #: The hash of each token, and who holds it.
        self._holders: list[tuple[str, Holder]] = []
        #: The last error of the file that was logged.
        self._logged = ""

    def load(self) -> dict[str, Entry]:
        """Read the file. Raises SettingsError that names the file and the problem."""
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                if stat.S_IMODE(found.st_mode) & 0o077:
                    raise self._error("is open to other users: `chmod 600` it")
                if found.st_uid not in (os.geteuid(), 0):
                    raise self._error("belongs to another user")
                entries = settings.parse(file.read())
        except OSError as bad:
            hint = "; `python -m shmooze.tokens add NAME` creates it"
            hint = hint if isinstance(bad, FileNotFoundError) else ""
            raise self._error(f"cannot be read: {bad.strerror}{hint}") from bad
        except ValueError as bad:
            raise self._error(str(bad)) from bad
        self._check(entries)
        checked: dict[str, Entry] = entries
        return checked

    def holder_of(self, token: str) -> Holder | None:
        """The holder of a token; None for an invalid one. Takes equally long for every token.

        Raises SettingsError if the file cannot be read any more, and logs that once.
        """
        digest = _digest(token)
        found = None
        for each, holder in self._current():
            if hmac.compare_digest(each, digest):
                found = holder
        return found

    def add(self, name: str, role: str | None = None, scopes: Iterable[str] = ()) -> str:
        """Make a token for a new name and return it; it cannot be shown again. SettingsError."""
        if not _NAME.fullmatch(name):
            raise self._error(f"cannot have the name {name!r}: letters, digits and . _ @ - only")
        token = secrets.token_urlsafe(32)
        entry: Entry = {"sha256": _digest(token)}
        if role is not None:
            entry["role"] = role
        if scopes := list(scopes):
            entry["scopes"] = scopes
        self._check({name: entry})
        with self._locked():
            entries = self.load() if self.path.exists() else {}
            if name in entries:
                raise self._error(f"has a token for {name!r} already; revoke it first")
            self._write({**entries, name: entry})
        return token

    def revoke(self, name: str) -> None:
        """Revoke a name's token. Raises SettingsError if it has none."""
        with self._locked():
            entries = self.load()
            if entries.pop(name, None) is None:
                known = ", ".join(entries) or "none"
                raise self._error(f"has no token for {name!r}; known: {known}")
            self._write(entries)

    def _current(self) -> list[tuple[str, Holder]]:
        version: tuple[int, ...]
        try:
            found = self.path.stat()
            version = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
        except OSError:
            version = ()
        if version != self._version:
            # The error may be temporary, such as a lack of file descriptors. So the file is read
            # again each time until that works, and the error is logged once.
            self._version = None
            try:
                self._holders = [
                    (entry["sha256"], Holder(name, Scopes.of(scope_names(entry))))
                    for name, entry in self.load().items()
                ]
            except SettingsError as bad:
                if str(bad) != self._logged:
                    log.error("access is denied to everyone: %s", bad)
                self._logged = str(bad)
                raise
            self._version, self._logged = version, ""
        return self._holders

    def _check(self, entries: Any) -> None:
        if not isinstance(entries, dict):
            raise self._error("must hold one JSON object")
        for name, entry in entries.items():
            if not isinstance(entry, dict):
                raise self._error(f"`{name}` must be an object")
            digest = entry.get("sha256")
            if not (isinstance(digest, str) and _HASH.fullmatch(digest)):
                raise self._error(f"`{name}.sha256` must be 64 hex digits in lower case")
            if "role" in entry and entry["role"] not in ROLES:
                raise self._error(f"`{name}.role` must be one of {', '.join(ROLES)}")
            self._check_scopes(name, entry)

    def _check_scopes(self, name: str, entry: Entry) -> None:
        for key in entry:
            # Others are ignored, but a typo in these would allow more than was meant.
            if key not in _KEYS and (hint := did_you_mean(key, _KEYS)):
                raise self._error(f"`{name}.{key}` is unknown;{hint}")
        if "role" not in entry and "scopes" not in entry:
            raise self._error(f"`{name}` must have a `role` ({' or '.join(ROLES)}) or `scopes`")
        scopes = entry.get("scopes", [])
        if not (isinstance(scopes, list) and all(isinstance(each, str) for each in scopes)):
            raise self._error(f"`{name}.scopes` must be a list of strings, not {shown(scopes)}")
        try:
            Scopes.of(scope_names(entry))
        except ValueError as bad:
            raise self._error(f"`{name}.scopes` {bad}") from bad

    def _write(self, entries: dict[str, Entry]) -> None:
        """Replace the file atomically; it is never readable for other users."""
        with self._os_errors_translated(), ExitStack() as undo:
            fd, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}-")
            undo.callback(os.unlink, temporary)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(entries, file, indent=4)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
            undo.pop_all()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other programs from changing the file meanwhile."""
        with self._os_errors_translated():
            folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    @contextmanager
    def _os_errors_translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as bad:
            raise self._error(f"cannot be written: {bad.strerror}") from bad

    def _error(self, problem: str) -> SettingsError:
        return SettingsError(printable(f"token file {self.path}: {problem}"))


def scope_names(entry: Entry) -> list[str]:
    """The scopes of an entry; its role is the first of them."""
    role = [entry["role"]] if "role" in entry else []
    return [*role, *entry.get("scopes", [])]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
