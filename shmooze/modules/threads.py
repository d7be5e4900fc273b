"""The other threads of a module's program: how long they may go on, and what they fail by.

Used by every child that is written in Python: standard library only, and light, fit for
Python 3.8. In a script that gevent has patched, threads are greenlets, and greenlets of its own
count as well.
"""

from __future__ import annotations

import atexit
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, NoReturn

#: See `wait_at_exit`.
_waits_at_exit = False


def wait_at_exit(wanted: bool) -> None:
    """Whether the end of the program is to wait for daemon threads too, until each has ended.

    There is no limit to that. After `rm` the parent sets one: it is the only one that knows how
    long a module may take.
    """
    global _waits_at_exit
    _waits_at_exit = wanted


@atexit.register  # at import, so that it comes after all that the program itself does at its exit
def _finish() -> None:
    if not _waits_at_exit:
        return
    if gevent := _patched_by():
        gevent.wait()  # until nothing is left that could go on
        return
    while others := [each for each in threading.enumerate() if _is_awaited(each)]:
        others[0].join()


def _is_awaited(thread: threading.Thread) -> bool:
    # A dummy stands for a thread that was not started by Python, such as one of a player's library.
    is_dummy = isinstance(thread, threading._DummyThread)
    return thread is not threading.current_thread() and not is_dummy


def leave() -> NoReturn:
    """End this thread or greenlet, and nothing else unless it is the main one; without a word."""
    gevent = _patched_by()
    if gevent and isinstance(threading.current_thread(), threading._DummyThread):
        raise gevent.GreenletExit  # as SystemExit would end the main greenlet from here
    raise SystemExit(0)  # and none of its kind, which a thread would show as an error


def on_uncaught(report: Callable[[BaseException], None]) -> None:
    """Call `report` with each exception that ends a thread or greenlet, after it has been shown.

    What the program has installed before for such exceptions is called as well, first.
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
    if gevent := _patched_by():
        _on_failed_greenlet(gevent, report)


def _on_failed_greenlet(gevent: Any, report: Callable[[BaseException], None]) -> None:
    hub: Any = gevent.get_hub()
    show = hub.handle_error

    def failed(context: Any, kind: type[BaseException], bad: Any, place: Any) -> None:
        # One that somebody waits for hands its exception on.
        is_lost = not (isinstance(context, gevent.Greenlet) and context.has_links())
        show(context, kind, bad, place)
        if is_lost and isinstance(bad, Exception):
            report(bad)

    hub.handle_error = failed


def _patched_by() -> Any:
    """gevent, in a script that it has patched; None otherwise. It is never loaded from here."""
    monkey = sys.modules.get("gevent.monkey")
    is_patched = monkey is not None and monkey.is_module_patched("threading")
    return sys.modules["gevent"] if is_patched else None
