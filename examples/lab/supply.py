"""What all modules do that drive the power supply: they take it over, and leave it switched off.

The variable SUPPLY has its address. The output is switched off when a module is suspended, removed
or told to end by SIGTERM. If nobody is left who could do that, the supply's own watchdog does.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from scpi import Instrument, InstrumentError

from shmooze.modules import Worker

EXITED_BY_SIGTERM = 128 + signal.SIGTERM


class SupplyModule(Worker):
    """A module that has the power supply while it plays. A subclass has `drive`."""

    #: Seconds of silence after which the supply switches its output off by itself.
    watchdog = 2.0
    #: Whether it may have switched something on.
    has_supply = False
    #: Counts how often it has taken the supply over.
    turns = 0

    def cmd_init(self) -> None:
        self.supply = find_supply()

    def cmd_play(self) -> None:
        """Take the supply over, with the output off."""
        self.supply.open()
        self.has_supply = True
        self.supply.tell("OUTP OFF", f"OUTP:PROT:WDOG:DEL {self.watchdog:g}")
        self.turns += 1
        super().cmd_play()

    def cmd_suspend(self) -> None:
        """Leave the supply to others."""
        super().cmd_suspend()
        self.leave_supply()

    def cmd_rm(self) -> None:
        super().cmd_rm()
        self.leave_supply()

    def leave_supply(self) -> None:
        """Switch the output off, and hang up. Never raises, and may be called twice."""
        if not self.has_supply:
            return
        self.has_supply = False
        try:
            self.supply.open(patience=0)  # anew, if an answer is missing
            self.supply.close("OUTP OFF")
        except InstrumentError as bad:
            print(f"the output may still be on: {bad}", file=sys.stderr)

    def work(self) -> None:
        try:
            self.drive()
        except InstrumentError as bad:
            self.fail(str(bad))

    def drive(self) -> None:
        raise NotImplementedError

    def run(self) -> NoReturn:
        """Answer commands until the program ends, and leave the supply whatever ends it."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXITED_BY_SIGTERM))
        try:
            super().run()
        finally:
            self.leave_supply()


class Rehearsal(Instrument):
    """A simulated supply inside this program."""

    def __init__(self) -> None:
        from simulator import Supply  # of no use otherwise

        self._inside = Supply()

    def open(self, patience: float = 0) -> None:
        pass

    def close(self, *last: str) -> None:
        self.tell(*last)

    def ask(self, question: str) -> str:
        return [self._inside.handle(line) for line in question.split("\n")][-1] or ""


def find_supply() -> Instrument:
    """The power supply, not yet connected."""
    if os.environ.get("SHMOOZE_CHECK"):  # `check_module` must not switch a real one on
        return Rehearsal()
    return Instrument(os.environ.get("SUPPLY", "127.0.0.1:5025"))
