"""Finds what can enforce limits on this machine: cgroups that are ours to use, or else watching.

That we may write to a cgroup does not make it ours: root may write to all, and most belong to
systemd or to a container engine. One is ours if

- the setting `cgroup` names it,
- systemd has delegated it (`Delegate=yes`), which it notes on the cgroup, or
- it is the root of a container's own cgroup namespace, and writable.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from gevent.event import AsyncResult

from shmooze.processes import fork_exec
from shmooze.processes.cgroup import Cgroup
from shmooze.processes.cgroup1 import CONTROLLERS, Cgroup1
from shmooze.processes.cgroup2 import Cgroup2
from shmooze.processes.cgroup_means import Names
from shmooze.processes.limiter import Limiter, Means
from shmooze.processes.limits import Limits
from shmooze.processes.rounds import Rounds
from shmooze.processes.spawn_request import Entry, SpawnRequest
from shmooze.processes.watching import Nice, Watching

#: The inode of the machine's first cgroup namespace, from linux/proc_ns.h.
_FIRST_NAMESPACE = 0xEFFFFFFB
#: The notes of systemd on a cgroup that it has delegated: to any user, and by older versions.
_NOTES = ("user.delegate", "trusted.delegate")
#: Seconds that a process may take to enter a cgroup, exit and be reaped.
_ENTER_TIMEOUT = 5.0

NOT_OURS = "no cgroup is delegated to this service"


class NoCgroup(Exception):
    """Why no cgroup can be used."""


class Hierarchy(NamedTuple):
    """A mounted hierarchy of cgroups."""

    #: Its controllers of version 1; empty: it is of version 2.
    controllers: frozenset[str]
    #: The directory, and the cgroup that is mounted there.
    mount: str
    root: str
    #: The cgroup in which this process is.
    own: str

    def folder(self, cgroup: str) -> str | None:
        """The directory of a cgroup; None: it is not mounted."""
        below = os.path.relpath(cgroup, self.root)
        return None if below.startswith("..") else os.path.normpath(f"{self.mount}/{below}")


class System(NamedTuple):
    """What this machine says of its cgroups. Tests make up their own."""

    mountinfo: str
    own: str
    #: Whether this process is in a cgroup namespace of its own.
    has_namespace: bool
    #: Returns whether systemd has noted that a directory is delegated.
    is_noted: Callable[[str], bool]
    #: Starts a process that enters cgroups, and ends. Raises OSError or ValueError.
    enter: Callable[[Entry], None]

    def hierarchies(self) -> Iterator[Hierarchy]:
        """Those that are mounted."""
        own: dict[str, str] = {}
        for line in self.own.splitlines():
            _, controllers, cgroup = line.split(":", 2)
            own.update(dict.fromkeys(controllers.split(","), cgroup))
        for line in self.mountinfo.splitlines():
            mounted, _, filesystem = line.partition(" - ")
            root, mount = (_unescaped(word) for word in mounted.split()[3:5])
            kind, _, options = filesystem.split(" ", 2)
            if kind == "cgroup2":
                yield Hierarchy(frozenset(), mount, root, own.get("", "/"))
            elif kind == "cgroup":
                for controller in {*options.split(",")} & {*CONTROLLERS} & {*own}:
                    yield Hierarchy(frozenset([controller]), mount, root, own[controller])


def this_system() -> System:
    """The machine on which this runs."""
    return System(
        _read("/proc/self/mountinfo"), _read("/proc/self/cgroup"), _has_namespace(), _noted, _enter
    )


def find_limiter(
    chosen: str | None,
    service: str,
    system: System,
    cgroup: Callable[[str], Cgroup] = Cgroup,
) -> tuple[Limiter, str | None]:
    """The limiter of a service, which this text distinguishes from all others on this machine, and
    why it uses no cgroups, if it does not. `chosen` is the setting `cgroup`.
    """
    rounds = Rounds()
    means: list[Means] = [Watching(rounds), Nice()]
    try:
        return Limiter([_find(chosen, Names(service), rounds, system, cgroup), *means]), None
    except NoCgroup as none:
        return Limiter(means), str(none)


def _find(
    chosen: str | None,
    names: Names,
    rounds: Rounds,
    system: System,
    cgroup: Callable[[str], Cgroup],
) -> Means:
    hierarchies = [*system.hierarchies()]
    version2 = next((each for each in hierarchies if not each.controllers), None)
    problem = NOT_OURS if chosen is None else f"there is no cgroup {chosen}"
    if version2 is not None and (folder := _find_base(chosen, version2, system)) is not None:
        base = cgroup(folder)
        if {*base.read("cgroup.controllers").split()} & {*CONTROLLERS}:
            means = Cgroup2(base, names)
            try:
                means.prepare()
                _try_to_enter(means, system)
                return means
            except (OSError, ValueError) as bad:
                problem = f"{folder}: {_words(bad)}"
    bases = {
        controller: cgroup(folder)
        for each in hierarchies
        for controller in each.controllers
        if (folder := _find_base(chosen, each, system)) is not None
    }
    if bases:
        version1 = Cgroup1(bases, names, rounds)
        try:
            _try_to_enter(version1, system)
            return version1
        except (OSError, ValueError) as bad:
            problem = _words(bad)
    raise NoCgroup(problem)


def _find_base(chosen: str | None, hierarchy: Hierarchy, system: System) -> str | None:
    """The directory of the cgroup of a hierarchy that is ours to use; None: there is none."""
    if chosen is not None:
        folder = hierarchy.folder(chosen)
        return folder if folder is not None and os.path.isdir(folder) else None
    cgroup = hierarchy.own
    while True:
        folder = hierarchy.folder(cgroup)
        if folder is None:
            return None
        is_ours = system.is_noted(folder) or (cgroup == "/" and system.has_namespace)
        if is_ours and os.access(folder, os.W_OK):
            return folder
        if cgroup == "/":
            return None
        cgroup = os.path.dirname(cgroup)


def _try_to_enter(means: Cgroup1 | Cgroup2, system: System) -> None:
    """Check that processes can be limited. Raises OSError or ValueError."""
    large: Mapping[str, float] = {"memory_mb": 1024, "cpu": 1, "pids": 1000}
    confinement = means.confine(Limits(**{key: large[key] for key in means.enforces}))  # type: ignore[arg-type]
    try:
        system.enter(confinement.entry)
    finally:
        confinement.close()


def _enter(entry: Entry) -> None:
    ended: AsyncResult[int] = AsyncResult()
    with open(os.devnull, "wb") as null:
        output = null.fileno()
        argv = [shutil.which("true") or "true"]
        request = SpawnRequest(argv, os.environ, output, output, None, ended.set, entry=entry)
        fork_exec.start(request)
    ended.get(timeout=_ENTER_TIMEOUT)


def _has_namespace() -> bool:
    try:
        return os.stat("/proc/self/ns/cgroup").st_ino != _FIRST_NAMESPACE
    except OSError:
        return False


def _noted(folder: str) -> bool:
    for note in _NOTES:
        with suppress(OSError):
            if os.getxattr(folder, note) == b"1":
                return True
    return False


def _read(path: str) -> str:
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _unescaped(word: str) -> str:
    """A path as mountinfo writes it: with octal numbers for what would separate words."""
    for character in " \t\n\\":
        word = word.replace(f"\\{ord(character):03o}", character)
    return word


def _words(bad: OSError | ValueError) -> str:
    if isinstance(bad, OSError):
        return f"{bad.filename or 'cgroups'}: {bad.strerror}"
    return str(bad)
