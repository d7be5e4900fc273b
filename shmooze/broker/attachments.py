"""What can be attached to a broker. Queue and pool do so with each part when it is needed."""

from __future__ import annotations

import logging
from typing import Protocol

from shmooze.broker.jobs import Jobs
from shmooze.broker.renewal import Reloader
from shmooze.errors import CommandError
from shmooze.settings import Settings

log = logging.getLogger(__name__)


class LogReader(Protocol):
    """Reads the log files of items."""

    def read(self, uid: str, limit: int, since: float | None, grep: str | None) -> list[str] | None:
        """The newest lines of an item that it has printed since then, in seconds since 1970, and
        that have this text in them; None: it has no file.
        """


class Attachments:
    """A broker to which nothing is attached."""

    name: str | None
    #: Whether the times of items count already, see attach_times.
    _has_times = False
    #: What jobs need, once one needs it.
    _jobs: Jobs | None = None
    #: What items have printed, in log files; None: there are none.
    log_files: LogReader | None = None
    #: What reads the settings again, once it is wanted.
    _reloader: Reloader | None = None

    def attach_state(self) -> None:
        """Let the items be kept in the state file. Raises SettingsError."""
        log.warning("%s: keeps nothing, since it is neither a Queue nor a Pool", self.name)

    def attach_schedules(self) -> None:
        """Offer the commands on schedules, which are kept in the state file."""

    def attach_times(self) -> None:
        """Let `not_before`, `expires` and `window` count."""
        log.warning("%s: ignores times, since it is neither a Queue nor a Pool", self.name)

    def need_times(self) -> None:
        """Attach them when the first item has such terms."""
        if not self._has_times:
            self._has_times = True
            self.attach_times()

    def attach_jobs(self) -> Jobs:
        """Let items wait for others, limit their time, and let clients wait for them."""
        raise CommandError(f"{self.name} has no jobs, since it is neither a Queue nor a Pool")

    def need_jobs(self) -> Jobs:
        """What jobs need, attached when the first one needs it."""
        if self._jobs is None:
            self._jobs = self.attach_jobs()
        return self._jobs

    def attach_reloader(self) -> Reloader:
        """Let the settings be read again while the service runs."""
        raise CommandError(f"{self.name} cannot reload, since it is neither a Queue nor a Pool")

    def need_reloader(self) -> Reloader:
        """What reads the settings again, attached when that is first wanted."""
        if self._reloader is None:
            self._reloader = self.attach_reloader()
        return self._reloader

    def attach_metrics(self) -> None:
        """Count what happens, and offer the command `metrics`. Raises SettingsError."""
        log.warning("%s: counts nothing, since it is neither a Queue nor a Pool", self.name)

    def attach_descriptions(self) -> None:
        """Let items be checked against the descriptions of their types."""
        log.warning("%s: checks no args, since it is neither a Queue nor a Pool", self.name)

    def attach_ordering(self) -> None:
        """Let items be ordered and limited as the settings say. Raises SettingsError."""
        log.warning("%s: orders nothing, since it is neither a Queue nor a Pool", self.name)

    def attach_observers(self, source: Settings, opens: bool) -> None:
        """Let traces, log files and hooks have what happens, as far as the settings name any.

        If nothing is to be opened, only check what they say of these. Raises SettingsError.
        """
        for key in ("tracing", "log_path", "hooks"):
            if source.get(key):
                log.warning(
                    "%s: ignores `%s`, since it is neither a Queue nor a Pool", self.name, key
                )

    def attach_doors(self) -> None:
        """Let requests reach the web servers of modules."""
        log.warning("%s: passes no requests on, since it is neither a Queue nor a Pool", self.name)
