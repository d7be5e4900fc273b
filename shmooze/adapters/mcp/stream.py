"""One stream of messages to a client: as server-sent events, and kept until the client has them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from gevent.event import Event

from shmooze.runtime.patience import Patience

#: A line that clients overlook.
HEARTBEAT = b":\n\n"


class EventStream:
    """Messages to one client, in order. What a client does not take is dropped, the oldest first.

    `name` tells it from the other streams of its session.
    """

    #: Messages that are kept, and their bytes; the last one in any case.
    max_events, max_bytes = 100, 256 << 10
    #: Seconds after which a client hears something, be it nothing.
    heartbeat = 15.0

    def __init__(self, name: str) -> None:
        self.name = name
        self._events: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._last = 0
        #: The number of the last event that the client has got, as far as that is known.
        self.delivered = 0
        #: Whether there was anything but answers to requests.
        self.has_reports = False
        #: Whether nothing more will come.
        self.is_over = False
        self._changed = Event()
        #: Whoever reads it at present: the latest one.
        self._reader: object = None

    @property
    def is_read(self) -> bool:
        """Whether a client reads it."""
        return self._reader is not None

    @property
    def has_all(self) -> bool:
        """Whether the client has got everything."""
        return self.is_over and self.delivered == self._last

    @property
    def messages(self) -> list[bytes]:
        """Those that are kept."""
        return [message for _, message in self._events]

    def put(self, message: bytes, is_answer: bool = False) -> None:
        """Add a message, which is one line."""
        self.has_reports |= not is_answer
        self._last += 1
        self._events.append((self._last, message))
        self._bytes += len(message)
        while len(self._events) > 1 and (
            len(self._events) > self.max_events or self._bytes > self.max_bytes
        ):
            _, dropped = self._events.popleft()
            self._bytes -= len(dropped)
        self._tell()

    def put_once(self, message: bytes) -> None:
        """Add a message, unless the client is still to get the same."""
        if all(number <= self.delivered or each != message for number, each in self._events):
            self.put(message)

    def end(self) -> None:
        """Nothing more will come. May be called twice."""
        self.is_over = True
        self._tell()

    def wait_complete(self, timeout: float) -> bool:
        """Wait until the stream is over. Returns whether that is so, and it has only answers;
        False as soon as there is something else, or after `timeout` seconds.
        """
        patience = Patience(timeout)
        while not self.is_over and not self.has_reports:
            if not patience.wait(self._changed):
                return False
        return not self.has_reports and bool(self._events)

    def read(self, after: int, begins: bool = False) -> Iterator[bytes]:
        """The events after the one with this number, until the stream is over or somebody else
        reads it. `begins`: there is an event without a message first, so that a client can come
        back that has got nothing else.
        """
        me = self._reader = object()
        self._tell()  # whoever has read it so far
        try:
            yield self._event(after, b"") if begins else HEARTBEAT  # it hears that it is heard
            while self._reader is me:
                changed = self._changed
                event = next((each for each in self._events if each[0] > after), None)
                if event is not None:
                    yield self._event(*event)
                    after = event[0]
                    self.delivered = max(self.delivered, after)
                elif self.is_over:
                    return
                elif not changed.wait(self.heartbeat):
                    yield HEARTBEAT
        finally:
            if self._reader is me:
                self._reader = None

    def _event(self, number: int, message: bytes) -> bytes:
        return b"id: %s-%d\ndata: %b\n\n" % (self.name.encode(), number, message)

    def _tell(self) -> None:
        changed, self._changed = self._changed, Event()
        changed.set()
