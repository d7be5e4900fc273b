"""The commands of one service in an OpenAPI document."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from shmooze.gateway.embedding import BadSchema
from shmooze.gateway.examples import example_of
from shmooze.gateway.schemas import Schemas
from shmooze.gateway.services import Command, ModuleType, Service

#: Commands whose arguments depend on the module type; and where to find the types.
_ADDING = {"add": "modules", "set_bg": "backgrounds"}
_TELLING = {"tell_module": "modules", "tell_background": "backgrounds"}


class ServiceSchemas:
    """Adds the schemas of a service to `schemas`. Raises BadSchema, with the place in a service."""

    def __init__(self, name: str, service: Service, schemas: Schemas) -> None:
        self._name, self._service, self._schemas = name, service, schemas
        if not service.commands:
            raise BadSchema("has no commands")
        self._references: dict[str, dict[str, str]] = {}
        #: Commands that change nothing come first, so that the first one is safe to try.
        self._commands = dict(sorted(service.commands.items(), key=lambda item: item[1].changes))

    def command(self) -> dict[str, Any]:
        """A reference to the schema of any command."""
        variants = {cmd: self._variant(cmd, each) for cmd, each in self._commands.items()}
        for type, each in {**self._service.backgrounds, **self._service.modules}.items():
            if each.parameters:
                parameters = {"type": "object", "properties": each.parameters}
                self._embed(parameters, type, "parameters")
        return self._schemas.add(_one_of(variants, "cmd"), self._name, "command")

    def answer(self) -> dict[str, Any]:
        """A reference to the schema of any answer."""
        results = []
        for cmd, each in self._commands.items():
            if each.result is not UNSET:
                results.append(self._embed(each.result, cmd, "result"))
                self._references[cmd]["result"] = results[-1]["$ref"]
        if others := [cmd for cmd, each in self._commands.items() if each.result is UNSET]:
            names = ", ".join(f"`{cmd}`" for cmd in others)
            results.append({"description": f"Any value: the result of {names}."})
        success = {
            "type": "object",
            "properties": {"success": {"const": True}, "result": {"anyOf": results}},
            "required": ["success", "result"],
        }
        failure = {"$ref": "#/components/schemas/Failure"}
        answers = [self._schemas.add(success, self._name, "success"), failure]
        return self._schemas.add({"oneOf": answers}, self._name, "answer")

    def summaries(self) -> dict[str, Any]:
        """By command: what it does, and references to its schema and that of its result."""
        return {
            cmd: {
                "summary": _summary(each.description),
                "description": each.description.partition("\n\n")[2],
                "changes": each.changes,
                **self._references[cmd],
            }
            for cmd, each in self._commands.items()
        }

    def table_of_commands(self) -> str:
        """All commands with the first sentences of their descriptions, in Markdown."""
        rows = [
            f"| `{cmd}` | {_escaped(_summary(each.description))} |"
            for cmd, each in self._commands.items()
        ]
        return "\n".join(["| command | |", "|---|---|", *rows])

    def examples(self) -> dict[str, Any]:
        """A request for each command; for one that adds modules, one for each type."""
        examples = {}
        for cmd, each in self._commands.items():
            args = _example_args(each.args) if _takes_args(each) else {}
            types = getattr(self._service, _ADDING.get(cmd, ""), {}) if _takes_args(each) else {}
            if not types:
                examples[cmd] = _example(cmd, cmd, args, each.description)
            for type, module in types.items():
                given = {**args, "type": type}
                if module.args is not UNSET:
                    given["args"] = _example_args(module.args)
                said = module.title or module.description or each.description
                name = f"{cmd} {type}"
                examples[name] = _example(name, cmd, given, said)
        return examples

    def _variant(self, cmd: str, command: Command) -> dict[str, Any]:
        """A reference to the schema of a command with its arguments."""
        properties: dict[str, Any] = {"cmd": {"const": cmd}}
        if _takes_args(command):
            properties["args"] = self._args_of(cmd, command)
        said = command.description
        if command.result is not UNSET:
            said += f"\n\nReturns `{self._name}.{cmd}.result`."
        packet = {
            "type": "object",
            "description": said.strip(),
            "properties": properties,
            "required": [*properties] if command.args.get("required") else ["cmd"],
        }
        reference = self._schemas.add(packet, self._name, cmd)
        self._references[cmd] = {"schema": reference["$ref"]}
        return reference

    def _args_of(self, cmd: str, command: Command) -> dict[str, Any]:
        adding = getattr(self._service, _ADDING.get(cmd, ""), {})
        telling = getattr(self._service, _TELLING.get(cmd, ""), {})
        if adding:
            return _one_of(
                {type: self._args_for(cmd, command, type, each) for type, each in adding.items()},
                "type",
            )
        if any(each.commands is not UNSET for each in telling.values()):
            return {"anyOf": self._args_for_telling(cmd, command, telling)}
        return self._embed(command.args, cmd, "args")

    def _args_for(self, cmd: str, command: Command, type: str, module: ModuleType) -> Any:
        """The arguments of a command that adds modules, for one type."""
        given: dict[str, Any] = {"type": {"const": type}}
        if module.args is not UNSET:
            given["args"] = self._embed(module.args, type, "args")
        said = "\n\n".join(filter(None, (module.title, module.description)))
        needs_args = module.args is not UNSET and module.args.get("required")
        return self._narrowed(command, given, ["args"] if needs_args else [], said, cmd, type)

    def _args_for_telling(
        self, cmd: str, command: Command, types: dict[str, ModuleType]
    ) -> list[dict[str, Any]]:
        """The arguments of a command that tells modules something, for each type and command."""
        variants = []
        for type, module in types.items():
            if module.commands is UNSET:
                continue
            for told, each in module.commands.items():
                args = self._embed(each.args, type, told, "args")
                given = {"cmd": {"const": told}, "args": args}
                needs_args = ["args"] if each.args.get("required") else []
                said = "\n\n".join(filter(None, (f"For modules of type {type}.", each.description)))
                variants.append(self._narrowed(command, given, needs_args, said, cmd, type, told))
        if any(module.commands is UNSET for module in types.values()):
            variants.append(self._embed(command.args, cmd, "args"))
        return variants

    def _narrowed(
        self,
        command: Command,
        properties: dict[str, Any],
        required: list[str],
        description: str,
        *name: str,
    ) -> dict[str, Any]:
        """The arguments of a command, of which some have narrower schemas."""
        # Ours are put in afterwards: they already lead to where they belong.
        reference = self._embed(command.args, *name)
        args = self._schemas.by_name[reference["$ref"].rpartition("/")[2]]
        args["properties"] = {**args.get("properties", {}), **properties}
        told = [each for each in properties if "const" in properties[each]]
        args["required"] = list(dict.fromkeys([*args.get("required", []), *told, *required]))
        if description:
            args["description"] = description
        return reference

    def _embed(self, schema: Any, *name: str) -> dict[str, Any]:
        try:
            return self._schemas.add_embedded(schema, self._name, *name)
        except BadSchema as bad:
            place = ".".join(name)
            raise BadSchema(f"describes itself in an unknown form: {place}: {bad}") from bad


def _one_of(variants: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """One of these schemas, told apart by the property `name`."""
    mapping = {value: reference["$ref"] for value, reference in variants.items()}
    return {
        "oneOf": list(variants.values()),
        "discriminator": {"propertyName": name, "mapping": mapping},
    }


def _takes_args(command: Command) -> bool:
    """Whether there may be any arguments; otherwise its schema of them is not looked at."""
    return bool(command.args.get("properties") or command.args.get("additionalProperties", True))


def _example_args(schema: dict[str, Any]) -> dict[str, Any]:
    """Arguments as an example, of a schema that was embedded."""
    args = example_of({**schema, "type": "object"})
    return args if isinstance(args, dict) else {}


def _example(name: str, cmd: str, args: Any, description: str) -> dict[str, Any]:
    value = {"cmd": cmd, "args": args} if args else {"cmd": cmd}
    return {"summary": name, "description": _summary(description), "value": value}


def _summary(description: str) -> str:
    """The first paragraph of a description, as one line."""
    return " ".join(description.partition("\n\n")[0].split())


def _escaped(text: str) -> str:
    """Text in a table of Markdown."""
    return text.replace("|", "\\|")
