"""The tables of docs/reference/settings.md, made from the Structs that declare the keys."""

from __future__ import annotations

import json
import re
from typing import Any

from msgspec import Struct

from shmooze.broker import declared as of_types
from shmooze.broker import section
from shmooze.cluster.dask_settings import DaskCluster
from shmooze.cluster.declared import Cluster
from shmooze.cluster.slurm_settings import SlurmCluster
from shmooze.hooks.declared import Hook
from shmooze.modules.web_server import WebServer
from shmooze.processes.limits import Limits
from shmooze.runtime import declared, schema

#: By the name that stands in the page: `<!-- keys: NAME -->`.
TABLES: dict[str, type[Struct]] = {
    **{group.__name__: group for group in declared.GROUPS},
    "Runnable": declared.Runnable,
    "Section": section.Section,
    "OwnerLimits": section.OwnerLimits,
    "Votes": section.Votes,
    "ModuleType": of_types.ModuleType,
    "ModuleLimits": Limits,
    "WebServer": WebServer,
    "Hook": Hook,
    "Cluster": Cluster,
    "DaskCluster": DaskCluster,
    "SlurmCluster": SlurmCluster,
}
#: Keys that a Struct inherits stand in the table of that one.
_INHERITED = {DaskCluster: Cluster, SlurmCluster: Cluster, section.Section: declared.Quota}
_MARKED = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end of keys -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """The page with the table of each Struct that it names. Raises KeyError for an unknown one."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{_table(TABLES[found[2]])}\n{found[3]}", page)


def _table(struct: type[Struct]) -> str:
    left_out = schema.keys_of(_INHERITED[struct]) if struct in _INHERITED else {}
    rows = [
        f"| `{name}` | {_kind(key.kind)} | {_default(name, key)} | {_linked(key.meaning)} |"
        for name, key in schema.keys_of(struct).items()
        if name not in left_out
    ]
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def _kind(kind: Any) -> str:
    """What a value must be, in words; that it may be null is said by the default."""
    words = schema.describe(kind).removesuffix(", or null").removesuffix(" or null")
    words = re.sub(r"^one of ", "", words)
    return re.sub(r'(\{"[^}]*\}|\[?"[^"]*"\]?)', r"`\1`", _escaped(words))


def _default(name: str, key: schema.Key) -> str:
    """A default as it would stand in the file, with its size in words if it is one of memory."""
    if key.required:
        return "required"
    if key.default is None:
        return "not set"
    number = key.default
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    words = f"`{json.dumps(number)}`"
    is_size = name.endswith("_bytes") or name in ("max_body", "max_header", "max_url")
    if is_size and number >= 1 << 20:
        return f"{words} ({number >> 20} MiB)"
    return f"{words} ({number >> 10} KiB)" if is_size else words


def _linked(meaning: str) -> str:
    """A meaning whose names of pages are links, seen from docs/reference."""

    def link(found: re.Match[str]) -> str:
        folder, name = found[1], found[2]
        path = f"{name}.md" if folder == "reference" else f"../{folder}/{name}.md"
        return f"[{name.replace('-', ' ')}]({path})"

    return re.sub(r"docs/([\w-]+)/([\w-]+)\.md", link, _escaped(meaning))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
