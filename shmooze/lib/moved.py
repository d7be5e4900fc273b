"""What programs written for 1.2.4 look for in `shmooze.lib.service`, and the step to take."""

from __future__ import annotations

import builtins
from typing import Any

_PLAIN = "the functions of a service are plain ones now, which wait where they stand"
_LOOP = "shmooze no longer runs a Tornado loop"
_INNER = "it was internal to 1.2.4"

#: Name to (why it has gone, what to do instead).
_STEPS = {
    "coroutine": (_PLAIN, "remove `@coroutine` and `yield`"),
    "Return": (_PLAIN, "write `return VALUE` for `raise Return(VALUE)`"),
    "ioloop": (
        _LOOP,
        "end the program with `.serve_forever()` and remove your own signal handlers",
    ),
    "with_timeout": (_PLAIN, "use `with gevent.Timeout(SECONDS):`"),
    "sleep": (_PLAIN, "use `gevent.sleep(SECONDS)`, or time.sleep"),
    "Task": (_PLAIN, "use `gevent.spawn(FUNCTION)`"),
    "Future": (_PLAIN, "use gevent.event.AsyncResult"),
    "return_future": (_PLAIN, "use gevent.event.AsyncResult"),
    "Lock": (_PLAIN, "use gevent.lock.Semaphore or threading.Lock"),
    "wait": (_INNER, "use `process.wait()`"),
    "accept": (_INNER, "use `socket.accept()`"),
    "listen_for_commands": (_INNER, "derive from Service and JSONCommandProcessor"),
    "connection_ready": (_INNER, "derive from Service and JSONCommandProcessor"),
}


def look_up(name: str) -> Any:
    """The value of a name that the module lacks.

    Raises ImportError for one that 1.2.4 had, since `from … import` would hide the words of an
    AttributeError; AttributeError for any other.
    """
    if name == "TimeoutError":  # the one that json_query raises is one of those
        return builtins.TimeoutError
    place = "shmooze.lib.service"
    if name not in _STEPS:
        raise AttributeError(f"module {place!r} has no attribute {name!r}")
    why, step = _STEPS[name]
    raise ImportError(
        f"`{place}.{name}` of shmooze 1.2.4 was removed: {why}; {step} (see docs/moving.md)"
    )
