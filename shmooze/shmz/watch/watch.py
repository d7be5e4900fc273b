"""`shmz watch`: shows a queue or pool live, until Ctrl-C."""

from __future__ import annotations

import os
import select
import signal
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.endpoint import find_url
from shmooze.shmz.service import Service
from shmooze.shmz.watch.events import Event
from shmooze.shmz.watch.follow import follow
from shmooze.shmz.watch.live import Live
from shmooze.shmz.watch.table import Table
from shmooze.shmz.watch.views import JSONLines, Lines, View

#: Seconds without data after which the connection counts as lost: the default and the minimum.
#: Services send something at least every 15 seconds.
DEFAULT_TIMEOUT, MIN_TIMEOUT = 45.0, 20.0


class Interrupted(BaseException):
    """Raised by a signal that ends the program; its argument is the signal."""


def end_by_signals() -> None:
    """Let SIGINT, SIGTERM and SIGHUP raise Interrupted once, so that the terminal is restored."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    handled = [each for each in numbers if signal.getsignal(each) != signal.SIG_IGN]

    def end(number: int, _: Any) -> None:
        for each in handled:
            # People press Ctrl-C twice by accident, but a second `kill` is meant.
            signal.signal(each, signal.SIG_IGN if each == signal.SIGINT else signal.SIG_DFL)
        raise Interrupted(number)

    for each in handled:
        signal.signal(each, end)


def watch(words: list[str], options: Namespace, token: str | None) -> Status:
    """Show a service live until Ctrl-C, or until nobody reads the output any more."""
    if len(words) > 1:
        raise Stop(Status.MISUSED, "watch takes at most one service (see shmz --help)")
    timeout = options.timeout or DEFAULT_TIMEOUT
    if timeout < MIN_TIMEOUT:
        line = f"watch needs a --timeout of at least {MIN_TIMEOUT:g}, not {timeout:g}: "
        raise Stop(Status.MISUSED, line + "services may be silent for 15 seconds")
    url = find_url(options.endpoint, "watch", *words)
    parts = urlsplit(url)
    events_url = parts._replace(path=f"{parts.path.rstrip('/')}/events").geturl()
    service = Service(events_url, timeout, token)
    try:
        end_by_signals()
        with closing(choose_view(url, options.json)) as view:
            show_all(follow(service, url), view)
    except Interrupted as interrupt:
        (number,) = interrupt.args
        if number != signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)  # so that our parent sees the signal
    return Status.DONE


def choose_view(url: str, as_json: bool) -> View:
    if as_json:
        return JSONLines(url)
    is_dumb = os.environ.get("TERM", "dumb") in ("", "dumb")
    return Lines(url) if is_dumb or not os.isatty(1) else Table(url)


def show_all(updates: Iterator[tuple[Event, Live]], view: View) -> None:
    """Show updates until nobody reads the output any more.

    A thread receives them; only the calling thread writes.
    """
    #: None stands for a change of the terminal, such as its size.
    queue: SimpleQueue[tuple[Event, Live] | Exception | None] = SimpleQueue()
    capacity = threading.Semaphore(10)  # while the view cannot keep up, do not read on

    def receive() -> None:
        try:
            for update in updates:
                capacity.acquire()
                queue.put(update)
        except Exception as error:
            queue.put(error)

    signal.signal(signal.SIGWINCH, lambda *_: queue.put(None))
    signal.signal(signal.SIGCONT, lambda *_: queue.put(None))
    threading.Thread(target=receive, daemon=True).start()
    while not is_output_closed() and view.refresh():
        with suppress(Empty):
            update = queue.get(timeout=view.refresh_delay)
            if isinstance(update, Exception):
                raise update
            if update is not None:
                capacity.release()
                if not view.take(*update):
                    break


def is_output_closed() -> bool:
    """Return True if nobody reads standard output any more."""
    output = select.poll()
    output.register(1, 0)
    return any(flags & (select.POLLERR | select.POLLHUP) for _, flags in output.poll(0))
