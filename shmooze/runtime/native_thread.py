"""NativeThread: a thread of the operating system that works for greenlets.

It is for calls that may block, such as those that wait for a disk. gevent's own ThreadPool makes a
caller wait until a thread is free; here, calls wait in line and their callers go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent import monkey
from gevent.event import AsyncResult

_start_thread: Any = monkey.get_original("_thread", "start_new_thread")
_new_queue: Any = monkey.get_original("queue", "SimpleQueue")

#: done(result, error): gets the outcome of a call, in the event loop. It must not block.
Done = Callable[[Any, BaseException | None], None]


class NativeThread:
    """Runs functions one after another, in a thread of its own.

    All methods are for greenlets of the hub that has made it. The thread is started by the first
    call, and ends with `end` or with the program.
    """

    def __init__(self) -> None:
        self._calls = _new_queue()
        self._outcomes: deque[tuple[Done, Any, BaseException | None]] = deque()
        self._watcher = gevent.get_hub().loop.async_()
        self._pending = 0
        self._running = False

    def call(self, function: Callable[[], Any], done: Done) -> None:
        """Let the thread call `function`. Raises RuntimeError if no thread can be started."""
        if not self._running:
            _start_thread(self._run, ())
            self._running = True
        if not self._pending:
            # Only now, since an active watcher keeps the event loop from ending.
            self._watcher.start(self._deliver)
        self._pending += 1
        self._calls.put((function, done))

    def result(self, function: Callable[[], Any]) -> AsyncResult:
        """Let the thread call `function`. Returns what will be its result, or its exception."""
        outcome = AsyncResult()

        def done(result: Any, error: BaseException | None) -> None:
            if error is None:
                outcome.set(result)
            else:
                outcome.set_exception(error)

        self.call(function, done)
        return outcome

    def end(self) -> None:
        """Let the thread end after the calls that wait. Does not wait for that."""
        if self._running:
            self._calls.put(None)
            self._running = False

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            function, done = call
            try:
                self._outcomes.append((done, function(), None))
            except BaseException as error:
                self._outcomes.append((done, None, error))
            del call, function, done  # not kept alive while the thread waits
            self._watcher.send_ignoring_arg(None)

    def _deliver(self) -> None:
        while self._outcomes:
            done, result, error = self._outcomes.popleft()
            self._pending -= 1
            done(result, error)
        if not self._pending:
            self._watcher.stop()
