"""A simulated bench power supply with a small lamp at its output. It speaks SCPI over TCP.

    python3 simulator.py --port 5025

It stands for a real instrument on the network. It knows nothing of shmooze, and prints what it is
told. The filament of the lamp gets hot, so its resistance rises with the voltage.
"""

from __future__ import annotations

import argparse
import math
import random
import socketserver
import sys
import threading
import time

MAX_VOLTS, MAX_AMPS = 30.0, 3.0
#: Resistance of the lamp: cold, in ohm, and how much of it each watt adds.
COLD, PER_WATT = 4.0, 1.5
#: Seconds that the filament takes for most of the way to another temperature.
INERTIA = 0.2
#: Seconds that it is computed for at a time.
STEP = 0.02
#: Relative error of a measurement.
NOISE = 0.002


class Refused(Exception):
    """A code and a text, as SYST:ERR? tells them."""


class Supply:
    """The instrument: what is set, what is measured, and its list of errors."""

    def __init__(self, verbose: bool = False) -> None:
        self._verbose = verbose
        self._lock = threading.Lock()
        self._errors: list[str] = []
        self._watchdog = 0.0
        self._heard = time.monotonic()
        self._noise = random.Random()
        self._reset()

    def _reset(self) -> None:
        self._volts, self._limit, self._is_on = 0.0, 1.0, False
        self._ohms, self._looked = COLD, time.monotonic()

    def handle(self, line: str) -> str | None:
        """Carry out one command. Returns the answer to a question, None for anything else."""
        with self._lock:
            self._heard = time.monotonic()
            word, _, argument = line.strip().partition(" ")
            if self._verbose and not word.endswith("?"):
                print(line.strip(), flush=True)
            try:
                return (
                    self._answer(word.upper()) if word.endswith("?") else self._set(word, argument)
                )
            except Refused as refused:
                self._errors.append(str(refused))
            return None

    def check_watchdog(self) -> None:
        """Switch the output off if nobody has said anything for too long."""
        with self._lock:
            silence = time.monotonic() - self._heard
            if self._is_on and self._watchdog and silence > self._watchdog:
                self._is_on = False
                print(f"watchdog: nothing heard for {self._watchdog:g} s, output off", flush=True)

    def _answer(self, question: str) -> str | None:
        if question == "*IDN?":
            return "Example Instruments,PS-30,0001,1.0"
        if question == "SYST:ERR?":
            return self._errors.pop(0) if self._errors else '0,"No error"'
        values = {"VOLT?": self._volts, "CURR?": self._limit, "OUTP?": int(self._is_on)}
        if question in values:
            return f"{values[question]:g}"
        if question in ("MEAS:VOLT?", "MEAS:CURR?"):
            return f"{self._measure()[question]:.6E}"
        raise Refused('-113,"Undefined header"')

    def _set(self, word: str, argument: str) -> None:
        command = word.upper()
        if command == "*RST":
            self._reset()
        elif command == "*CLS":
            self._errors.clear()
        elif command == "OUTP":
            states = {"ON": True, "1": True, "OFF": False, "0": False}
            if argument.upper() not in states:
                raise Refused('-141,"Invalid character data"')
            self._is_on = states[argument.upper()]
        elif command == "VOLT":
            self._volts = number(argument, MAX_VOLTS)
        elif command == "CURR":
            self._limit = number(argument, MAX_AMPS)
        elif command == "OUTP:PROT:WDOG:DEL":
            self._watchdog = number(argument, 3600)
        else:
            raise Refused('-113,"Undefined header"')

    def _measure(self) -> dict[str, float]:
        """What flows now: up to the current limit, through a lamp that gets warm or cold."""
        volts = self._volts if self._is_on else 0.0
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        steps = min(1000, math.ceil(passed / STEP) or 1)
        for _ in range(steps):
            amps = min(volts / self._ohms, self._limit)
            goal = COLD + PER_WATT * amps * amps * self._ohms
            self._ohms += (goal - self._ohms) * STEP / INERTIA
        amps = min(volts / self._ohms, self._limit)
        return {
            "MEAS:VOLT?": amps * self._ohms * self._error(),
            "MEAS:CURR?": amps * self._error(),
        }

    def _error(self) -> float:
        return self._noise.gauss(1.0, NOISE)


def number(text: str, highest: float) -> float:
    """A number from 0 to the highest one. Raises Refused."""
    try:
        value = float(text)
    except ValueError:
        raise Refused('-120,"Numeric data error"') from None
    if not 0 <= value <= highest:
        raise Refused('-222,"Data out of range"')
    return value


class Server(socketserver.ThreadingTCPServer):
    """Lets clients talk to a supply, line by line."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, verbose: bool = False) -> None:
        self.supply = Supply(verbose)
        super().__init__(("127.0.0.1", port), Connection)

    def service_actions(self) -> None:
        self.supply.check_watchdog()


class Connection(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        try:
            for line in iter(lambda: self.rfile.readline(1000), b""):
                answer = self.server.supply.handle(line.decode("ascii", "replace"))
                if answer is not None:
                    self.wfile.write(f"{answer}\n".encode())
        except ConnectionError:
            pass  # the client has hung up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=5025, help="0: any free one")
    port = parser.parse_args().port
    try:
        server = Server(port, verbose=True)
    except (OSError, OverflowError) as bad:
        sys.exit(f"simulator: cannot listen on port {port}: {bad}")
    with server:
        print(f"supply listens on 127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
