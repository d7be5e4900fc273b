"""Writes the typed classes of an application in TypeScript, for use with shmooze.mjs."""

from __future__ import annotations

import json

from shmooze.client.generate.application import Application, Command, ItemType, ServiceClass
from shmooze.client.generate.names import Names, is_identifier
from shmooze.client.generate.text import comment, paragraphs
from shmooze.client.generate.types import Basic, DictOf, ListOf, OneOf, Shape, Type, Values

#: Names that the generated code uses itself, or that are types of TypeScript.
_OWN = """
    Application Call ArgsOf ResultOf ParametersOf Endpoint Gone Item Module Shown
    Partial Promise Record Array Object String Number Boolean Function Symbol Date Error Map Set
    Omit Readonly Parameters
"""
RESERVED = frozenset(_OWN.split())
#: Names of methods that a class cannot have, or that have a meaning of their own.
_METHODS = frozenset(["constructor", "endpoint", "add", "set_bg", "subscribe", "then", "prototype"])
_BASIC = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "null": "null"}
_BASIC |= {"any": "any", "never": "never"}
#: Integers that a number of JavaScript holds exactly.
_EXACT = 2**53

_COMMON = """\
/** Arguments that may be left out if none is required. */
type Call<Args, More extends unknown[] = []> = {} extends Args
  ? [args?: Args, ...more: More]
  : [args: Args, ...more: More];

type ArgsOf<Described> = Described extends { args: infer Args } ? Args : never;
type ResultOf<Described> = Described extends { result: infer Result } ? Result : never;
type ParametersOf<Described> = Described extends { parameters: infer All } ? All : never;

/** An item of a type as `subscribe` shows it. */
type Shown<Types> = {
  [Name in keyof Types]: Omit<Module, "type" | "args" | "parameters"> & {
    readonly type: Name;
    readonly label?: string;
    readonly args?: Readonly<ArgsOf<Types[Name]>>;
    readonly parameters: Readonly<ParametersOf<Types[Name]>>;
  };
}[keyof Types];

/** An item that was added. */
export class Item<Commands> {
  constructor(
    readonly endpoint: Endpoint,
    readonly uid: string,
    readonly isBackground: boolean,
  ) {}

  /** Send it a command of its own. Resolves to its answer. */
  tell<Name extends keyof Commands & string>(
    name: Name,
    ...[args]: Call<ArgsOf<Commands[Name]>>
  ): Promise<ResultOf<Commands[Name]>> {
    const cmd = this.isBackground ? "tell_background" : "tell_module";
    const told = { uid: this.uid, cmd: name, args: args ?? {} };
    return this.endpoint.deferQuery({ cmd, args: told });
  }

  remove(): Promise<null> {
    return this.endpoint.deferQuery({ cmd: "rm", args: { uids: [this.uid] } });
  }
}
"""

_ADD = """\
  /** Add an item. Resolves when the module has accepted its arguments. */
  async {cmd}<Name extends keyof {types} & string>(
    type: Name,
    ...[args, options]: Call<{types}[Name]["args"], [options?: {options}]>
  ): Promise<Item<{types}[Name]["commands"]>> {{
    const command = {{ cmd: "{cmd}", args: {{ type, args: args ?? {{}}, ...options }} }};
    const {{ uid }} = await this.endpoint.deferQuery<{{ uid: string }}>(command);
    return new Item(this.endpoint, uid, {is_background});
  }}"""

_SUBSCRIBE = """\
  /** Watch it, as `subscribe` of an Endpoint. Returns a function that ends that. */
  subscribe(
    listener: (
      state: {{ modules: readonly {shown}[]; background: {background} }},
      gone: Gone,
    ) => void,
  ): () => void {{
    return this.endpoint.subscribe(listener as unknown as Parameters<Endpoint["subscribe"]>[0]);
  }}"""


def write(application: Application, made_by: str, source: str = "./shmooze.mjs") -> str:
    """The text of the file. `made_by` says how it was made, `source` is where shmooze.mjs is."""
    head = ["Typed classes for an application of shmooze.", ""]
    head += paragraphs([made_by, "Do not change this file: generate it again."], "")
    lines = comment(head, "")
    lines += [f"import type {{ Endpoint, Gone, Module }} from {json.dumps(source)};", "", _COMMON]
    for shape in application.shapes:
        lines += [*_shape(shape), ""]
    for service in application.services:
        lines += [*_service(service), ""]
    return "\n".join([*lines, *_application(application)]) + "\n"


