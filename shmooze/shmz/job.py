"""`shmz run` and `shmz wait`: an item from its start, or from now, to its end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from shmooze.runtime.printable import printable
from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.headings import heading
from shmooze.shmz.output import print_error, show, show_error, show_json
from shmooze.shmz.report import format_value
from shmooze.shmz.service import Service

Packet = dict[str, Any]

#: Seconds for which one request waits.
_TURN = 30
#: Seconds between attempts while the server is out of reach, and how many there are.
_PAUSE, _ATTEMPTS = 1.0, 30


def run_job(service: Service, packet: Packet, as_json: bool) -> int:
    """Add an item, and show what it prints, and then its result. Ctrl-C removes the item.

    With `as_json`, standard output gets only the end of the item, as JSON. Returns its status.
    """
    # With a key, what Ctrl-C has interrupted can be asked again. However the job fails, its item
    # tells.
    more = {"key": os.urandom(16).hex(), "later": True}
    keyed = {**packet, "args": {**packet["args"], **more}}
    uid: str | None = None
    try:
        uid = service.send(keyed)["result"]["uid"]
        return _show_end(_follow(service, uid, as_json), as_json)
    except KeyboardInterrupt:
        uid = uid or service.send(keyed)["result"]["uid"]
        service.send({"cmd": "rm", "args": {"uids": [uid]}})
        raise


def wait_for(service: Service, packet: Packet, as_json: bool) -> int:
    """Wait for the end of an item, or of a batch, and show it. Returns its status."""
    asked = {**packet, "args": {"timeout": min(_TURN, service.timeout / 2), **packet["args"]}}
    while (end := _ask(service, asked)) is None:
        if "timeout" in packet["args"]:
            raise Stop(Status.REFUSED, "it has not ended in time")
    if "uid" in packet["args"]:
        return _show_end(end, as_json)
    if as_json:
        show_json(end)
    else:
        show("\n".join(f"{key}: {format_value(value)}" for key, value in end.items()))
    return Status.DONE if end["done"] == sum(_counts(end)) else Status.REFUSED


def _follow(service: Service, uid: str, as_json: bool) -> Packet:
    """Show output as it comes. Returns how the item has ended."""
    since = 0
    write: Callable[[str], Any] = show_error if as_json else show
    while True:
        args = {"uid": uid, "since": since, "timeout": min(_TURN, service.timeout / 2)}
        news = _ask(service, {"cmd": "follow", "args": args})
        if news["missed"]:
            print_error(f"{news['missed']} lines of output are missing here")
        if news["lines"]:
            write("\n".join(map(printable, news["lines"])))
        since = news["next"]
        if news["end"] is not None:
            end: Packet = news["end"]
            return end


def _ask(service: Service, packet: Packet) -> Any:
    """Send a command that only reads, again if the server is out of reach for a while."""
    for attempt in range(_ATTEMPTS):
        try:
            return service.send(packet).get("result")
        except Stop as stop:
            if stop.status != Status.NO_ANSWER or attempt + 1 == _ATTEMPTS:
                raise
        time.sleep(_PAUSE)
    raise AssertionError


def _show_end(end: Packet, as_json: bool) -> int:
    """Show the result of an item. Returns the exit status for it."""
    if as_json:
        show_json(end)
    elif end.get("result") is not None:
        value = end["result"]
        show(printable(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    if end["state"] == "done":
        return Status.DONE
    print_error(f"{heading(end)} {end['uid'][:8]} {end.get('reason')}")
    if status := end.get("exit_status"):
        return int(status)
    return Status.REFUSED


def _counts(end: Packet) -> list[int]:
    return [value for value in end.values() if isinstance(value, int)]
