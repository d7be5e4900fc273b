"""A client for one command, kept for programs written for 1.2.4. See also `json_query`."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import urlsplit

from shmooze.lib import packet
from shmooze.web.client import Client

DEFAULT_ENDPOINT = "http://localhost:8080/queue"

_PORTS = {"http": 80, "https": 443}


def request(message: Any, endpoint: str = DEFAULT_ENDPOINT) -> Any:
    """The result of a command. The environment variable SHMOOZE_TOKEN may hold a token.

    Raises Failure with the service's message, OSError if the service cannot be reached,
    PacketError for an answer that is not a packet, ValueError for an endpoint that is not a URL of
    HTTP.
    """
    url = urlsplit(endpoint)
    if url.scheme not in _PORTS or not url.hostname:
        raise ValueError(f"the endpoint must be a URL of http or https, not {endpoint!r}")
    headers = {}
    if token := os.environ.get("SHMOOZE_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    path = f"{url.path or '/'}{f'?{url.query}' if url.query else ''}"
    port, tls = url.port or _PORTS[url.scheme], url.scheme == "https"
    client = Client(url.hostname, port, timeout=None, tls=tls)
    try:
        body = client.post(json.dumps(message).encode(), headers, path=path).body
    finally:
        client.close()
    return packet.assert_success(packet.decode(bytes(body)))
