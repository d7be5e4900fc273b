"""Every key of the section of a queue or pool in the settings: kind, default and meaning."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from shmooze.broker.declared import Amounts, ModuleType, TypeName
from shmooze.runtime import declared, schema
from shmooze.runtime.declared import Quota, Runnable, Seconds
from shmooze.settings import Settings

Route = Annotated[str, Meta(description='"json:" and a key', pattern=r"^json:.+\Z")]
Types = Annotated[dict[TypeName, ModuleType], Meta(description="an object of types")]


class OwnerLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits for each owner: the token that items are added with, or else the client's address."""

    waiting: Annotated[declared.Count | None, "Items of an owner that may wait."] = None
    per_hour: Annotated[declared.Count | None, "Items that an owner may add in an hour."] = None


class Votes(Struct, frozen=True, forbid_unknown_fields=True):
    """Votes of owners on items."""

    skip: Annotated[
        declared.Count | None,
        "How many votes end an item. If it is not set, votes cannot end items.",
    ] = None
    up: Annotated[bool, "Whether items can be voted up: each vote is one point of priority."] = (
        False
    )


class Section(Quota, frozen=True):
    """The section of a queue or pool, under its name in `ports`."""

    modules: Annotated[Types, "The module types that can be added."] = {}
    backgrounds: Annotated[Types, "The module types that can be a queue's background."] = {}
    launcher: Annotated[TypeName | None, "The `launcher` of types that do not set one."] = None
    cluster: Annotated[
        declared.Object | None,
        "The keys of `cluster` that are different for this service; see docs/how-to/cluster.md.",
    ] = None
    slots: Annotated[
        declared.Count | None,
        "Modules of a pool that play at the same time; see docs/reference/turns.md. If it is"
        " not set, all of them.",
    ] = None
    order: Annotated[
        Literal["fifo", "priority", "fair"],
        "In which order items play: as they were added, by priority, or in turns by owner;"
        " see docs/reference/ordering.md.",
    ] = "fifo"
    age: Annotated[
        Seconds | None,
        "With the order `priority`: seconds of waiting that are worth one point of priority."
        " If it is not set, waiting does not count.",
    ] = None
    has: Annotated[
        Amounts,
        'The resources that types can need, such as `{"gpu": 2, "memory_mb": 16000}`; see'
        " docs/reference/turns.md.",
    ] = {}
    limits: Annotated[
        OwnerLimits | None,
        "How many items each owner may have waiting, or add; see docs/reference/ordering.md.",
    ] = None
    votes: Annotated[Votes | None, "What votes of users do; see docs/reference/ordering.md."] = None
    route_by: Annotated[
        Route | None,
        "Where a request names the module type that should answer it, such as `json:model`;"
        " see docs/how-to/web-servers.md.",
    ] = None
    max_starting: Annotated[
        declared.Count | None,
        "Modules that are started at the same time when the service comes back. If it is not"
        " set, the number of processor cores.",
    ] = None


def max_starting(source: Settings, name: str) -> int | None:
    """The key of this name in the section of a queue or pool."""
    chosen: int | None = _key_of_section(source, name, "max_starting")
    return chosen


def slots(source: Settings, name: str) -> int | None:
    """The key of this name in the section of a pool."""
    chosen: int | None = _key_of_section(source, name, "slots")
    return chosen


def launcher(source: Settings, name: str) -> str:
    """The key of this name in the section of a queue or pool."""
    chosen: str | None = _key_of_section(source, name, "launcher")
    return chosen or "local"


def order(source: Settings, name: str) -> str:
    """The key of this name in the section of a queue or pool."""
    chosen: str | None = _key_of_section(source, name, "order")
    return chosen or "fifo"


def has(source: Settings, name: str) -> dict[str, float]:
    """The key of this name in the section of a pool."""
    chosen: dict[str, float] | None = _key_of_section(source, name, "has")
    return chosen or {}


def routing_key(source: Settings, name: str) -> str | None:
    """The key of a JSON body by which requests are routed to types."""
    chosen: str | None = _key_of_section(source, name, "route_by")
    return None if chosen is None else chosen.partition(":")[2]


def refuse_key(source: Settings, name: str, key: str, problem: str) -> None:
    """Raise SettingsError if a key is in the section of a queue or pool that has no use for it."""
    if _key_of_section(source, name, key) is not None:
        raise source.error(f"{name}.{key}", problem)


def _key_of_section(source: Settings, name: str, key: str) -> Any:
    section = declared.section_of(source, name)
    if key not in section:
        return None
    return schema.check(Section, {key: section[key]}, source.error, name)[key]


def unknown_keys(source: Settings, name: str) -> list[str]:
    """A warning for each key that nobody knows in the section of a queue or pool."""
    section = declared.section_of(source, name)
    known = [*schema.keys_of(Section), *schema.keys_of(Runnable)]
    return declared.unknown(source, section, known, f"{name}.")
