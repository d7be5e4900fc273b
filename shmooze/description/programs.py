"""The programs that know the descriptions of their types: asked in the background, a few at a time.

Each is asked once, and again when one of its files has changed. Whoever needs an answer that is
not there yet waits for it, for a while, and the program is asked next.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable

import gevent
from gevent.event import Event

from shmooze.broker.launchers import Launchers
from shmooze.description.asking import DESCRIBE, Asking, Fingerprint, Refusal, fingerprint
from shmooze.description.described_type import UNDESCRIBED, DescribedType
from shmooze.description.description import Description
from shmooze.description.learned import usable
from shmooze.errors import CommandError, ModuleError, SettingsError
from shmooze.modules.channel.adapters import Enquiry, enquiry_of
from shmooze.runtime import clock
from shmooze.runtime.patience import Patience

log = logging.getLogger(__name__)


class Programs:
    """Asks the programs of these types. `on_answer` is called when a description is another one."""

    #: Seconds that a command may wait for the answer of a program: less than the gateway allows.
    max_wait = 8.0
    #: Seconds between two looks at the files of a program.
    interval = 1.0
    #: Programs that are asked at the same time.
    max_asked = os.cpu_count() or 1

    def __init__(
        self,
        service: str,
        types: Iterable[DescribedType],
        on_answer: Callable[[DescribedType], None],
    ) -> None:
        self._service, self._on_answer = service, on_answer
        #: Set for each type while its last answer counts.
        self._answered = {each: Event() for each in types}
        #: The files of each when it was asked, and when they are looked at again.
        self._asked: dict[DescribedType, tuple[Fingerprint | None, ...]] = {}
        self._next_look: dict[DescribedType, float] = {}
        self._launchers: Launchers | None = None
        self._waiting: deque[DescribedType] = deque()
        self._askings: set[Asking | Enquiry] = set()
        self._workers: set[gevent.Greenlet] = set()
        self._is_closed = False

    def open(self, launchers: Launchers) -> None:
        """Ask them all."""
        self._launchers = launchers
        self._waiting.extend(self._answered)
        self._work()

    def add(self, types: Iterable[DescribedType]) -> None:
        """Ask the programs of more types."""
        new = {each: Event() for each in types}
        self._answered.update(new)
        self._waiting.extend(new)
        self._work()

    def close(self) -> None:
        """End those that are being asked. Returns when nothing of them is left."""
        self._is_closed = True
        self._waiting.clear()
        for asking in self._askings:
            asking.stop()
        gevent.joinall(list(self._workers))
        for answered in self._answered.values():
            answered.set()

    def wait_for(self, types: Iterable[DescribedType]) -> None:
        """Wait until the descriptions of these types are those of their programs as they are now.

        Returns after `max_wait` seconds in any case.
        """
        patience = Patience(self.max_wait)
        wanted = [each for each in types if each in self._answered]
        for each in wanted:
            self._look(each)
        for each in wanted:
            if not self._answered[each].is_set():
                patience.wait(self._answered[each])

    def _look(self, described: DescribedType) -> None:
        """Ask a program next, if it has not answered or is not the same any more."""
        answered = self._answered[described]
        now = clock.now()
        if self._is_closed:
            return
        if answered.is_set() and now >= self._next_look[described]:
            self._next_look[described] = now + self.interval
            if fingerprint(described.kind.process) != self._asked[described]:
                answered.clear()
                self._waiting.appendleft(described)
                self._work()
        elif described in self._waiting and self._waiting[0] is not described:
            self._waiting.remove(described)
            self._waiting.appendleft(described)

    def _work(self) -> None:
        while len(self._workers) < min(self.max_asked, len(self._waiting) + len(self._askings)):
            self._workers.add(gevent.spawn(self._ask_all))

    def _ask_all(self) -> None:
        try:
            while self._waiting:
                self._ask(self._waiting.popleft())
        finally:  # not later: whoever has a program to ask meanwhile would count on this worker
            self._workers.discard(gevent.getcurrent())

    def _ask(self, described: DescribedType) -> None:
        kind = described.kind
        assert self._launchers is not None
        self._asked[described] = fingerprint(kind.process)
        launcher = self._launchers.of(kind)
        enquiry = enquiry_of(kind, launcher)
        asking = Asking(kind, launcher) if enquiry is None else enquiry
        self._askings.add(asking)
        before, now = described.description, None
        try:
            document = asking.ask()
            if enquiry is not None:
                document["commands"] = usable(document["commands"], kind.TYPE_STRING)
            now = Description(document, _wrong)
        except (Refusal, SettingsError, ModuleError, CommandError) as bad:
            if not self._is_closed:
                words = " ".join([*kind.process, *([DESCRIBE] if enquiry is None else [])])
                name, rest = kind.TYPE_STRING, UNDESCRIBED
                log.error("%s: %s: `%s` %s; %s", self._service, name, words, bad, rest)
        except Exception:
            log.exception("%s: `%s` cannot be described", self._service, kind.TYPE_STRING)
        finally:
            described.take(now)
            self._askings.discard(asking)
            self._next_look[described] = clock.now() + self.interval
            self._answered[described].set()
        if now is not before:
            self._on_answer(described)


def _wrong(path: str, problem: str) -> SettingsError:
    return SettingsError(
        f"printed a description in which `{path}` {problem}"
        if path
        else f"printed a description that {problem}"
    )
