"""The templates of a service: one for each program that is preloaded, replaced when it changes."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Hashable, Iterable
from functools import partial

import gevent

from shmooze.processes.capabilities import CAN_TRACK_TREES
from shmooze.processes.contract import LaunchSpec
from shmooze.processes.local_process import LocalProcess
from shmooze.processes.spawn_request import SpawnRequest
from shmooze.processes.template import Changed, Launch, NotForked, Template
from shmooze.runtime.backoff import Backoff
from shmooze.runtime.python_command import parse

log = logging.getLogger(__name__)


class Templates:
    """Finds a template for each spec with `preload`, and loads those that are missing.

    Until one has been loaded, and where that is impossible, processes are started as others are.
    """

    #: The delays until a program is loaded again that could not be.
    backoff = Backoff(first=1.0, longest=60.0)

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._current: dict[Hashable, Template] = {}
        #: Those, and others that are being ended.
        self._living: list[Template] = []
        self._failures: dict[Hashable, int] = {}
        #: When those that have failed are tried again.
        self._next_attempt: dict[Hashable, float] = {}
        #: What the log says about each already.
        self._problems: dict[Hashable, str] = {}
        self._is_closed = False

    def keep_only(self, specs: Iterable[LaunchSpec]) -> None:
        """End all templates but those of these specs. Does not wait."""
        wanted = {_key_of(spec) for spec in specs}
        for key, template in [*self._current.items()]:
            if key not in wanted:
                gevent.spawn(template.end)

    def find(self, spec: LaunchSpec) -> Template | None:
        """The template from which a process can be forked now. Begins to load a missing one."""
        if spec.preload is None or self._is_closed:
            return None
        command = parse(spec.argv)
        key = _key_of(spec)
        if command is None:
            self._warn(key, spec, "its program is not started directly with Python")
            return None
        if not CAN_TRACK_TREES:
            self._warn(key, spec, "this system cannot track processes")
            return None
        template = self._current.get(key)
        if template is None:
            if self._next_attempt.get(key, 0.0) <= time.monotonic():
                self._load(key, spec)
            return None
        if not template.is_ready:
            return None
        self._failures.pop(key, None)
        return template

    def fork(
        self, spec: LaunchSpec, make: Callable[[Callable[[SpawnRequest], int]], LocalProcess]
    ) -> LocalProcess | None:
        """Fork a process, which `make` makes with what starts it. Returns None if it has to be
        started as others are. Raises OSError.
        """
        if (template := self.find(spec)) is None:
            return None
        try:
            return make(template.start)
        except NotForked as problem:
            self._note(spec, template, problem)
            return None

    def _note(self, spec: LaunchSpec, template: Template, problem: NotForked) -> None:
        if isinstance(problem, Changed):
            log.info("%s: %s has changed, and is loaded again", _name_of(spec), problem)
            template.end()
            self.find(spec)
        else:
            log.warning("%s: not forked from its template: %s", spec.label, problem)

    def close(self) -> None:
        """End all templates, and wait until they are gone. From now on there are none."""
        self._is_closed = True
        for template in self._living:
            template.end()

    def _load(self, key: Hashable, spec: LaunchSpec) -> None:
        command = parse(spec.argv)
        assert command is not None and spec.preload is not None
        label = f"{_name_of(spec)} template"
        loaded = dataclasses.replace(spec, label=label, environ=spec.preload)
        try:
            template = Template(command, loaded, self._launch, partial(self._ended, key, spec))
        except (OSError, ValueError) as bad:
            self._failed(key, spec, f"it cannot be started: {bad}")
        else:
            self._living = [*(each for each in self._living if not each.is_gone), template]
            self._current[key] = template
            if self._is_closed:  # while it was launched
                template.end()

    def _ended(self, key: Hashable, spec: LaunchSpec, problem: str | None) -> None:
        self._current.pop(key, None)
        if problem is not None:
            self._failed(key, spec, problem)

    def _failed(self, key: Hashable, spec: LaunchSpec, problem: str) -> None:
        self._failures[key] = failures = self._failures.get(key, 0) + 1
        self._next_attempt[key] = time.monotonic() + self.backoff.delay(failures)
        self._warn(key, spec, problem)

    def _warn(self, key: Hashable, spec: LaunchSpec, problem: str) -> None:
        if self._problems.get(key) != problem and not self._is_closed:
            self._problems[key] = problem
            log.warning(
                "%s: each process loads the program itself, in spite of `preload`: %s",
                _name_of(spec),
                problem,
            )


def _key_of(spec: LaunchSpec) -> Hashable:
    command = parse(spec.argv)
    words = (*command.interpreter, *command.program) if command else tuple(spec.argv)
    return words, spec.cwd, frozenset((spec.preload or {}).items())


def _name_of(spec: LaunchSpec) -> str:
    """The name of its type: labels are that and a uid."""
    return spec.label.rpartition(" ")[0]
