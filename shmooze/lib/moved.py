"""Names that `shmooze.lib.service` had in 1.2.4, and what to use instead."""

from __future__ import annotations

import builtins
from typing import Any

_PLAIN = "the functions of a service are plain ones now, which block until they return"
_LOOP = "shmooze no longer runs a Tornado loop"
_INNER = "it was internal to 1.2.4"

#: The reason why a name was removed, and what to do instead, by name.
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
    """The value of a name that the module does not have.

    Raises ImportError for a name that 1.2.4 had, since `from … import` would hide the message of
    an AttributeError; AttributeError for any other name.
    """
    if name == "TimeoutError":  # a superclass of what json_query raises
        return builtins.TimeoutError
    place = "shmooze.lib.service"
    if name not in _STEPS:
        raise AttributeError(f"module {place!r} has no attribute {name!r}")
    why, step = _STEPS[name]
    raise ImportError(
        f"`{place}.{name}` of shmooze 1.2.4 was removed: {why}; {step} (see docs/how-to/migrate.md)"
    )
