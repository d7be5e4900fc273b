"""The module types that a queue or pool has on offer: checked, and looked up by name.

They come as classes from a program, or as descriptions from the settings.
"""

from __future__ import annotations

import logging
import numbers
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any

from shmooze.broker.declared import ModuleType
from shmooze.broker.section import Section, launcher, unknown_keys
from shmooze.errors import SettingsError
from shmooze.modules.channel import adapters
from shmooze.modules.kind import LOCAL, Kind, bounds_of
from shmooze.modules.module import Module
from shmooze.modules.web_server import FromParameter, WebServer, web_server_of
from shmooze.processes.limits import Limits
from shmooze.runtime import declared, schema
from shmooze.runtime.python_command import parse

log = logging.getLogger(__name__)

#: Keys that only types with certain adapters have.
_ADAPTER_KEYS = ("progress", "parameters", "json_lines", "result", "suspend")
#: The attributes of classes for keys whose names modules use otherwise.
ATTRIBUTES = {
    "parameters": "parameter_patterns",
    "result": "result_pattern",
    "suspend": "suspend_by",
}
#: Keys that did not exist when applications gave these names to something of their own.
_MAY_BE_OTHERWISE = (
    *("schema", "describe", "adapter", "environment", "cwd", "http"),
    *("needs", "preempt", "keep", "retries", "time_limit", "reuse", "preload"),
    *("limits", "max_age", "max_memory_mb"),
)
#: What 1.2.4 had in place of `command_timeout`.
_OLD_TIMES = ("cmd_read_timeout", "cmd_write_timeout")


def by_type(modules: Iterable[type[Module]]) -> dict[str, type[Module]]:
    """The types by name. Raises SettingsError for one that cannot be started."""
    table: dict[str, type[Module]] = {}
    for module in modules:
        name = getattr(module, "TYPE_STRING", None)
        if not isinstance(name, str) or not name or not name.isprintable():
            raise SettingsError(f"{module.__name__} needs a TYPE_STRING, a name that can be shown")
        _check_class(module)
        if name in table:
            raise SettingsError(
                f'{module.__name__}: another module has the TYPE_STRING "{name}" too'
            )
        table[name] = module
    return table


def _check_class(module: type[Module]) -> None:
    """Check the class attributes of a module type like the keys of one in the settings."""

    def wrong(key: str, problem: str) -> SettingsError:
        if place := module.place_in_settings:
            return declared.current().error(f"{place}.{key}", problem)
        return SettingsError(f"{module.__name__}: `{key}` {problem}")

    attributes = {}
    for key, declaration in schema.keys_of(ModuleType).items():
        attribute = ATTRIBUTES.get(key, key)
        value = getattr(module, attribute, None)
        default = declaration.default
        if not declaration.required and type(value) is type(default) and value == default:
            continue  # most keys: to check them takes longer than all else that is checked
        if isinstance(value, timedelta):  # as 1.2.4 had them
            seconds = f"{value.total_seconds():g}"
            raise wrong(key, f"must be a number of seconds: {seconds}, not a timedelta")
        if _is_of_application(module, key, value):
            continue
        if not isinstance(value, property) and hasattr(module, attribute):
            attributes[key] = _plain(value)
    schema.check(ModuleType, attributes, wrong)
    if module.preload is True and parse(module.process) is None:
        raise wrong(
            "preload", "needs a `process` that runs a file or -m MODULE directly with Python"
        )
    _check_adapter(module, wrong)
    if isinstance(module.http, dict):
        module.http = WebServer(**schema.check(WebServer, module.http, wrong, "http"))
    if isinstance(module.limits, dict):
        module.limits = Limits(**schema.check(Limits, module.limits, wrong, "limits"))
    _check_web_server(module, wrong)
    if module.adapter is not None and not module.describe:
        _add_description(module, adapters.find(module.adapter).description(module))
    if old := [key for key in _OLD_TIMES if hasattr(module, key)]:
        names = " and ".join(f"`{key}`" for key in old)
        log.warning("%s: %s of 1.2.4 is now `command_timeout`", module.__name__, names)


