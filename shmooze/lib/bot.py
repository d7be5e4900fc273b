"""A client for one command, kept for programs written for 1.2.4. See also `json_query`."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote, urlsplit

from shmooze.lib import packet
from shmooze.web.client import Client, bearer

DEFAULT_ENDPOINT = "http://localhost:8080/queue"

_PORTS = {"http": 80, "https": 443}
#: What a path with a query may have besides letters and digits; all else is quoted.
_IN_URL = "/?%:@!$&'()*+,;=[]"


def request(message: Any, endpoint: str = DEFAULT_ENDPOINT) -> Any:
    """The result of a command. The environment variable SHMOOZE_TOKEN may hold a token.

    Raises Failure with the service's message, OSError if the service cannot be reached,
    PacketError for an answer that is not a packet, ValueError for an endpoint that is not a URL of
    HTTP or a malformed token.
    """
    url = urlsplit(endpoint)
    if url.scheme not in _PORTS or not url.hostname:
        raise ValueError(f"the endpoint must be a URL of http or https, not {endpoint!r}")
    path = quote(f"{url.path or '/'}{f'?{url.query}' if url.query else ''}", _IN_URL)
    headers = bearer(os.environ.get("SHMOOZE_TOKEN"))
    port, tls = url.port or _PORTS[url.scheme], None
    if url.scheme == "https":
        import ssl  # nearly nobody needs it, and it takes a while to load

        tls = ssl.create_default_context()
    client = Client(url.hostname, port, timeout=None, tls=tls)
    body = client.post(json.dumps(message).encode(), headers, path=path).body
    return packet.assert_success(packet.decode(bytes(body)))
