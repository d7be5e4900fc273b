"""Scopes: what a token allows.

    control   everything
    order     moving, holding and releasing all modules; pausing the service, and the like
    add       adding modules, also again from the history, and voting
    own       removing, skipping, moving, holding, releasing and telling what was added with a token
              of the same name
    read      whatever changes nothing; every token allows that

Two restrictions narrow that down; each may be named several times:

    type:NAME      only modules of these types are added or changed; reading is not restricted
    service:NAME   only these services can be used, for reading too
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shmooze.runtime.schema import did_you_mean, shown

#: The scopes that stand for all there is, or for none of it, have been the roles all along.
CONTROL, READ = ROLES = ("control", "read")
ADD, OWN, ORDER = ("add", "own", "order")
SCOPES = (ADD, OWN, ORDER, CONTROL, READ)
TYPE, SERVICE = RESTRICTIONS = ("type", "service")


@dataclass(frozen=True)
class Scopes:
    """The scopes of one token."""

    allowed: frozenset[str]
    #: Types of the modules that it may add or change; None: all.
    types: frozenset[str] | None = None
    #: Services that it may use; None: all.
    services: frozenset[str] | None = None

    @classmethod
    def of(cls, names: Iterable[str]) -> Scopes:
        """Read names of scopes. Raises ValueError, a sentence that `names` is the subject of."""
        allowed: set[str] = set()
        restricted: dict[str, set[str]] = {}
        for name in names:
            kind, colon, value = name.partition(":")
            if name in SCOPES:
                allowed.add(name)
            elif colon and value and kind in RESTRICTIONS:
                restricted.setdefault(kind, set()).add(value)
            else:
                raise ValueError(_explain_unknown(name))
        if not allowed:
            raise ValueError(f"must name at least one of {', '.join(SCOPES)}")
        limits = {kind: frozenset(values) for kind, values in restricted.items()}
        return cls(frozenset(allowed), limits.get(TYPE), limits.get(SERVICE))

    @property
    def role(self) -> str:
        """The role that comes closest without allowing more."""
        return CONTROL if CONTROL in self.allowed and self.types is None else READ

    def allow_service(self, name: str) -> bool:
        """Whether they allow any use of a service."""
        return self.services is None or name in self.services


EVERYTHING = Scopes(frozenset({CONTROL}))
READ_ONLY = Scopes(frozenset({READ}))
#: Of a client without a token, where tokens are used.
NOTHING = Scopes(frozenset(), frozenset(), frozenset())


def _explain_unknown(name: str) -> str:
    kind, colon, value = name.partition(":")
    if kind in RESTRICTIONS:
        return f"has {shown(name)}, which needs a name: `{kind}:NAME`"
    if colon:
        hint = did_you_mean(kind, RESTRICTIONS).replace("`?", f":{value}`?")
    else:
        hint = did_you_mean(name, (*SCOPES, *RESTRICTIONS))
    known = ", ".join([*SCOPES, *(f"{each}:NAME" for each in RESTRICTIONS)])
    return f"has an unknown scope {shown(name)};{hint} known: {known}"
