"""A queue or pool in memory whose types are in a file of settings, so that it can reload."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import gevent
from fakes import Fake, FakeClock, FakeLauncher, FakeLaunchers, FakeProcess, open_with
from fakes import run_until_idle as rest

from shmooze import settings
from shmooze.broker import catalog
from shmooze.broker.broker import Broker


class Launchers(FakeLaunchers):
    """Those of a service that can reload. Notes what is preloaded."""

    preloaded: list[str] = []

    def check(self, kinds: Any) -> None:
        pass

    def preload_only(self, kinds: Any) -> None:
        self.preloaded = [kind.TYPE_STRING for kind in kinds if kind.preload]

    def close(self) -> None:
        pass


class Service:
    """A queue or pool in memory, whose types are in a file of settings."""

    def __init__(self, file: Path, clock: FakeClock, make: Callable[[str], Any], **section: Any):
        self.file, self.clock, self.launcher = file, clock, FakeLauncher()
        self.name = make.__module__.rpartition(".")[2]
        self.top: dict[str, Any] = {"ports": {self.name: 5000}}
        self.write(**section)
        settings.use(None)
        self.broker: Broker = make(self.name)
        self.broker.from_settings = partial(make, self.name)
        self.broker._launchers = self.launchers = Launchers(self.launcher)  # type: ignore[assignment]
        open_with(self.broker, self.launcher)

    def write(self, **section: Any) -> None:
        """Change the section of the file."""
        given = {"modules": {"plain": {"process": ["old"]}}, **section}
        self.file.write_text(json.dumps({**self.top, self.name: given}))

    def reload(self, **section: Any) -> dict[str, Any]:
        """Change the section of the file, and reload. Returns what has changed."""
        self.write(**section)
        report = self.broker.reload()
        rest()
        return {key: names for key, names in report.items() if names}

    def add(self, type: str = "plain", **more: Any) -> str:
        """Returns the uid of a new item."""
        adding = gevent.spawn(self.broker.add, type, **more)
        rest()
        assert adding.ready()
        uid: str = adding.get()["uid"]
        return uid

    def shown(self, uid: str) -> dict[str, Any]:
        return next(each for each in self.broker.show_roster() if each["uid"] == uid)

    def process_of(self, uid: str) -> FakeProcess:
        """The last process of an item."""
        return next(
            each for each in reversed(self.launcher.processes) if each.label.endswith(uid[:8])
        )

    def program_of(self, uid: str) -> str:
        return self.process_of(uid).spec.argv[0]


@contextmanager
def settings_in(folder: Path) -> Iterator[Path]:
    """Settings in a file of this folder, whose types are in memory."""
    file = folder / "settings.json"
    with (
        mock.patch.object(catalog, "Module", Fake),
        mock.patch.dict("os.environ", {settings.VARIABLE: str(file)}),
    ):
        try:
            yield file
        finally:
            settings.use(None)
