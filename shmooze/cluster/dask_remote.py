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
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from distributed import get_worker, secede

#: Seconds until the next look whether the task was cancelled.
_LOOK_INTERVAL = 1.0
#: Seconds after the start of a guard until the next one is started ahead, which would delay it.
_SPARE_DELAY = 0.5
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

    command = [python or sys.executable, *argv]
    guard = _take_spare(command) or _start(command)
    assert guard.stdin is not None
    with suppress(BrokenPipeError):  # it has exited already
        guard.stdin.write(ticket.encode() + b"\n")
        guard.stdin.flush()
    if _exits_within(guard, _SPARE_DELAY):
        return guard.wait()
    _start_spare(command)
    while not _exits_within(guard, _LOOK_INTERVAL):
        if not is_wanted():
            return _end(guard)
    return guard.wait()


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # In a session of its own, so that Ctrl-C in the terminal of the worker does not reach it.
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _end(guard: subprocess.Popen[bytes]) -> int:
    """End a guard that is not wanted any more."""
    assert guard.stdin is not None
    with suppress(BrokenPipeError):
        guard.stdin.close()
    try:
        return guard.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        guard.kill()  # its own guardian ends what it has started
        return guard.wait()


def _exits_within(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait for a process, for at most `timeout` seconds. Popen.wait would wake up all the time."""
    if not hasattr(os, "pidfd_open"):
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
        return process.poll() is not None
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(fd)


# A guard that is started ahead, for the next job of this worker: it has loaded everything, and
# reads its ticket.
_spare: tuple[Sequence[str], subprocess.Popen[bytes]] | None = None
_spare_lock = threading.Lock()


def _take_spare(command: Sequence[str]) -> subprocess.Popen[bytes] | None:
    global _spare
    with _spare_lock:
        if _spare is None or _spare[0] != command or _spare[1].poll() is not None:
            return None
        _, process = _spare
        _spare = None
        return process


def _start_spare(command: Sequence[str]) -> None:
    global _spare
    with _spare_lock:
        if _spare is not None and _spare[0] == command and _spare[1].poll() is None:
            return
        if _spare is not None:  # of a service with another interpreter
            _end(_spare[1])
        _spare = (command, _start(command))
