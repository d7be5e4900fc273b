"""`shmz types`, and `--help` after a type, an item or a command."""

from __future__ import annotations

from typing import Any

from shmooze.runtime.printable import printable
from shmooze.shmz.cells import clip
from shmooze.shmz.described import (
    LISTS,
    Description,
    describe,
    find_item,
    first_line,
    part,
    services_beside,
    text_of,
)
from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.endpoint import find_url
from shmooze.shmz.guide import guide_to, usage_of
from shmooze.shmz.headings import heading
from shmooze.shmz.output import print_error
from shmooze.shmz.service import Service
from shmooze.shmz.uids import complete_uids
from shmooze.shmz.words import SHORTHANDS

Types = dict[str, dict[str, Description]]


def all_types(service: Service, only_this: bool) -> dict[str, Types]:
    """Return the types by service, and by whether they are modules or backgrounds.

    Those of all services, unless one is named or the others are not known. Raises Stop if
    `service` is the only one and does not describe itself.
    """
    names = [] if only_this else services_beside(service)
    found = {}
    for name in names:
        other = Service(find_url(service.url, "types", name), service.timeout)
        other.headers = service.headers
        try:
            found[name] = describe(other) or {}
        except Stop as stop:  # it is not running
            print_error(str(stop))
    if not found:
        found = {service.url.rpartition("/")[2] or service.url: describe_or_stop(service)}
    lists = {name: {key: part(each, key) for key in LISTS} for name, each in found.items()}
    return {
        name: {key: types for key, types in each.items() if types}
        for name, each in lists.items()
        if any(each.values())
    }


def describe_or_stop(service: Service, kind: str | None = None) -> Description:
    args = {} if kind is None else {"type": kind}
    described = service.send({"cmd": "describe", "args": args}).get("result")
    if not isinstance(described, dict):
        raise Stop(Status.NO_ANSWER, f"{service.url}: the answer is not a description")
    return described


def format_types(services: dict[str, Types], columns: int) -> str:
    """Format types with their arguments, title, label and the first line of their description."""
    lines = []
    for service, lists in services.items():
        for key, types in lists.items():
            lines += ["", f"{printable(service)}: {LISTS[key]}"]
            for kind, described in types.items():
                usage = f"{printable(kind)} {usage_of(part(described, 'args'))}".rstrip()
                lines.append(clip(f"  {usage}", columns))
                about = ": ".join(
                    filter(None, [text_of(described, "title"), first_line(described)])
                )
                label = text_of(described, "label")
                about = "; ".join(filter(None, [about, label and f"label {label}"]))
                lines += [clip(f"      {printable(about)}", columns)] if about else []
    return "\n".join(lines[1:] or ["(none)"])


def help_for(
    service: Service, program: str, command: str, words: list[str], columns: int
) -> tuple[str, Any]:
    """Explain a command of a type, an item or a service. Returns that as text and as data.

    `program` is how users address the service, such as `shmz -e pool`.
    """
    name = SHORTHANDS.get(command, (command,))[0]
    if name in LISTS.values():
        described = describe_or_stop(service, words[0])
        commands = part(described, "commands")
        return guide_to(program, f"{command} {words[0]}", described, columns, commands), described
    if name in ("tell_module", "tell_background"):
        return help_for_item(service, program, command, words, columns)
    described = part(describe_or_stop(service), "commands", name)
    if not described:
        raise Stop(Status.REFUSED, f"unknown command {name!r}")
    return guide_to(program, name, described, columns), described


def help_for_item(
    service: Service, program: str, command: str, words: list[str], columns: int
) -> tuple[str, Any]:
    uid, *names = words
    uid = complete_uids(service, {"cmd": "tell_module", "args": {"uid": uid}})["args"]["uid"]
    item = find_item(service, uid)
    if item is None:
        raise Stop(Status.REFUSED, f"there is no module with the uid {uid!r}")
    commands = part(describe_or_stop(service, item["type"]), "commands")
    usage = f"{command} {words[0]}"
    if not names:
        described = {"description": f"{heading(item)} {uid}"}
        text = guide_to(program, f"{usage} COMMAND", described, columns, commands)
        return text if commands else f"{text}\n\nIts type describes no commands.", commands
    if names[0] not in commands:
        raise Stop(Status.REFUSED, f"{item['type']} describes no command {names[0]!r}")
    described = commands[names[0]]
    return guide_to(program, f"{usage} {names[0]}", described, columns), described
