"""One delivery: one event, sent to one hook once."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

import msgspec
from gevent.event import Event

from shmooze.errors import ModuleError
from shmooze.hooks import signature
from shmooze.hooks.declared import Hook
from shmooze.modules.exit import describe_exit
from shmooze.processes.contract import Launcher, LaunchSpec, NoEndpoint
from shmooze.runtime import clock
from shmooze.runtime.patience import Patience
from shmooze.web.client import Client

#: Bytes that the answer of a receiver may have. It is not used.
_MAX_ANSWER = 1 << 20
#: Seconds from SIGTERM to SIGKILL, and for the last output.
_PATIENCE = 2.0


class Delivery(msgspec.Struct):
    """What one hook is to be told."""

    id: str
    hook: str
    #: {"id", "event", "service", "at", "item"?}
    payload: dict[str, Any]
    #: When it was made, in seconds since 1970.
    since: float


class NotDelivered(Exception):
    """`str()` says why, in a sentence without its subject."""


def deliver(hook: Hook, delivery: Delivery, launcher: Launcher) -> None:
    """Tell a hook. Raises NotDelivered. Nothing is left running."""
    body = msgspec.json.encode(delivery.payload)
    if hook.url is not None:
        _call(hook, hook.url, delivery.id, body)
    else:
        _run(hook, body, launcher)


def _call(hook: Hook, url: str, id: str, body: bytes) -> None:
    parts = urlsplit(url)
    is_secure = parts.scheme == "https"
    tls = ssl.create_default_context() if is_secure else None
    port = parts.port or (443 if is_secure else 80)
    client = Client(parts.hostname or "", port, hook.timeout, tls=tls, max_answer=_MAX_ANSWER)
    headers = signature.headers(id, int(clock.time()), body, hook.key)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        status = client.post(body, headers, path=path).status_code
    except TimeoutError as late:
        raise NotDelivered(f"did not answer within {hook.timeout:g} s") from late
    except (OSError, UnicodeError) as bad:
        raise NotDelivered(f"cannot be reached: {bad}") from bad
    if not 200 <= status < 300:
        raise NotDelivered(f"answered with status {status}")


def _run(hook: Hook, body: bytes, launcher: Launcher) -> None:
    argv = list(hook.program or ())
    exited = Event()
    try:
        process = launcher.launch(LaunchSpec(argv, "hook", has_stdio=True), NoEndpoint())
    except ModuleError as bad:
        raise NotDelivered(str(bad)) from bad
    try:
        process.when_exited(exited.set)
        process.stdio.read_with(lambda data: None)
        patience = Patience(hook.timeout)
        try:
            process.stdio.write_all(body + b"\n")
            process.stdio.end_writing()
        except OSError:
            pass  # it does not read: its exit status counts
        is_over = patience.wait(exited)
        status = process.exit_status
    finally:
        process.end(_PATIENCE)
        process.stdio.close()
        process.close(_PATIENCE)
    if not is_over or status is None:
        raise NotDelivered(f"did not end within {hook.timeout:g} s")
    if status:
        last = "".join(f"; last output: {line}" for line in process.errors[-1:])
        raise NotDelivered(f"{describe_exit(status)}{last}")
