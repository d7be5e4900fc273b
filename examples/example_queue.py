"""A queue of countdowns, with a clock as the background while the queue is empty.

SHMOOZE_SETTINGS=examples/settings.json python examples/example_queue.py
"""

from gevent import monkey

monkey.patch_all()  # before all other imports: unpatched code would block the service

import sys
from pathlib import Path

from shmooze.modules import Module
from shmooze.queue import Queue

HERE = Path(__file__).parent / "modules"


class Countdown(Module):
    TYPE_STRING = "countdown"
    process = [sys.executable, str(HERE / "countdown.py")]
    describe = True
    restart = "on-failure"  # it goes on where it was


class Ticker(Module):
    TYPE_STRING = "ticker"
    process = ["sh", str(HERE / "ticker.sh")]
    restart = "on-failure"


class Clock(Module):
    TYPE_STRING = "clock"
    process = [sys.executable, str(HERE / "clock.py")]
    describe = True


if __name__ == "__main__":
    Queue([Countdown, Ticker], [Clock]).serve_forever()
