"""The other threads of a module's program: how long they may run, and what happens if they fail.

Every child written in Python loads this: standard library only, light, compatible with Python 3.8.
In a program that gevent has patched, threads are greenlets, and the program's own greenlets count
as well.
"""

from __future__ import annotations

import atexit
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, NoReturn

_waits_at_exit = False


def wait_at_exit(wanted: bool) -> None:
    """Set whether the program, when it exits, waits for daemon threads too.

    There is no time limit. After `rm` the parent sets one: only it knows how long a module may
    take.
    """
    global _waits_at_exit
    _waits_at_exit = wanted


@atexit.register  # at import, so that it runs after all exit handlers of the program itself
def _wait_for_threads() -> None:
    if not _waits_at_exit:
        return
    if gevent := _get_patching_gevent():
        gevent.wait()  # until no greenlet can run any further
        return
    while others := [each for each in threading.enumerate() if _is_awaited(each)]:
        others[0].join()


def _is_awaited(thread: threading.Thread) -> bool:
    # A dummy represents a thread that Python did not start, such as one of a player's library.
    is_dummy = isinstance(thread, threading._DummyThread)
    return thread is not threading.current_thread() and not is_dummy


def leave() -> NoReturn:
    """End this thread or greenlet silently. In the main thread this ends the program."""
    gevent = _get_patching_gevent()
    if gevent and isinstance(threading.current_thread(), threading._DummyThread):
        raise gevent.GreenletExit  # SystemExit would end the main greenlet from here
    raise SystemExit(0)  # not a subclass, which a thread would report as an error


def on_uncaught(report: Callable[[BaseException], None]) -> None:
    """Call `report` with each exception that ends a thread or greenlet, after it was printed.

    Hooks that the program has installed before are still called, and first.
    """
    show_thread, show_main = threading.excepthook, sys.excepthook

    def thread_failed(args: threading.ExceptHookArgs) -> None:
        show_thread(args)
        if isinstance(args.exc_value, Exception):
            report(args.exc_value)

    def main_failed(kind: type[BaseException], bad: BaseException, place: Any) -> None:
        show_main(kind, bad, place)
        if isinstance(bad, Exception):
            report(bad)

    threading.excepthook, sys.excepthook = thread_failed, main_failed
    if gevent := _get_patching_gevent():
        _on_failed_greenlet(gevent, report)


def _on_failed_greenlet(gevent: Any, report: Callable[[BaseException], None]) -> None:
    hub: Any = gevent.get_hub()
    show = hub.handle_error

    def failed(context: Any, kind: type[BaseException], bad: Any, place: Any) -> None:
        # If another greenlet waits for this one, the exception is raised there.
        is_lost = not (isinstance(context, gevent.Greenlet) and context.has_links())
        show(context, kind, bad, place)
        if is_lost and isinstance(bad, Exception):
            report(bad)

    hub.handle_error = failed


def _get_patching_gevent() -> Any:
    """Return gevent if it has patched this program, else None. Never loads it."""
    monkey = sys.modules.get("gevent.monkey")
    is_patched = monkey is not None and monkey.is_module_patched("threading")
    return sys.modules["gevent"] if is_patched else None


def can_be_notified_by(function: Callable[..., Any] | None) -> bool:
    """Return False if a function certainly has no effect, because it uses no names at all."""
    code = getattr(function, "__code__", None)
    return function is not None and (code is None or bool(code.co_names or code.co_freevars))
