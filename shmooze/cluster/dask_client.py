"""python -m shmooze.cluster.dask_client: the client of Dask, in a process of its own.

Dask's client runs on asyncio and threads and cannot share a process with gevent. This program
reads lines of JSON from `dask.DaskEngine` on standard input and writes lines to standard output.

The first line that it reads is the settings: `scheduler` (its address), `security`,
`connect_timeout` and `beat`. Then come orders:

    {"submit": KEY, "python": PATH, "argv": [...], "ticket": TEXT, "resources": {...},
     "hosts": [...]}
    {"cancel": KEY}

It writes:

    {"ready": ADDRESS}             once it has reached the scheduler
    {"problem": TEXT}              it could not, or has lost it; it exits then
    {"over": KEY, "why": TEXT}     a task has ended; TEXT is null if its guard has just exited
    {}                             every `beat` seconds

It exits as soon as it has lost the scheduler: the engine starts another one and submits everything
again. A task that the scheduler still knows stays what it is, because its key is the same. That
also mends the death of this program; so tasks must survive it, which is what `fire_and_forget` is
for. At the end of standard input it cancels all tasks: the service is gone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import dask
from distributed import Client, Security

from shmooze.cluster.dask_tasks import Tasks, one_line

#: Seconds between looks for a lost connection.
_LOOK_INTERVAL = 0.25
#: Seconds until a broken connection to the scheduler counts as lost. Dask cannot work with much
#: shorter ones.
_TCP_TIMEOUT = 12
#: Seconds that cancelling may take at the end.
_CANCEL_TIMEOUT = 3.0


class Lost(Exception):
    """There is no scheduler; the text says so for people."""


def say(line: Mapping[str, Any]) -> None:
    """Write one line for the engine."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def work(settings: Mapping[str, Any], orders: asyncio.StreamReader) -> None:
    """Do what the engine orders, until it is gone. Raises Lost."""
    address, security = settings["scheduler"], settings["security"]
    security = Security(**security, require_encryption=True) if security else None
    try:
        client = await Client(
            address,
            asynchronous=True,
            security=security,
            timeout=settings["connect_timeout"],
            name="shmooze",
            set_as_default=False,
        )
    except Exception as bad:
        raise Lost(f"cannot reach the scheduler of Dask at {address}: {one_line(bad)}") from bad
    say({"ready": address})
    tasks = Tasks(client, lambda key, why: say({"over": key, "why": why}))
    reader = asyncio.create_task(_read(orders, tasks))
    keeper = asyncio.create_task(tasks.keep())
    try:
        loop = asyncio.get_running_loop()
        next_beat = loop.time()
        while not reader.done():
            if keeper.done() and tasks.is_connected:
                raise Lost(
                    f"the client of Dask has failed: {one_line(keeper.exception() or Lost())}"
                )
            if not tasks.is_connected or keeper.done():
                raise Lost(f"lost the scheduler of Dask at {address}")
            if loop.time() >= next_beat:
                say({})
                next_beat = loop.time() + settings["beat"]
            await asyncio.wait([reader], timeout=_LOOK_INTERVAL)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(tasks.cancel_all(), _CANCEL_TIMEOUT)
    finally:
        reader.cancel()
        keeper.cancel()


async def _read(orders: asyncio.StreamReader, tasks: Tasks) -> None:
    while line := await orders.readline():
        tasks.obey(json.loads(line))


async def main() -> int:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    settings = json.loads(await orders.readline())
    seconds = f"{settings['connect_timeout']}s"
    dask.config.set(
        {
            "distributed.comm.timeouts.connect": seconds,
            "distributed.comm.timeouts.tcp": f"{_TCP_TIMEOUT}s",
        }
    )
    try:
        await work(settings, orders)
    except Lost as lost:
        say({"problem": str(lost)})
        return 1
    return 0


if __name__ == "__main__":
    logging.disable(logging.ERROR)  # tracebacks of a lost connection; we say it in a line
    status = asyncio.run(main())
    sys.stdout.flush()
    os._exit(status)  # without waiting for threads of Dask
