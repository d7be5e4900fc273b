"""The candidates for the last word of a command line, with descriptions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from shmooze.runtime.printable import printable
from shmooze.shmz.completion.asked import Asked
from shmooze.shmz.described import first_line, part, text_of
from shmooze.shmz.endpoint import find_token, find_url
from shmooze.shmz.guide import as_word
from shmooze.shmz.headings import heading
from shmooze.shmz.schemas import Schema, choices_of, first, is_secret, kinds_of, properties_of
from shmooze.shmz.words import OPTIONS as OPTIONS_OF_COMMANDS
from shmooze.shmz.words import SHORTHANDS, split_service

#: Candidates with their descriptions.
Candidates = list[tuple[str, str]]

OPTIONS: Candidates = [
    ("-e", "URL or name of the service"),
    ("--json", "print JSON"),
    ("--timeout", "seconds to wait for data"),
    ("--token-file", "file with the access token"),
    ("--help", "explain shmz, a type, an item or a command"),
    ("--version", "print the version"),
]
OPTIONS_WITH_VALUE = ("-e", "--timeout", "--token-file")
#: The arguments of commands that are given as options, each with its option.
ARGUMENT_OF_OPTION = {
    f"--{name.replace('_', '-')}": name for names in OPTIONS_OF_COMMANDS.values() for name in names
}
#: Commands of shmz itself, which no service describes.
OWN_COMMANDS: Candidates = [
    ("watch", "show the modules live"),
    ("run", "add a job, and show its output and result"),
    ("types", "list the types to add"),
    ("completion", "print a script for a shell"),
]
#: Short commands, and the commands of a service that they stand for.
SHORT = {name: full for name, (full, *_) in SHORTHANDS.items() if name != full}


class Line:
    """The words of a command line, without the name of the program; the last is incomplete."""

    def __init__(self, words: list[str]) -> None:
        *before, self.current = words
        self.options: dict[str, str] = {}
        #: The option whose value is incomplete, if any.
        self.open_option = ""
        #: The command and its words.
        self.words: list[str] = []
        while before:
            word = before.pop(0)
            if word in OPTIONS_WITH_VALUE or word in ARGUMENT_OF_OPTION:
                self.open_option = "" if before else word
                self.options[word] = before.pop(0) if before else ""
            elif not word.startswith("-"):
                self.words.append(word)


def candidates_for(line: Line, timeout: float) -> Candidates:
    """Return what may stand in place of the last word. Raises Stop if a service does not answer."""
    found = all_candidates(line, timeout)
    return [
        (value, about)
        for value, about in found
        if value.startswith(line.current) and printable(value) == value
    ]


def all_candidates(line: Line, timeout: float) -> Candidates:
    command, *words = line.words or [""]
    argument = ARGUMENT_OF_OPTION.get(line.open_option)
    if line.open_option not in ("", "-e") and argument is None:
        return []
    takes_options = command in OPTIONS_OF_COMMANDS
    if line.current.startswith("-") and not line.open_option and not takes_options:
        return OPTIONS
    if command == "run":
        command = "add"
    if command == "completion":
        return [(shell, "") for shell in ("bash", "zsh", "fish")]
    beside, words = split_service(command, words)
    endpoint = None if line.open_option else line.options.get("-e")
    token = find_token(line.options.get("--token-file"))
    asked = Asked(find_url(endpoint, command, beside), timeout, token)
    if argument is not None:
        schema = part(asked.commands, command, "args")
        return [(value, "") for value in choices(properties_of(schema).get(argument), schema)]
    if line.open_option:
        return services(asked)
    if line.current.startswith("-"):
        return [*options_of(asked, command, line.options), *OPTIONS]
    if not command:
        return commands(asked)
    if command in ("watch", "types"):
        return [] if words else services(asked)
    return words_of_command(asked, command, words, line.current)


def services(asked: Asked) -> Candidates:
    return [(name, "service") for name in asked.services]


def commands(asked: Asked) -> Candidates:
    described = asked.commands
    named = [(name, first_line(each)) for name, each in described.items()]
    short = [
        (name, first_line(described[full])) for name, full in SHORT.items() if full in described
    ]
    return [*named, *short, *OWN_COMMANDS]


def options_of(asked: Asked, command: str, given: Collection[str]) -> Candidates:
    """The options for arguments of a command that the service knows, but for those given."""
    schema = part(asked.commands, command, "args")
    properties = properties_of(schema)
    return [
        (option, about_argument(properties[name], schema))
        for option, name in ARGUMENT_OF_OPTION.items()
        if name in OPTIONS_OF_COMMANDS[command] and name in properties and option not in given
    ]


def words_of_command(asked: Asked, command: str, words: list[str], current: str) -> Candidates:
    full, names, rest = SHORTHANDS.get(command, (command, [], "args"))
    if len(words) < len(names):
        place = names[len(words)]
        if place == "type":
            return types(asked, full)
        return uids(asked, full, []) if place == "uid" else commands_of_item(asked, words[0])
    if rest == "uids":
        return uids(asked, full, words)
    if rest == "parameters":
        parameters = part(asked.item(words[0]), "parameters")
        return [(name, "") for name in parameters if name not in words]
    given = words[len(names) :]
    return arguments(schema_of(asked, full, words), given, current)


def types(asked: Asked, command: str) -> Candidates:
    found = asked.types(command)
    return [(kind, text_of(each, "title") or first_line(each)) for kind, each in found.items()]


def uids(asked: Asked, command: str, given: list[str]) -> Candidates:
    items = asked.items
    if command in ("item", "requeue", "forget"):
        items = ([*items] if command == "item" else []) + asked.ended
    if command.endswith("_background"):
        items = asked.backgrounds
    return [
        (item["uid"], f"{heading(item)}, {item.get('state', '')}")
        for item in items
        if item["uid"] not in given
    ]


def commands_of_item(asked: Asked, uid: str) -> Candidates:
    described = part(asked.type_of_item(uid), "commands")
    return [(name, first_line(each)) for name, each in described.items()]


def schema_of(asked: Asked, command: str, words: list[str]) -> Schema:
    if command in ("add", "set_bg", "schedule"):
        return part(asked.types(command), words[0], "args")
    if command in ("tell_module", "tell_background"):
        return part(asked.type_of_item(words[0]), "commands", words[1], "args")
    return part(asked.commands, command, "args")


def arguments(args: Schema, given: list[str], current: str) -> Candidates:
    """Return the names of arguments that are not given yet, or the values of the current one."""
    properties = properties_of(args)
    name, equals, _ = current.partition("=")
    if equals:
        return [(f"{name}={value}", "") for value in choices(properties.get(name), args)]
    taken = {word.partition("=")[0] for word in given}
    return [
        (f"{each}=", about_argument(schema, args))
        for each, schema in properties.items()
        if each not in taken or "array" in kinds_of(schema, args)
    ]


def about_argument(schema: Any, args: Schema) -> str:
    for key in ("description", "title"):
        if isinstance(about := first(schema, args, key), str) and about.strip():
            return about.strip().partition("\n")[0]
    return ""


def choices(schema: Any, args: Schema) -> list[str]:
    found = [as_word(value) for value in choices_of(schema, args)]
    if not found and "boolean" in kinds_of(schema, args):
        found = ["true", "false"]
    default = first(schema, args, "default")
    if not found and default is not None and not is_secret(schema, args):
        found = [as_word(default)]
    return found