def _is_of_application(kind: type[Module], key: str, value: Any) -> bool:
    """Whether a class has something of its own of this name, which has nothing to do with us."""
    if key in _MAY_BE_OTHERWISE:
        return callable(value)
    if key == "hosts":
        return kind.launcher == LOCAL and not kind.place_in_settings
    return key in _ADAPTER_KEYS and kind.adapter is None and not kind.place_in_settings


def _add_description(kind: type[Module], derived: dict[str, Any] | None) -> None:
    """Complete the description of a type with what its adapter knows of it."""
    given = kind.given_schema
    if derived is not None and (given is None or isinstance(given, dict)):
        kind.schema = {**derived, **(given or {})}


def _given_schema(kind: type[Module]) -> Any:
    """The description that a class has or inherits, without what an adapter has added to it."""
    names = ("given_schema", "schema")
    found = (vars(each)[name] for each in kind.__mro__ for name in names if name in vars(each))
    return next(found)


def _check_adapter(kind: type[Module], wrong: schema.Wrong) -> None:
    """Check what a type says that depends on its adapter."""
    name = kind.adapter
    if name is None:
        known: Collection[str] = ()
    else:
        try:
            adapter = adapters.find(name)
        except SettingsError as bad:
            raise wrong("adapter", f"cannot be used: {bad}") from bad
        known = adapter.keys
        kind.given_schema = _given_schema(kind)
        if problem := adapter.problem(kind):
            raise wrong(*problem)
        if isinstance(kind.reuse, int) and kind.reuse > 1 and "reuse" not in known:
            raise wrong("reuse", f"has no meaning for a type with the adapter `{name}`")
        for key, value in zip(("max_age", "max_memory_mb"), bounds_of(kind), strict=True):
            if name == "command" and value is not None:
                raise wrong(key, "would begin a command again: use `time_limit` or `limits`")
    for key in _ADAPTER_KEYS:
        attribute = ATTRIBUTES.get(key, key)
        value, default = getattr(kind, attribute), getattr(Module, attribute)
        if key in known or value == default:
            continue
        which = "without an adapter" if name is None else f"with the adapter `{name}`"
        words = f"has no meaning for a type {which}"
        if not _is_of_application(kind, key, value):
            raise wrong(key, words)
        if not callable(value) and not isinstance(value, property):
            log.warning("%s: `%s` %s", kind.__name__, attribute, words)


def _check_web_server(kind: type[Module], wrong: schema.Wrong) -> None:
    """Check what a type says that depends on whether, and how, its program is a web server."""
    own = web_server_of(kind)
    has_port = any("{port}" in word for word in kind.process)
    if own is None:
        # With a schema, or without an adapter, it may be something else.
        if has_port and kind.adapter is not None and kind.schema is None:
            raise wrong("process", "has `{port}`, and the type has no `http`")
        if kind.keep is True:
            raise wrong("keep", "has no meaning for a type without `http`")
        return
    if isinstance(kind.reuse, int) and kind.reuse > 1:
        raise wrong("reuse", "must be 1: each item has a web server of its own")
    if own.keep_path and not any("{path}" in word for word in kind.process):
        raise wrong("http.keep_path", "is true, and `process` has no `{path}`")
    if not isinstance(own.port, FromParameter):
        return
    if has_port:
        raise wrong("process", "has `{port}`, and `http.port` is reported by the program itself")
    known = {*kind.parameter_patterns, *(["progress"] if kind.progress else [])}
    if kind.adapter == "command" and not kind.json_lines and own.port.name not in known:
        hint = schema.did_you_mean(own.port.name, known)
        raise wrong("http.port", f"names a parameter that `parameters` does not have;{hint}")


def _plain(value: Any) -> Any:
    """A value as JSON would have it: numbers may be of any type that Python takes for one."""
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return str.__str__(value) if isinstance(value, str) else value


