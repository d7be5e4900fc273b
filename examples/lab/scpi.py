"""A connection to an instrument that speaks SCPI over TCP. Standard library only."""

from __future__ import annotations

import socket
import threading
import time

from shmooze.errors import CommandError

NOT_CONNECTED = "the instrument is not connected: something else uses it"


class InstrumentError(CommandError):
    """What is wrong with the instrument, or with what it was told, in one line."""


class Instrument:
    """One instrument, at an address such as `127.0.0.1:5025`. Threads may share it."""

    #: Seconds that it may take for an answer.
    timeout = 1.0

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise InstrumentError(f"the address must be HOST:PORT, not {address!r}")
        self._address, self._where = address, (host, int(port))
        self._lock = threading.RLock()
        self._socket: socket.socket | None = None
        self._rest = b""

    def open(self, patience: float = 3.0) -> None:
        """Connect, unless it is connected. Raises InstrumentError.

        `patience` is in seconds: the instrument may have been switched on just now.
        """
        deadline = time.monotonic() + patience
        while self._socket is None:
            try:
                self._socket = socket.create_connection(self._where, timeout=self.timeout)
            except OSError as bad:
                if time.monotonic() > deadline:
                    why = bad.strerror or str(bad)
                    raise InstrumentError(f"no instrument at {self._address}: {why}") from bad
                time.sleep(0.1)
        self._rest = b""

    def close(self, *last: str) -> None:
        """Send the last commands, and hang up. No other thread can send anything after them.

        Raises InstrumentError if that fails; it is closed then, too.
        """
        with self._lock:
            try:
                self.tell(*last)
            finally:
                self._hang_up()

    def ask(self, question: str) -> str:
        """Send a question, and return the answer. Raises InstrumentError."""
        with self._lock:
            if self._socket is None:
                raise InstrumentError(NOT_CONNECTED)
            try:
                self._socket.sendall(f"{question}\n".encode())
                while b"\n" not in self._rest:
                    chunk = self._socket.recv(4096)
                    if not chunk:
                        raise ConnectionError("it has hung up")
                    self._rest += chunk
            except BaseException as bad:
                self._hang_up()  # a late answer would be taken for that to another question
                if isinstance(bad, OSError):
                    asked = question.partition("\n")[0]
                    words = f"{self._address} does not answer {asked}: {bad}"
                    raise InstrumentError(words) from bad
                raise
            line, _, self._rest = self._rest.partition(b"\n")
            return line.decode("ascii", "replace").strip()

    def tell(self, *commands: str) -> None:
        """Send commands one by one. Raises InstrumentError for the first that is refused."""
        for command in commands:
            problem = self.ask(f"{command}\nSYST:ERR?")
            if not problem.startswith(("0,", "+0,")):
                raise InstrumentError(f"the instrument refuses {command}: {problem}")

    def measure(self, what: str) -> float:
        """A measurement, such as that of `VOLT`, in its basic unit. Raises InstrumentError."""
        answer = self.ask(f"MEAS:{what}?")
        try:
            return float(answer)
        except ValueError:
            raise InstrumentError(f"MEAS:{what}? was answered with {answer!r}") from None

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
