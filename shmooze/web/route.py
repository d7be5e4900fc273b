"""How a service is reached by those who ask it: the gateway, and other services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLContext

#: The header in which a gateway shows that it is one, to a service that `ports` gives a host.
SECRET_HEADER = "Shmooze-Secret"


@dataclass(frozen=True)
class Route:
    """The way to one service."""

    host: str
    port: int
    #: How its certificate is checked; None: it does not speak TLS.
    tls: SSLContext | None = None
    #: What it wants to see in each request, beside what the client has sent.
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def authority(self) -> str:
        """Host and port, as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
