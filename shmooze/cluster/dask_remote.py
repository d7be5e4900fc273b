"""What runs in schedulers and workers of Dask: a survey of the workers, and guards.

It needs Dask, but no gevent. A worker runs a guard as a process of its own. Three properties of
Dask shape this:

- A worker runs as many tasks at the same time as it has threads. A guard only waits, so the task
  *secedes*: it gives its place back and keeps its resources. Any number of modules fit on a worker.
- A cancelled task is not interrupted. So each looks regularly whether it is still wanted.
- Nothing is told to a task whose worker is killed. So the guard reads an end of file on its
  standard input then, and ends.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from distributed import get_worker, secede

#: Seconds until the next look whether the task was cancelled.
_LOOK_INTERVAL = 1.0
#: Seconds that a guard may take to end after an end of file. It ends a whole process tree, with
#: the patience of the module's type.
_PATIENCE = 60.0


def survey(keys: Sequence[str], dask_scheduler: Any) -> dict[str, Any]:
    """In the scheduler: what is free on each worker, and where these tasks are.

    Dask itself chooses a worker by what it has, even if all of that is taken: the task then waits
    there, although another worker may be free.
    """
    tasks = {}
    for key in keys:
        if (task := dask_scheduler.tasks.get(key)) is not None:
            worker = task.processing_on
            is_started = worker is not None and task in worker.long_running
            tasks[key] = (worker.address if worker is not None else None, is_started)
    workers = {
        worker.address: {
            "name": str(worker.name),
            "names": [str(worker.name), worker.host, *worker.resources],
            "free": {
                name: amount - worker.used_resources.get(name, 0)
                for name, amount in worker.resources.items()
            },
            "tasks": len(worker.processing),
            "is_running": worker in dask_scheduler.running,
        }
        for worker in dask_scheduler.workers.values()
    }
    return {"tasks": tasks, "workers": workers}


def run_guard(python: str | None, argv: Sequence[str], ticket: str) -> int:
    """Run a guard until it exits, and return its exit status. `ticket` is its first line of input.

    `argv` are its arguments, after the interpreter: `python`, or that of this worker.
    """
    worker = get_worker()
    key, tasks = worker.get_current_task(), worker.state.tasks
    secede()

    def is_wanted() -> bool:
        task = tasks.get(key)
        return task is not None and task.state != "cancelled"

    # In a session of its own, so that Ctrl-C in the terminal of the worker does not reach it.
    guard = subprocess.Popen(
        [python or sys.executable, *argv],
        stdin=subprocess.PIPE,
        start_new_session=True,
        close_fds=True,
    )
    assert guard.stdin is not None
    with suppress(BrokenPipeError):  # it has exited already
        guard.stdin.write(ticket.encode() + b"\n")
        guard.stdin.flush()
    if not _wait(guard, lambda: not is_wanted()):
        with suppress(BrokenPipeError):
            guard.stdin.close()
        try:
            guard.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            guard.kill()  # its own guardian ends what it has started
    return guard.wait()


def _wait(process: subprocess.Popen[bytes], is_over: Callable[[], bool]) -> bool:
    """Wait until a process has exited, and return True; or False once `is_over` says so."""
    if not hasattr(os, "pidfd_open"):
        while process.poll() is None and not is_over():
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_INTERVAL)
        return process.poll() is not None
    # Popen.wait would wake up twenty times a second for each module.
    fd = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while not poll.poll(_LOOK_INTERVAL * 1000):
            if is_over():
                return False
        return True
    finally:
        os.close(fd)
