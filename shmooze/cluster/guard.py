"""The guard: keeps in touch with its service, and ends its program when it may not go on."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import ssl

import gevent
from gevent.event import Event
from gevent.os import tp_read

from shmooze.cluster.lease import Lease, SharedDeadline
from shmooze.cluster.link import Connection, Link
from shmooze.cluster.program import NodeLauncher, Program
from shmooze.cluster.protocol import (
    VERSION,
    Beat,
    BeatAnswer,
    Call,
    CloseStream,
    Content,
    Credit,
    EndOfStream,
    Forget,
    Frame,
    FrameReader,
    Hello,
    Numbered,
    Piece,
    ProtocolError,
    Received,
    Refused,
    Start,
    Welcome,
    encode,
)
from shmooze.cluster.ticket import Ticket, split_address
from shmooze.runtime.backoff import Backoff
from shmooze.runtime.program import ENDING

log = logging.getLogger(__name__)

#: The reason of a guard that ends since its service says so.
NOT_NEEDED = "it is not needed any more"


class Guard:
    """Guards one program on this node."""

    #: Seconds between attempts to reach the service, first and longest.
    first_delay, longest_delay = 0.1, 1.0
    #: Seconds between SIGTERM and SIGKILL if the engine ends the guard.
    patience = 2.0
    #: Seconds for the last messages to the service.
    last_words = 1.0
    #: Seconds after the end of the lease at which the guardian kills a guard that has not ended.
    guardian_delay = 0.5

    def __init__(
        self,
        ticket: Ticket,
        launcher: NodeLauncher,
        deadline: SharedDeadline,
        watches_stdin: bool,
    ) -> None:
        self._ticket, self._launcher, self._deadline = ticket, launcher, deadline
        self._timing = ticket.timing
        self._watches_stdin = watches_stdin
        self._name = secrets.token_hex(8)
        self._link = Link(self._receive)
        self._lease = Lease(self._timing)
        self._program: Program | None = None
        self._heard = 0.0
        self._is_ending = False
        #: Why it ends, once it does.
        self.reason = ""
        self._tls: ssl.SSLContext | None = None
        #: Set when everything has ended.
        self._over = Event()

    def take_signals(self) -> None:
        """Let the signals by which engines end jobs end the program first."""
        for number in ENDING:
            gevent.signal_handler(number, self._end_soon, f"got {signal.Signals(number).name}")

    def run(self) -> None:
        """Return when nothing is left of the program."""
        if self._ticket.tls is not None:
            from shmooze.cluster.certificates import context_of

            self._tls = context_of(self._ticket.tls, is_server=False)
        self._launcher.prepare()
        connecting = gevent.spawn(self._stay_connected)

        def hang_up() -> None:  # to the service, the program is lost with us, and has not failed
            connecting.kill(block=False)
            self._link.detach()

        self._launcher.on_guardian_gone = hang_up
        self._launcher.open(f"guard {self._name}", lambda: os._exit(1))
        greenlets = [connecting, gevent.spawn(self._watch_lease)]
        if self._watches_stdin:
            greenlets.append(gevent.spawn(self._watch_stdin))
        self._over.wait()
        gevent.killall(greenlets)
        self._link.detach()

    # Ends.

    def _end_soon(self, reason: str, patience: float | None = patience) -> None:
        """End the program and the guard, for a reason of the guard's own. Does not wait."""
        if not self._is_ending:
            self._is_ending, self.reason = True, reason
            gevent.spawn(self._end, reason, patience)

    def _end(self, reason: str, patience: float | None) -> None:
        try:
            log.warning("the guard ends: %s", reason)
            if self._program is not None:
                self._program.end(patience, reason)
                with gevent.Timeout(self.last_words, False):
                    while self._link.is_connected and self._link.unacknowledged:
                        gevent.sleep(0.01)
        finally:
            self._over.set()

    def _watch_stdin(self) -> None:
        while tp_read(0, 1 << 12):
            pass
        self._end_soon("what had started it is gone", None)

    def _watch_lease(self) -> None:
        while (left := self._lease.left - self._timing.patience) > 0:
            gevent.sleep(left)
        self._end_soon("the service could not be reached", self._timing.patience)

    # The connection.

    def _stay_connected(self) -> None:
        backoff, failures = Backoff(self.first_delay, self.longest_delay, 0.25), 0
        while not self._over.is_set():
            connection = self._connect()
            if connection is not None:
                try:
                    if self._serve(connection):
                        failures = 0
                except ProtocolError as bad:
                    log.warning("closed the connection with the service: %s", bad)
                finally:
                    connection.close()
            failures += 1
            gevent.sleep(backoff.delay(failures))

    def _connect(self) -> Connection | None:
        """Connect with the service; None if that is not possible now."""
        is_refused = True
        for address in self._ticket.addresses:
            try:
                return self._connect_with(address)
            except ConnectionRefusedError:
                continue
            except (OSError, ValueError) as bad:
                log.warning("cannot reach the service at %s: %s", address, bad)
                is_refused = False
        if is_refused:
            self._end_soon("nobody listens at the service's door any more", None)
        return None

    def _connect_with(self, address: str) -> Connection:
        connected = socket.create_connection(split_address(address), timeout=self._timing.silence)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connected = self._tls.wrap_socket(connected)
            connected.settimeout(None)
        except BaseException:
            connected.close()
            raise
        return Connection(connected)

    def _serve(self, connection: Connection) -> bool:
        """Talk with the service until the connection ends. Returns whether it was let in."""
        frames = connection.frames(FrameReader())
        beat = self._lease.beat()
        own = self._ticket
        connection.write(
            encode(
                Hello(
                    VERSION,
                    own.session,
                    own.secret,
                    self._name,
                    socket.gethostname(),
                    self._link.received,
                )
            )
        )
        answer = None
        with gevent.Timeout(self._timing.silence, False):
            answer = next(frames, None)
        if isinstance(answer, Refused):
            self._end_soon(f"the service refused it: {answer.reason}", None)
            return False
        if not isinstance(answer, Welcome):
            return False
        self._extend_lease(beat)
        self._link.attach(connection, answer.received)
        self._heard = self._now()
        beating = gevent.spawn(self._beat)
        try:
            for frame in frames:
                self._heard = self._now()
                self._take(frame)
        finally:
            beating.kill(block=False)
            self._link.detach()
        return True

    def _beat(self) -> None:
        while self._now() - self._heard < self._timing.silence:
            self._link.write(encode(Beat(self._lease.beat(), self._link.received)))
            gevent.sleep(self._timing.beat)
        self._link.detach()

    def _extend_lease(self, beat: int) -> None:
        self._lease.answered(beat)
        # If this process should be stopped meanwhile, its guardian still sees when it is over.
        self._deadline.set(self._lease.until + self.guardian_delay)

    def _now(self) -> float:
        return gevent.get_hub().loop.now()

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Numbered):
            self._link.take(frame)
        elif isinstance(frame, BeatAnswer):
            self._link.acknowledge(frame.received)
            self._extend_lease(frame.number)
        elif isinstance(frame, Received):
            self._link.acknowledge(frame.received)
        elif isinstance(frame, Refused):
            self._end_soon(f"the service refused it: {frame.reason}", None)
        else:
            raise ProtocolError(f"unexpected {type(frame).__name__}")

    def _receive(self, message: Content) -> None:
        """Take a message of the service. Does not wait."""
        if isinstance(message, Start):
            if self._program is None and not self._is_ending:
                self._program = Program(self._launcher, self._link.send)
                gevent.spawn(self._program.start, message)
        elif isinstance(message, Forget):
            self._end_soon(NOT_NEEDED, None)
        elif self._program is None:
            return
        elif isinstance(message, Call):
            gevent.spawn(self._program.call, message)
        elif isinstance(message, (Piece, EndOfStream, Credit, CloseStream)):
            self._program.take(message)