def type_text(kind: Type) -> str:
    """A type in TypeScript."""
    if isinstance(kind, Basic):
        return _BASIC[kind.name]
    if isinstance(kind, Shape):
        return kind.name or ("Record<string, any>" if kind.is_open else "Record<string, never>")
    if isinstance(kind, ListOf):
        inner = type_text(kind.item)
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    if isinstance(kind, DictOf):
        return f"Record<string, {type_text(kind.value)}>"
    if isinstance(kind, OneOf):
        return " | ".join(dict.fromkeys(type_text(each) for each in kind.members))
    return _values(kind)


def _values(kind: Values) -> str:
    def text(value: object) -> str:
        is_large = isinstance(value, (int, float)) and not -_EXACT < value < _EXACT
        return "number" if is_large else json.dumps(value)

    return " | ".join(dict.fromkeys(map(text, kind.values)))


def _key(key: str) -> str:
    return key if is_identifier(key) else json.dumps(key)


def _shape(shape: Shape) -> list[str]:
    lines = [
        *comment(paragraphs([shape.description], ""), ""),
        f"export interface {shape.name} {{",
    ]
    for each in shape.fields:
        lines += comment(paragraphs([each.description], "  "), "  ")
        lines += [f"  {_key(each.key)}{'' if each.is_required else '?'}: {type_text(each.type)};"]
    return [*lines, *["  [key: string]: any;"] * shape.is_open, "}"]


def _service(service: ServiceClass) -> list[str]:
    name, lines = service.class_name, list[str]()
    for items, suffix in ((service.modules, "Modules"), (service.backgrounds, "Backgrounds")):
        if items is not None:
            lines += [f"export interface {name}{suffix} {{"]
            lines += [line for item in items for line in _item(item)] + ["}", ""]
    lines += comment(paragraphs([service.description or f"The service `{service.name}`."], ""), "")
    lines += [f"export class {name} {{", "  constructor(readonly endpoint: Endpoint) {}"]
    if service.modules is not None:
        background = "null"
        options = type_text(service.add_options)
        types, is_not = f"{name}Modules", "false"
        lines += ["", _ADD.format(cmd="add", types=types, options=options, is_background=is_not)]
        if service.backgrounds is not None:
            background = f"Shown<{name}Backgrounds> | null"
            options = type_text(service.set_bg_options)
            types, is_so = f"{name}Backgrounds", "true"
            more = _ADD.format(cmd="set_bg", types=types, options=options, is_background=is_so)
            lines += ["", more]
        lines += ["", _SUBSCRIBE.format(shown=f"Shown<{name}Modules>", background=background)]
    names = Names(_METHODS)
    for command in service.commands:
        lines += _method(command, names.of_attribute(command.name))
    return [*lines, "}"]


def _item(item: ItemType) -> list[str]:
    lines = [
        *comment(paragraphs([item.description], "  "), "  "),
        f"  {_key(item.name)}: {{",
        f"    args: {type_text(item.args)};",
        f"    parameters: {type_text(item.parameters)};",
    ]
    if not item.commands:
        return [*lines, "    commands: {};", "  };"]
    lines += ["    commands: {"]
    for each in item.commands:
        lines += comment(paragraphs([each.description], "      "), "      ")
        result = type_text(each.result)
        lines += [f"      {_key(each.name)}: {{ args: {type_text(each.args)}; result: {result} }};"]
    return [*lines, "    };", "  };"]


def _method(command: Command, name: str) -> list[str]:
    args, result = command.args, type_text(command.result)
    has_arguments = args.is_open or args.fields
    parameters = f"...[args]: Call<{type_text(args)}>" if has_arguments else ""
    given = ", args: args ?? {}" if has_arguments else ""
    return [
        "",
        *comment(paragraphs([command.description], "  "), "  "),
        f"  {name}({parameters}): Promise<{result}> {{",
        f"    return this.endpoint.deferQuery({{ cmd: {json.dumps(command.name)}{given} }});",
        "  }",
    ]


def _application(application: Application) -> list[str]:
    lines = [
        "/** The services of the application, by name, for `endpoints` of shmooze.mjs. */",
        "export class Application {",
        "  constructor(readonly endpoints: Record<string, Endpoint>) {}",
    ]
    names = Names({"constructor", "endpoints", "then"})
    for each in application.services:
        lines += [
            "",
            f"  get {names.of_attribute(each.name)}(): {each.class_name} {{",
            f"    return new {each.class_name}(this.endpoints[{json.dumps(each.name)}]!);",
            "  }",
        ]
    return [*lines, "}"]
