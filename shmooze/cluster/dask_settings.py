"""Every key of `cluster` for the launcher `dask`, and the scheduler that they name."""

from __future__ import annotations

import json
import os
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from shmooze.cluster.declared import Cluster
from shmooze.errors import ShmoozeError
from shmooze.runtime.declared import Seconds

Names = Annotated[dict[str, str | None], Meta(description="an object of names and names, or null")]


class DaskCluster(Cluster, frozen=True, forbid_unknown_fields=True):
    """Where the scheduler of Dask is, and how it is spoken to."""

    scheduler: Annotated[
        str | None,
        'The address of the scheduler, "tls://HOST:PORT" or "tcp://HOST:PORT", or the path of a'
        " scheduler file.",
    ] = None
    ca_path: Annotated[
        str | None, "The certificate of the authority that has issued Dask's certificates (PEM)."
    ] = None
    certificate_path: Annotated[str | None, "The certificate that services show to Dask (PEM)."] = (
        None
    )
    key_path: Annotated[str | None, "The private key of that certificate (PEM)."] = None
    insecure: Annotated[
        bool,
        "Whether a tcp:// scheduler on another machine may be used. Anyone who can reach it can"
        " run programs on all its workers.",
    ] = False
    connect_timeout: Annotated[Seconds, "Seconds within which the scheduler must be reached."] = (
        10.0
    )
    resources: Annotated[
        Names,
        "For names in `needs`, the names of these resources at the workers of Dask, where they"
        " differ; null: Dask is not asked for it.",
    ] = {}


def find_scheduler(options: DaskCluster) -> str:
    """Return the address of the scheduler. Raises ShmoozeError if it must not be used."""
    address = _address(expanded(options.scheduler or ""))
    parts = urlsplit(address)
    host = parts.hostname or ""
    is_here = host.startswith("127.") or host in ("localhost", "::1")
    if parts.scheme != "tls" and not is_here and not options.insecure:
        raise ShmoozeError(
            f"the scheduler of Dask at {address} is not encrypted, and not on this machine;"
            " use tls://, or set `cluster.insecure` if nobody else can reach it"
        )
    return address


def expanded(path: str) -> str:
    """A path of the settings, with `~` and variables replaced."""
    return os.path.expandvars(os.path.expanduser(path))


def _address(scheduler: str) -> str:
    """Return the address in a scheduler file, unless this is an address itself."""
    if "://" in scheduler:
        return scheduler
    try:
        with open(scheduler, encoding="utf-8") as file:
            return str(json.load(file)["address"])
    except (OSError, ValueError, KeyError, TypeError) as bad:
        words = bad.strerror if isinstance(bad, OSError) else "it has no address in it"
        raise ShmoozeError(f"cannot read the scheduler file {scheduler}: {words}") from bad
