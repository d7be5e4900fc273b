"""The packet of a command, made from the words of a command line."""

from __future__ import annotations

import re
from typing import Any

from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.values import convert_pairs

#: Shorthands for commands of a queue or a pool: the command's name in the protocol, the arguments
#: that the first words stand for, and the argument for all other words. That is a dict of
#: key=value pairs if it is "args" (possibly empty), and a list of at least one word otherwise.
#: key=value pairs after uids are further arguments of the command.
SHORTHANDS = {
    "add": ("add", ["type"], "args"),
    "set_bg": ("set_bg", ["type"], "args"),
    "rm": ("rm", [], "uids"),
    "mv": ("mv", [], "uids"),
    "hold": ("hold", [], "uids"),
    "release": ("release", [], "uids"),
    "tell": ("tell_module", ["uid", "cmd"], "args"),
    "tell_module": ("tell_module", ["uid", "cmd"], "args"),
    "tell_background": ("tell_background", ["uid", "cmd"], "args"),
    "ask": ("ask_module", ["uid"], "parameters"),
    "ask_module": ("ask_module", ["uid"], "parameters"),
    "ask_background": ("ask_background", ["uid"], "parameters"),
    "wait": ("wait", ["uid"], "args"),
    "output": ("output", ["uid"], "args"),
    "vote": ("vote", ["uid", "kind"], "args"),
    "item": ("item", ["uid"], "args"),
    "requeue": ("requeue", [], "uids"),
    "forget": ("forget", [], "uids"),
    "schedule": ("schedule", ["type"], "args"),
    "unschedule": ("unschedule", ["id"], "args"),
}

#: Arguments that are given as options, beside those for a module; "text" is not read as JSON.
OPTIONS = {
    "schedule": {
        **dict.fromkeys(("cron", "at", "tz", "until", "missed", "overlap", "id", "label"), "text"),
        **dict.fromkeys(("every", "priority"), "json"),
    },
    "output": {"since": "text", "grep": "text", "limit": "json"},
    "add": {
        **dict.fromkeys(("label", "not_before", "expires", "batch", "key"), "text"),
        **dict.fromkeys(("priority", "at", "after", "window"), "json"),
    },
}


#: Arguments as they are given: name and text of each.
Pairs = list[tuple[str, str]]


def packet_from_words(command: str, words: list[str]) -> tuple[dict[str, Any], Pairs]:
    """Make the packet of one command, from a shorthand or from key=value arguments.

    Arguments for a module are returned beside it, unconverted: its description says how.
    """
    pairs: Pairs = []
    if command in SHORTHANDS and words and "=" in words[0]:
        command, args = SHORTHANDS[command][0], plain_values(split_pairs(words))
    elif command in SHORTHANDS:
        command, args, pairs = expand_shorthand(command, words)
    elif command in ("queue", "pool", "bg") and not words:
        args = {"parameters": True}  # every parameter of every type
    else:
        args = plain_values(split_pairs(words))
    return ({"cmd": command, "args": args} if args else {"cmd": command}), pairs


def expand_shorthand(shorthand: str, words: list[str]) -> tuple[str, dict[str, Any], Pairs]:
    command, names, rest = SHORTHANDS[shorthand]
    named, others = words[: len(names)], words[len(names) :]
    needed = names if rest == "args" else [*names, rest]
    if len(words) < len(needed) or any("=" in word for word in named):
        raise Stop(Status.MISUSED, f"{shorthand} needs {' and '.join(needed)} (see shmz --help)")
    args: dict[str, Any] = dict(zip(names, named))
    if rest == "uids":
        first = next((i for i, word in enumerate(others) if "=" in word), len(others))
        others, more = others[:first], others[first:]
        args.update(plain_values(split_pairs(more)))
    if others and rest != "args":
        args[rest] = others
    return command, args, split_pairs(others) if rest == "args" else []


def split_pairs(words: list[str]) -> Pairs:
    pairs = []
    for word in words:
        key, equals, text = word.partition("=")
        if not (key and equals):
            raise Stop(Status.MISUSED, f"expected key=value, not {word!r} (see shmz --help)")
        pairs.append((key, text))
    return pairs


def plain_values(pairs: Pairs) -> dict[str, Any]:
    """Return arguments of which nothing is known: JSON where possible, text otherwise."""
    return convert_pairs(pairs, {})


def options_of(command: str, given: dict[str, str]) -> dict[str, Any]:
    """Return the arguments of a command that were given as options."""
    known = OPTIONS.get(command, {})
    for name in given:
        if name not in known:
            commands = " and ".join(each for each, names in OPTIONS.items() if name in names)
            name = name.replace("_", "-")
            raise Stop(Status.MISUSED, f"--{name} is an option of {commands} (see shmz --help)")
    texts = {name: text for name, text in given.items() if known[name] == "text"}
    return {**plain_values([*(given.items() - texts.items())]), **texts}


#: What may be the beginning of a uid, and not the name of a service.
BEGINNING_OF_UID = re.compile(r"[0-9a-f][0-9a-f-]{3,}")


def split_service(command: str, words: list[str]) -> tuple[str | None, list[str]]:
    """Split off the service that the first word names, for commands that accept one there."""
    if command not in ("history", "reload", "requeue", "types") or not words or "=" in words[0]:
        return None, words
    if command == "requeue" and BEGINNING_OF_UID.fullmatch(words[0]):
        return None, words
    return words[0], words[1:]
