"""Every key of `cluster` for the launcher `slurm`, and the options of srun that follow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from msgspec import Meta

from shmooze.cluster.declared import Cluster
from shmooze.errors import ModuleError

#: What needs are called in Slurm if the settings do not say.
_DEFAULTS = {"cpu": "cpus", "cpus": "cpus", "memory_mb": "memory"}


def _problem_of_option(options: Any) -> str | None:
    bad = next((each for each in options if not each.startswith("--") or "\0" in each), None)
    return None if bad is None else f"has {bad!r} in it, which does not begin with --"


Options = Annotated[
    list[str],
    Meta(
        description='a list of options such as ["--partition=gpu"]',
        extra={"problem": _problem_of_option},
    ),
]
Resource = Annotated[
    str,
    Meta(
        description='"cpus", "memory", "gres:NAME" or "license:NAME"',
        pattern=r"^(cpus|memory|(gres|license):[^\s,]+)\Z",
    ),
]
Resources = Annotated[
    dict[str, Resource | None], Meta(description='an object such as {"gpu": "gres:gpu"}')
]


class SlurmCluster(Cluster, frozen=True, forbid_unknown_fields=True):
    """How jobs are submitted."""

    srun_options: Annotated[
        Options, "Options of srun for all modules, such as a partition, an account or a time."
    ] = []
    resources: Annotated[
        Resources,
        'For names in `needs`, what Slurm calls them: "cpus", "memory" (in MB), "gres:NAME" or'
        ' "license:NAME";'
        " null: Slurm is not asked for it. By default `cpu` and `memory_mb` are the first two, and"
        " all others are generic resources of the same name.",
    ] = {}


def options_of(needs: Mapping[str, float], names: Mapping[str, str | None]) -> list[str]:
    """The options of srun that ask for what a module needs. Raises ModuleError."""
    amounts: dict[str, int] = {}
    for name, amount in needs.items():
        resource = names.get(name, _DEFAULTS.get(name, f"gres:{name}"))
        if resource is not None and amount > 0:
            # Slurm counts in whole units.
            amounts[resource] = amounts.get(resource, 0) + math.ceil(amount)
    options = []
    if cpus := amounts.pop("cpus", 0):
        options.append(f"--cpus-per-task={cpus}")
    if memory := amounts.pop("memory", 0):
        options.append(f"--mem={memory}M")
    for kind in ("gres", "license"):
        wanted = [
            f"{resource.partition(':')[2]}:{amount}"
            for resource, amount in amounts.items()
            if resource.partition(":")[0] == kind
        ]
        if wanted:
            options.append(f"--{'licenses' if kind == 'license' else kind}={','.join(wanted)}")
    return options


def placing(hosts: Iterable[str], nodes: Mapping[str, set[str]]) -> list[str]:
    """The options of srun that place a job on one of these hosts: names of nodes, or features.

    `nodes` are all that there are, with their features. Raises ModuleError if none fits.
    """
    wanted = {*hosts}
    if not wanted:
        return []
    fitting = {name for name, features in nodes.items() if wanted & {name, *features}}
    if not fitting:
        raise ModuleError(f"cannot be started: Slurm has no node among {', '.join(sorted(wanted))}")
    if len(fitting) == 1:
        return [f"--nodelist={next(iter(fitting))}"]
    # --nodelist would ask for all of them at the same time.
    others = sorted(nodes.keys() - fitting)
    return [f"--exclude={','.join(others)}"] if others else []
