"""Terms: what an item is added with besides its type and args, mainly when it may play."""

from __future__ import annotations

from typing import Any

import msgspec

from shmooze.runtime import clock


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The part of each day in which an item plays, and plays alone."""

    #: Times of day such as "08:00" and "18:30:15". If `to` is not later, it is on the next day.
    start: str = msgspec.field(name="from")
    end: str = msgspec.field(name="to")
    #: Days on which it begins, such as ("mon", "sun"); empty: all.
    days: tuple[str, ...] = ()
    #: A time zone such as "Europe/Berlin"; None: that of the machine.
    tz: str | None = None


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """The terms of one item. All lives of the item share them."""

    #: The higher, the sooner its turn comes, where the order is by priority.
    priority: float = 0.0
    #: What it is called in place of the label of its type.
    label: str | None = None
    #: When it may start, in seconds since 1970.
    not_before: float | None = None
    #: When it ends if it has not begun until then, in seconds since 1970.
    expires: float | None = None
    #: Uids of items of which all have to be done before it starts.
    after: tuple[str, ...] = ()
    #: Those of `after` that are done.
    met: tuple[str, ...] = ()
    #: A name that several items share.
    batch: str | None = None
    #: When it plays; None: always.
    window: Window | None = None
    #: The address of its owner, where that matters and no token names one.
    owner: str | None = None
    #: Its number in turns by owner: the lower, the sooner.
    turn: float | None = None
    #: Whether it was put where it stands by hand.
    moved: bool = False
    #: Who has voted for it to come sooner, and to be skipped.
    ups: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()
    #: The schedule that has added it.
    schedule: str | None = None

    @property
    def has_times(self) -> bool:
        """Whether the time of day or the date matters to it."""
        return bool(self.not_before or self.expires or self.window)

    def of_begun(self) -> Terms:
        """Those that still matter to an item that has begun: not what it had to wait for."""
        if self.not_before is None and not self.after:
            return self
        return msgspec.structs.replace(self, not_before=None, after=())

    def shown(self) -> dict[str, Any]:
        """What clients see of them, apart from the label: {"priority"?, "not_before"?, …}."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        for private in ("label", "owner", "met", "turn", "moved", "ups", "skips"):
            shown.pop(private, None)
        for moment in ("not_before", "expires"):
            if moment in shown:
                shown[moment] = clock.iso8601(shown[moment])
        if self.ups:
            shown["ups"] = len(self.ups)
        if self.skips:
            shown["skips"] = len(self.skips)
        return shown


#: The terms of an item that was added without any.
PLAIN = Terms()

_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(Terms)


def to_json(terms: Terms) -> str | None:
    """The terms as the state file has them; None for plain ones."""
    return None if terms == PLAIN else _encoder.encode(terms).decode()


def from_json(text: str | None) -> Terms:
    """The reverse. Raises ValueError."""
    return PLAIN if text is None else _decoder.decode(text)
