"""The tasks of one engine at the scheduler of Dask: placed on workers, watched, cancelled.

Each task is bound to the worker that is chosen for it here, so that it waits nowhere in vain: see
`dask_remote.survey`. Dask does not run it again when that worker is lost. A task that had not
started by then is placed anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from distributed import Client, Future, fire_and_forget
from distributed.client import FutureCancelledError

from shmooze.cluster.dask_remote import run_guard, survey


class _Task:
    """One job of the engine."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self.key: str = order["submit"]
        self.order = order
        #: None: it waits for a worker.
        self.future: Future[int] | None = None
        self.worker = ""
        #: The worker's name, for people.
        self.worker_name = ""
        self.is_started = False
        #: Whether the scheduler has shown it.
        self.is_known = False


class Tasks:
    """All of one client. `over(key, why)` is called for each that has ended."""

    #: Seconds between surveys: while something waits for a worker or its start, and otherwise.
    short_interval, long_interval = 0.25, 5.0

    def __init__(self, client: Client, over: Callable[[str, str | None], None]) -> None:
        self._client, self._over = client, over
        self._comm = client.scheduler_comm
        self._tasks: dict[str, _Task] = {}
        self._wakeup = asyncio.Event()
        #: The loop itself keeps only weak references to what runs.
        self._running: set[asyncio.Task[None]] = set()

    @property
    def is_connected(self) -> bool:
        """Whether the connection is the one with which everything was submitted."""
        return self._client.status == "running" and self._client.scheduler_comm is self._comm

    def obey(self, order: Mapping[str, Any]) -> None:
        """Carry out one order of the engine."""
        if "submit" in order:
            self._tasks[order["submit"]] = _Task(order)
            self._wakeup.set()
        elif task := self._tasks.pop(order["cancel"], None):
            self._start(self._cancel([task]))

    async def cancel_all(self) -> None:
        """Return when the scheduler has been told, and knows none of them any more."""
        tasks, self._tasks = self._tasks, {}
        await self._cancel([*tasks.values()])
        while (await self._client.run_on_scheduler(survey, list(tasks)))["tasks"]:
            await asyncio.sleep(0.02)

    async def keep(self) -> None:
        """Place what waits, and look after what has been placed, for ever."""
        while True:
            is_waiting = not all(task.is_started for task in self._tasks.values())
            interval = self.short_interval if is_waiting else self.long_interval
            try:
                await asyncio.wait_for(self._wakeup.wait(), interval)
            except asyncio.TimeoutError:
                if not self._tasks:
                    continue
            self._wakeup.clear()
            found = await self._client.run_on_scheduler(survey, list(self._tasks))
            workers = found["workers"]
            for task in list(self._tasks.values()):
                await self._look_after(task, workers, found["tasks"].get(task.key))
            for task in list(self._tasks.values()):
                if task.future is None:
                    self._place(task, workers)

    async def _look_after(
        self,
        task: _Task,
        workers: Mapping[str, Any],
        state: tuple[str | None, bool] | None,
    ) -> None:
        """Compare a task with what the scheduler knows of it."""
        if state is None:
            if task.is_known and task.future is None:
                self._finish(task, None, "the scheduler of Dask does not know it any more")
            return
        task.is_known = True
        address, is_started = state
        if task.future is None:  # the client before this one has submitted it; or see `_wait`
            task.worker = address or ""
            task.worker_name = workers[address]["name"] if address else ""
            self._watch(task, Future(task.key, self._client))
        task.is_started |= is_started
        if address is None and task.worker not in workers and task.is_started:
            self._finish(task, task.future, f"its worker {task.worker_name} was lost")
            await self._cancel([task])
        elif not task.is_started and not _is_good(workers.get(task.worker)):
            # Its worker is lost, or another service was faster there.
            future, task.future = task.future, None
            task.is_known = False
            if future is not None:
                await self._client.cancel([future], force=True)

    def _place(self, task: _Task, workers: Mapping[str, Any]) -> None:
        """Choose the worker with the fewest tasks among those that have what it needs."""
        needs, hosts = task.order["resources"], task.order["hosts"]
        candidates = [
            (worker["tasks"], address)
            for address, worker in workers.items()
            if worker["is_running"]
            and (not hosts or not set(hosts).isdisjoint(worker["names"]))
            and all(worker["free"].get(name, 0) >= amount for name, amount in needs.items())
        ]
        if not candidates:
            return
        _, address = min(candidates)
        worker = workers[address]
        worker["tasks"] += 1
        for name, amount in needs.items():
            worker["free"][name] -= amount
        task.worker, task.worker_name = address, worker["name"]
        future = self._client.submit(
            run_guard,
            task.order["python"],
            task.order["argv"],
            task.order["ticket"],
            key=task.key,
            resources=needs or None,
            workers=[address],
            allow_other_workers=False,
        )
        # So that it survives this client, and the next one can go on with it.
        fire_and_forget(future)
        self._watch(task, future)

    def _watch(self, task: _Task, future: Future[int]) -> None:
        task.future = future
        self._start(self._wait(task, future))

    async def _wait(self, task: _Task, future: Future[int]) -> None:
        """Wait for the end of a task."""
        why = None
        try:
            if status := await future:
                why = f"its guard has ended with status {status} on {task.worker_name}"
        except (FutureCancelledError, asyncio.CancelledError):
            # Perhaps this only means an earlier attempt with the same key. The next survey tells.
            if task.future is future:
                task.future = None
                self._wakeup.set()
            return
        except Exception as bad:
            why = f"{one_line(bad)} on {task.worker_name}"
        self._finish(task, future, why)

    def _finish(self, task: _Task, future: Future[int] | None, why: str | None) -> None:
        """Tell that a task is over, unless it was cancelled or placed anew meanwhile."""
        if task.future is future and self._tasks.get(task.key) is task:
            del self._tasks[task.key]
            self._over(task.key, why)

    async def _cancel(self, tasks: Sequence[_Task]) -> None:
        # Also those that this client has not seen at the scheduler: one before it may have.
        if futures := [task.future or Future(task.key, self._client) for task in tasks]:
            await self._client.cancel(futures, force=True)

    def _start(self, coroutine: Any) -> None:
        running = asyncio.create_task(coroutine)
        self._running.add(running)
        running.add_done_callback(self._running.discard)


def _is_good(worker: Mapping[str, Any] | None) -> bool:
    """Whether a task that has not started may do so on a worker."""
    return worker is not None and min(worker["free"].values(), default=0) >= 0


def one_line(bad: BaseException) -> str:
    """What an exception says, in one line."""
    lines = str(bad).strip().splitlines()
    return lines[0].strip() if lines else type(bad).__name__
