"""Uids that are abbreviated to their beginning: completed by asking the service."""

from __future__ import annotations

import re
from typing import Any

from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.headings import heading
from shmooze.shmz.output import print_error
from shmooze.shmz.report import is_history
from shmooze.shmz.service import Service

#: A complete uid; any other text is treated as the beginning of one.
COMPLETE_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: What is asked to find the uids that a beginning may mean.
LOOK_UP: list[dict[str, Any]] = [{"cmd": cmd} for cmd in ("queue", "pool", "bg", "gone")]

LOOK_UP_ENDED = [*LOOK_UP, {"cmd": "history", "args": {"limit": 1000}}]

#: Minimum length of the beginning of a uid: a typo or an empty variable must not match.
MIN_UID_LENGTH = 4


def complete_uids(service: Service, packet: dict[str, Any]) -> dict[str, Any]:
    """Return the packet with complete uids in `uid` or `uids`. Raises Stop if one is not found.

    A complete uid is kept as it is. If its module is gone, the service reports that, except for
    `rm` and `mv`, which ignore it; in those cases a warning is printed here.
    """
    args = packet.get("args", {})
    key = "uids" if "uids" in args else "uid"
    texts = args.get("uids", [args.get("uid")])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return packet
    if key == "uid" and COMPLETE_UID.fullmatch(texts[0]):
        return packet
    of_history = packet["cmd"] in ("item", "requeue", "forget", "wait")
    if of_history and all(map(COMPLETE_UID.fullmatch, texts)):
        return packet
    questions = LOOK_UP_ENDED if of_history else LOOK_UP
    try:
        answers = service.send(questions)
    except Stop as stop:
        if stop.status == Status.REFUSED:
            return packet  # the service will refuse the command as well, and say why
        raise
    if not any(answer["success"] for answer in answers[:2]):
        return packet  # neither a queue nor a pool
    queue, pool, bg, gone, *past = (modules_in(answer.get("result")) for answer in answers)
    present = [*queue, *pool, *bg] if packet["cmd"] not in ("requeue", "forget") else []
    present += [each for page in past for each in page]
    uids = [
        text if of_history and COMPLETE_UID.fullmatch(text) else find_uid(text, present, gone)
        for text in texts
    ]
    neighbours = {
        name: find_uid(args[name], present, gone)
        for name in ("before", "after")
        if packet["cmd"] == "mv" and isinstance(args.get(name), str)
    }
    return {**packet, "args": {**args, **neighbours, key: uids if key == "uids" else uids[0]}}


def modules_in(result: Any) -> list[dict[str, Any]]:
    """Return the modules in a result."""
    values = result if isinstance(result, list) else [result]
    if is_history(result):
        values = result["items"]
    return [each for each in values if isinstance(each, dict) and isinstance(each.get("uid"), str)]


def find_uid(text: str, present: list[dict[str, Any]], gone: list[dict[str, Any]]) -> str:
    """Return the uid that is, or begins with, `text`."""
    found: list[str] = [each["uid"] for each in present if each["uid"].startswith(text)]
    line = f"there is no module with the uid {text!r}"
    for each in gone:
        if each["uid"].startswith(text):
            line = f"{heading(each)} {each['uid']} is gone: it {each.get('reason')}"
    if COMPLETE_UID.fullmatch(text):
        if not found:
            print_error(line)
        return text
    if len(text) < MIN_UID_LENGTH:
        line = f"{text!r} is too short for a uid: at least {MIN_UID_LENGTH} characters are needed"
    elif len(found) == 1:
        return found[0]
    elif found:
        line = f"{text!r} is ambiguous: {', '.join(found)}"
    raise Stop(Status.REFUSED, line)
