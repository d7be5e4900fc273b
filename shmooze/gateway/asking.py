"""Asking all services at the same time, for what the gateway itself wants to know of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from shmooze.web.backend import Backend
from shmooze.web.connect import NotReached
from shmooze.web.reply import BrokenReply, Reply

Asked = Callable[[Backend], Reply]


def ask_each(backends: Mapping[str, Backend], ask: Asked) -> dict[str, Reply | str]:
    """The answer of each service, or why there is none: a predicate."""
    if not backends:
        return {}
    # Greenlets where gevent has patched the program, and threads under another WSGI server.
    with ThreadPoolExecutor(len(backends)) as pool:
        answers = pool.map(lambda backend: _ask(backend, ask), backends.values())
        return dict(zip(backends, answers, strict=True))


def _ask(backend: Backend, ask: Asked) -> Reply | str:
    try:
        return ask(backend)
    except TimeoutError:
        return "did not answer in time"
    except BrokenReply as broken:
        return f"gave no answer that can be used: {broken}"
    except NotReached as away:
        return "is not running" if away.is_refused else "cannot be reached"
    except OSError as broken:
        return f"closed the connection: {broken}"
