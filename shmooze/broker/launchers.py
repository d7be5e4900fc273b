"""The launchers of a service: each type names the one that starts its modules.

`local` starts them on this machine, and those of ours for clusters elsewhere. Others are found by
the entry points of the group `shmooze.launchers`, of whatever packages are installed: a function
that gets the settings and the name of the service, and returns a Launcher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module

from shmooze.broker.catalog import wrong_key
from shmooze.errors import SettingsError
from shmooze.modules.kind import LOCAL, Kind, limits_of
from shmooze.modules.launched import folder_of, own_variables
from shmooze.processes.contract import Launcher, LaunchSpec
from shmooze.processes.limits import Limits
from shmooze.processes.local import LocalLauncher
from shmooze.runtime import declared, schema
from shmooze.settings import Settings

#: The group of entry points by which packages offer launchers.
GROUP = "shmooze.launchers"
#: Those of ours, and the module that has `make_launcher` for each.
OURS = {name: f"shmooze.cluster.{name}" for name in ("dask", "slurm")}

MakeLauncher = Callable[[Settings, str], Launcher]


class Launchers:
    """Those that the types of one service name. Raises SettingsError for an unknown one, and for a
    type that its launcher cannot start.
    """

    def __init__(self, kinds: Iterable[type[Kind]], service: str = "") -> None:
        kinds = list(kinds)
        # Also where nothing else is local, there may be helper processes to guard and end.
        self._by_name: dict[str, Launcher] = {LOCAL: LocalLauncher()}
        for kind in kinds:
            if kind.launcher not in self._by_name and not kind.is_missing:
                make = _find(kind)
                self._by_name[kind.launcher] = make(declared.current(), service)
        self.check(kinds)
        self._kinds = kinds

    @property
    def local(self) -> Launcher:
        """The one of this machine."""
        return self._by_name[LOCAL]

    def of(self, kind: type[Kind]) -> Launcher:
        """The launcher of a type; any one for a type that is missing, which starts nothing."""
        if kind.is_missing:
            return self._by_name[LOCAL]
        return self._by_name[kind.launcher]

    def check(self, kinds: Iterable[type[Kind]]) -> None:
        """Raise SettingsError for a type that none of these launchers can start."""
        for kind in kinds:
            if kind.launcher not in self._by_name and not kind.is_missing:
                words = f"is {kind.launcher!r}, which no type has had so far: that needs a restart"
                raise wrong_key(kind, "launcher", words)
            find_problem = getattr(self.of(kind), "problem", None)
            if find_problem is not None and (problem := find_problem(kind)) is not None:
                raise wrong_key(kind, *problem)

    def preload(self, kinds: Iterable[type[Kind]]) -> None:
        """Begin to load the programs of the types that want it."""
        for launcher, spec in self._preloaded(kinds):
            launcher.preload(spec)

    def preload_only(self, kinds: Iterable[type[Kind]]) -> None:
        """The same, and unload all others."""
        wanted = [*self._preloaded(kinds)]
        for launcher in self._by_name.values():
            if hasattr(launcher, "unload_others"):
                launcher.unload_others([spec for whose, spec in wanted if whose is launcher])
        self.preload(kinds)

    def _preloaded(self, kinds: Iterable[type[Kind]]) -> Iterator[tuple[Launcher, LaunchSpec]]:
        for kind in kinds:
            launcher = self.of(kind)
            if kind.preload is True and not kind.is_missing and hasattr(launcher, "preload"):
                environ = own_variables(kind)
                label = f"{kind.TYPE_STRING} template"
                yield (
                    launcher,
                    LaunchSpec(
                        kind.process, label, environ=environ, cwd=folder_of(kind), preload=environ
                    ),
                )

    def close(self) -> None:
        """See Launcher."""
        for launcher in self._by_name.values():
            if hasattr(launcher, "close"):
                launcher.close()

    def guard(self) -> None:
        """See Launcher."""
        for launcher in self._by_name.values():
            launcher.guard()

    def prepare(self) -> None:
        """See Launcher."""
        for launcher in self._by_name.values():
            launcher.prepare()

    def open(self, identity: str, on_unguarded: Callable[[], None]) -> int:
        """Open and sweep all. Returns how many processes an earlier life had left."""
        for launcher in self._by_name.values():
            launcher.open(identity, on_unguarded)
        for launcher in {self.of(kind): None for kind in limited(self._kinds)}:
            if hasattr(launcher, "prepare_limits"):
                launcher.prepare_limits()
        return sum(launcher.sweep() for launcher in self._by_name.values())

    def warnings(self) -> Iterator[str]:
        """See Launcher."""
        for launcher in self._by_name.values():
            yield from launcher.warnings()
        for name, available in self.limits_available(self._kinds).items():
            if missing := [f"`{key}`" for key, means in available.items() if means is None]:
                yield f"limits of {name}: nothing here can enforce {' and '.join(missing)}"

    def limits_available(self, kinds: Iterable[type[Kind]]) -> dict[str, dict[str, str | None]]:
        """What enforces each limit of those types that have any; None: nothing does."""
        return {kind.TYPE_STRING: self._available(kind) for kind in limited(kinds)}

    def _available(self, kind: type[Kind]) -> dict[str, str | None]:
        limits = limits_of(kind)
        found: Mapping[str, str | None] = getattr(self.of(kind), "limits_available", {})
        keys = [key for key in schema.keys_of(Limits) if getattr(limits, key) is not None]
        return {key: found.get(key) for key in keys}


def limited(kinds: Iterable[type[Kind]]) -> list[type[Kind]]:
    """Those types that have limits, and are still in the settings."""
    return [kind for kind in kinds if limits_of(kind) is not None and not kind.is_missing]


def _find(kind: type[Kind]) -> MakeLauncher:
    name = kind.launcher
    from importlib.metadata import entry_points  # services without other launchers start faster

    found = {each.name: each for each in entry_points(group=GROUP)}
    if name not in found and name not in OURS:
        known = sorted({LOCAL, *OURS, *found})
        hint = schema.did_you_mean(name, known)
        words = f"names {name!r}, which is not a launcher;{hint} known: {', '.join(known)}"
        raise wrong_key(kind, "launcher", words)
    try:
        make: MakeLauncher = (
            found[name].load() if name in found else import_module(OURS[name]).make_launcher
        )
    except SettingsError:
        raise
    except Exception as bad:  # whatever the package does when it is imported
        raise wrong_key(kind, "launcher", f"{name!r} cannot be loaded: {bad}") from bad
    return make
