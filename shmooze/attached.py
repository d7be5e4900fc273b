"""A broker that attaches each part when it is needed, as queue and pool do.

A program that does not need a part does not load it.
"""

from __future__ import annotations

from shmooze.broker.broker import Broker
from shmooze.broker.jobs import Jobs
from shmooze.broker.renewal import Reloader
from shmooze.runtime import extras
from shmooze.runtime.extras import EXPORTER
from shmooze.settings import Settings


class AttachingBroker(Broker):
    """The base of queue and pool."""

    def attach_state(self) -> None:
        from shmooze.state.attach import attach  # loaded only where there is a state file

        attach(self)

    def attach_schedules(self) -> None:
        from shmooze.schedules.commands import Schedules  # loaded only where there is a state file

        Schedules(self).attach()

    def attach_times(self) -> None:
        from shmooze.schedules.times import Times  # loaded only where an item has times

        Times(self).attach()

    def attach_jobs(self) -> Jobs:
        from shmooze.jobs.attach import attach  # loaded only where a job needs it

        return attach(self)

    def attach_reloader(self) -> Reloader:
        from shmooze.reloading.reloader import BrokerReloader  # loaded only where it is wanted

        return BrokerReloader(self)

    def attach_metrics(self) -> None:
        from shmooze.metrics.attach import attach  # loaded only where the settings want metrics

        attach(self)

    def attach_descriptions(self) -> None:
        from shmooze.description.attach import attach  # loaded only where a type is described

        attach(self)

    def attach_observers(self, source: Settings, opens: bool) -> None:
        if source.get("tracing"):
            extras.require(source, "tracing", EXPORTER, "tracing")
            if opens:
                from shmooze.tracing.attach import attach as attach_traces

                attach_traces(self)
        if source.get("log_path") and opens:
            from shmooze.logs.attach import attach as attach_log_files

            attach_log_files(self)
        if source.get("hooks"):
            from shmooze.hooks.attach import attach as attach_hooks

            attach_hooks(self, opens)

    def attach_doors(self) -> None:
        from shmooze.servers.attach import attach  # loaded only where a type has a web server

        attach(self)
