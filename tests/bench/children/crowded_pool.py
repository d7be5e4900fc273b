"""A pool of 10,000 modules without processes, with one subscriber. One module changes a parameter.

For each line of standard input it prints the CPU milliseconds of one event, and those of encoding
its data alone.
"""

import logging
import sys
import time

import gevent
import msgspec
from fakes import Fake, FakeLauncher, open_with, run_until_idle

from shmooze.broker.roster import Place
from shmooze.modules.lifecycle import State
from shmooze.pool import Pool

MODULES = 10_000
CHANGES = 200


class Plain(Fake):
    TYPE_STRING = "plain"


logging.disable(logging.CRITICAL)
pool = Pool([Plain])
pool.events.interval = 0.0
open_with(pool, FakeLauncher())
for _ in range(MODULES):
    # The cost of an event does not depend on what the modules do, so they are never started.
    module = pool._factory.new_waiting(Plain, {})
    module.state = State.PLAYING
    module.parameters.update(title="something", seconds=1.5, tags=["a", "b"])
    pool.roster.change(module, Place.ORDER)
events = pool.events.watch(None)
next(events), next(events)
run_until_idle()
encode = msgspec.json.Encoder().encode

while sys.stdin.readline():
    begin = time.process_time()
    for number in range(CHANGES):
        module.parameters["seconds"] = float(number)
        module._on_update(module)
        next(events)
    ours = time.process_time() - begin
    begin = time.process_time()
    for number in range(CHANGES):
        gevent.sleep(0)
        encode({"modules": {module.uid: {"set": {"seconds": float(number)}}}})
    print(1000 * ours / CHANGES, 1000 * (time.process_time() - begin) / CHANGES, flush=True)
