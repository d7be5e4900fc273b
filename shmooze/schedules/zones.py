"""Time zones: moments in seconds since 1970, and the local times that people write for them.

A local time that does not exist, since the clocks go forward over it, means the moment at which
they do. One that exists twice means the first of both.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo

from shmooze.broker.terms import zone_of


class MachineZone(tzinfo):
    """The time zone of this machine, as the system converts times."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        if moment is None:
            return None
        # `astimezone` moves a time that does not exist, in another way in each version of Python.
        local = moment.replace(tzinfo=None)
        seconds = local.replace(tzinfo=timezone.utc).timestamp() - local.timestamp()
        return timedelta(seconds=round(seconds))

    def tzname(self, moment: datetime | None) -> str | None:
        return None if moment is None else moment.replace(tzinfo=None).astimezone().tzname()

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def fromutc(self, moment: datetime) -> datetime:
        seconds = moment.replace(tzinfo=timezone.utc).timestamp()
        return datetime.fromtimestamp(seconds).replace(tzinfo=self)


MACHINE = MachineZone()


def zone(name: str | None) -> tzinfo:
    """The time zone of this name; that of the machine for None. Raises ValueError."""
    return zone_of("tz", name) or MACHINE


def moment_of(local: datetime, zone: tzinfo) -> float:
    """The moment of a local time, which has no zone of its own."""
    early, late = (local.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if early <= late:
        return early
    # It does not exist: by the offset before the change it would be later than by that after it.
    while early - late > 0.5:
        middle = (early + late) / 2
        if datetime.fromtimestamp(middle, zone).replace(tzinfo=None) < local:
            late = middle
        else:
            early = middle
    return float(round(early))


def in_words(moment: float, zone: tzinfo = MACHINE) -> str:
    """A moment in the time of a zone, such as 2027-03-01T08:00:00+01:00."""
    return datetime.fromtimestamp(moment, zone).isoformat(timespec="seconds")
