"""What services say of themselves: types, commands, and the schemas of arguments."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.endpoint import NAME_OF_SERVICE
from shmooze.shmz.json_text import from_json
from shmooze.shmz.service import Service
from shmooze.shmz.uids import modules_in

#: A description; all keys are optional.
Description = dict[str, Any]

#: Lists in the answer to `describe`, and the command that takes their types.
LISTS = {"modules": "add", "backgrounds": "set_bg"}


def describe(service: Service, kind: str | None = None) -> Description | None:
    """Return the description of a service, or of one of its types.

    None if it gives none: it is older, or does not know the type.
    """
    args = {} if kind is None else {"type": kind}
    try:
        described = service.send({"cmd": "describe", "args": args}).get("result")
    except Stop as stop:
        if stop.status == Status.REFUSED:
            return None
        raise
    return described if isinstance(described, dict) else None


def args_schema(service: Service, packet: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the arguments that a packet has for a module; empty if unknown."""
    args = packet["args"]
    if packet["cmd"] in (*LISTS.values(), "schedule"):
        return part(describe(service, args["type"]), "args")
    item = find_item(service, args["uid"]) if packet["cmd"].startswith("tell_") else None
    if item is None:
        return {}
    return part(part(describe(service, item["type"]), "commands", args["cmd"]), "args")


def find_item(service: Service, uid: str) -> dict[str, Any] | None:
    """Return a running item with this uid, which is complete."""
    try:
        answers = service.send([{"cmd": cmd} for cmd in ("queue", "pool", "bg")])
    except Stop as stop:
        if stop.status == Status.REFUSED:
            return None
        raise
    items = [item for answer in answers for item in modules_in(answer.get("result"))]
    return next(
        (item for item in items if item["uid"] == uid and isinstance(item.get("type"), str)), None
    )


def part(described: Any, *keys: str) -> dict[str, Any]:
    """Return an object within a description; empty if it is missing."""
    for key in keys:
        described = described.get(key) if isinstance(described, dict) else None
    return described if isinstance(described, dict) else {}


def services_beside(service: Service) -> list[str]:
    """Return the names of all services behind the same gateway; empty if they are not public."""
    parts = urlsplit(service.url)
    url = urljoin(parts._replace(query="", fragment="").geturl(), "settings.json")
    try:
        with Service(url, service.timeout).request("GET", None, service.headers) as response:
            settings = from_json(response.read()) if response.status == 200 else None
    except (Stop, ValueError):
        return []
    names = part(settings, "ports")
    return sorted(name for name in names if name != "wsgi" and NAME_OF_SERVICE.fullmatch(name))


def text_of(described: Any, key: str) -> str:
    """Return a text of a description; empty if it is missing."""
    text = described.get(key) if isinstance(described, dict) else None
    return text.strip() if isinstance(text, str) else ""


def first_line(described: Any) -> str:
    return text_of(described, "description").partition("\n")[0].strip()