def wrong_key(kind: type[Kind], key: str, problem: str) -> SettingsError:
    """An error about one key of a type, with the place in the settings if it is from there."""
    if place := kind.place_in_settings:
        return declared.current().error(f"{place}.{key}", problem)
    return SettingsError(f"{kind.__name__}: `{key}` {problem}")


def check_preempt(kinds: Iterable[type[Module]], order: str) -> None:
    """Raise SettingsError for a type that may be suspended for others where none comes first."""
    for kind in kinds:
        if kind.preempt is True and order != "priority":
            raise wrong_key(kind, "preempt", 'has no meaning unless `order` is "priority"')


def refuse_turns(kinds: Iterable[type[Module]]) -> None:
    """Raise SettingsError for a type with keys that have no meaning where one module plays."""
    for kind in kinds:
        # What a process needs of a cluster, its engine counts.
        for key in ("needs", "max_playing") if kind.launcher == LOCAL else ("max_playing",):
            value = getattr(kind, key)
            if value and not callable(value):
                raise wrong_key(kind, key, "is for pools: in a queue, one module plays")


def log_warnings(service: str, kinds: Iterable[type[Module]], others: Iterable[str]) -> None:
    """Log what is odd about the settings of a queue or pool and its types, and `others`."""
    mistakes = [*unknown_keys(declared.current(), service), impatient_gateway(kinds)]
    for warning in filter(None, [*mistakes, *others]):
        log.warning("%s: %s", service, warning)


def impatient_gateway(kinds: Iterable[type[Module]]) -> str | None:
    """A warning where a module may take more time than the gateway waits for an answer."""
    source = declared.current()
    try:
        patience = schema.read(declared.Gateway, source.values, source.error).wsgi_timeout
    except SettingsError:  # the gateway tells of it
        return None
    longer = [
        f"`{key}` of {kind.TYPE_STRING} is {value:g} s"
        for kind in kinds
        for key in ("connect_timeout", "command_timeout")
        if isinstance(value := getattr(kind, key), (int, float)) and value > patience
    ]
    if not longer:
        return None
    return (
        f"{', '.join(sorted(longer))}, and `wsgi_timeout` only {patience:g} s:"
        " the gateway will give up before the module does"
    )


def types_from_settings(
    service: str, key: str, *, may_be_empty: bool = False
) -> list[type[Module]]:
    """The module types that the settings describe under `service`.`key`:

        {TYPE: {"process": [program, arguments…], "connect_timeout"?: seconds, …}}

    Raises SettingsError, also where there is none although there must be.
    """
    source = declared.current()
    section = source.get(service, {})
    if not isinstance(section, dict):
        raise source.error(service, f"must be an object, not {schema.shown(section)}")
    path = f"{service}.{key}"
    given = {key: section[key]} if key in section else {}
    types = schema.check(Section, given, source.error, service).get(key, {})
    shared = launcher(source, service)
    if not types and not may_be_empty:
        for misspelt in section:
            if key not in section and (hint := schema.did_you_mean(misspelt, [key])):
                raise source.error(f"{service}.{misspelt}", f"is unknown;{hint}")
        raise source.error(path, 'names no module type, as {"TYPE": {"process": [PROGRAM, …]}}')
    return [
        _class_of(f"{path}.{name}", name, described, {"launcher": shared} | section[key][name])
        for name, described in types.items()
    ]


def _class_of(
    place: str, name: str, described: ModuleType, given: Mapping[str, Any]
) -> type[Module]:
    chosen = {
        ATTRIBUTES.get(name, name): _rounded(value)
        for name, key in schema.keys_of(ModuleType).items()
        if (value := getattr(described, name)) != key.default
    }
    own = {"TYPE_STRING": name, "place_in_settings": place, "launcher": given["launcher"]}
    return type(name, (Module,), {**own, "definition": (described, given["launcher"]), **chosen})


def _rounded(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
