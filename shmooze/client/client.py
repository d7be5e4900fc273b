"""The client of one application: its services by name."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, TypeVar, overload

from shmooze.client.connections import Connections
from shmooze.client.endpoint import Endpoint
from shmooze.client.errors import CommandRefused
from shmooze.client.service import Service, TypedService
from shmooze.errors import PacketError

if TYPE_CHECKING:
    from ssl import SSLContext

Kind = TypeVar("Kind", bound=TypedService)
Self = TypeVar("Self", bound="TypedClient")


class TypedClient:
    """What generated classes have in common with Client: all but attributes for any service."""

    #: A little longer than the gateway waits for a service: its refusal says more.
    timeout = 65.0

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout: float | None = None,
        ssl_context: SSLContext | None = None,
    ) -> None:
        token = (os.environ.get("SHMOOZE_TOKEN", "") if token is None else token).strip()
        self._connections = Connections(url, token, timeout or self.timeout, ssl_context)
        self._services: dict[tuple[str, type[TypedService]], TypedService] = {}

    @property
    def url(self) -> str:
        return self._connections.url

    @overload
    def service(self, name: str) -> Service: ...
    @overload
    def service(self, name: str, kind: type[Kind]) -> Kind: ...
    def service(self, name: str, kind: type[TypedService] = Service) -> TypedService:
        """The service of this name. `kind` is a class with types of its own, as `generate` writes
        them.
        """
        return self._services.setdefault((name, kind), kind(self._connections, name))

    def services(self) -> list[str]:
        """The names of all services, in alphabetical order.

        The gateway knows them if `ports` is public. Raises CommandRefused if it is not.
        """
        path = self._connections.path.rstrip("/") + "/settings.json"
        reply = self._connections.get(path)
        if reply.status != 200 and (name := Endpoint(self._connections, "").own_name()):
            return [name]
        try:
            ports = json.loads(reply.body)["ports"]
            return sorted(name for name in ports if name != "wsgi")
        except (ValueError, LookupError, TypeError, RecursionError) as bad:
            url = self._connections.url_of(path)
            if reply.status == 200:
                raise CommandRefused(f"{url} has no `ports`: they are not public") from bad
            raise PacketError(f"{url} is not the settings (HTTP status {reply.status})") from bad

    def close(self) -> None:
        """Close the connections, and end all streams of events."""
        self._connections.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"


class Client(TypedClient):
    """Talks to an application.

        client = Client("http://localhost:8080/")
        item = client.queue.add("countdown", seconds=30)

    `url` is that of the gateway, with its prefix, or of a single service. `token` is needed if the
    application requires one; without it, the variable SHMOOZE_TOKEN counts. `timeout` is how many
    seconds to wait for data of an answer.

    A service is an attribute (`client.queue`) or, if that name is taken, an item
    (`client["close"]`). Threads can share a client and everything that it returns. As a context
    manager it closes its connections at the end.
    """

    def __getattr__(self, name: str) -> Service:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return self.service(name)

    def __getitem__(self, name: str) -> Service:
        return self.service(name)
