"""The launchers of a service: each type names the one that starts its modules.

`local` starts them on this machine. Others are found by the entry points of the group
`shmooze.launchers`, of whatever packages are installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from shmooze.errors import SettingsError
from shmooze.modules.kind import Kind
from shmooze.modules.launched import folder_of, own_variables
from shmooze.processes.contract import Launcher, LaunchSpec
from shmooze.processes.local import LocalLauncher

#: The group of entry points by which packages offer launchers.
GROUP = "shmooze.launchers"


class Launchers:
    """Those that the types of one service name. Raises SettingsError for an unknown one."""

    def __init__(self, kinds: Iterable[type[Kind]]) -> None:
        # Without types too, there may be helper processes of the application to guard and end.
        names = sorted({kind.launcher for kind in kinds} or {"local"})
        self._by_name: dict[str, Launcher] = {name: _find(name)() for name in names}

    def of(self, kind: type[Kind]) -> Launcher:
        """The launcher of a type; any one for a type that is missing, which starts nothing."""
        if kind.is_missing:
            return next(iter(self._by_name.values()))
        return self._by_name[kind.launcher]

    def preload(self, kinds: Iterable[type[Kind]]) -> None:
        """Begin to load the programs of the types that want it."""
        for kind in kinds:
            launcher = self.of(kind)
            if kind.preload is True and not kind.is_missing and hasattr(launcher, "preload"):
                environ = own_variables(kind)
                label = f"{kind.TYPE_STRING} template"
                launcher.preload(
                    LaunchSpec(
                        kind.process, label, environ=environ, cwd=folder_of(kind), preload=environ
                    )
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
        return sum(launcher.sweep() for launcher in self._by_name.values())

    def warnings(self) -> Iterator[str]:
        """See Launcher."""
        for launcher in self._by_name.values():
            yield from launcher.warnings()


def _find(name: str) -> Callable[[], Launcher]:
    if name == "local":
        return LocalLauncher
    from importlib.metadata import entry_points  # services without other launchers start faster

    found = {each.name: each for each in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join(["local", *sorted(found)])
        raise SettingsError(f"there is no launcher `{name}`; known: {known}")
    make: Callable[[], Launcher] = found[name].load()
    return make
