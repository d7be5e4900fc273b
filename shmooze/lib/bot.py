"""One command to a service, under the name by which 1.2.4 offered it. See `json_query` as well."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from shmooze.lib import packet

DEFAULT_ENDPOINT = "http://localhost:8080/queue"


def request(message: Any, endpoint: str = DEFAULT_ENDPOINT) -> Any:
    """The result of a command. The variable SHMOOZE_TOKEN holds the token, if one is needed.

    Raises Failure with the service's words, OSError where nobody answers, PacketError for an
    answer that is no packet.
    """
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("SHMOOZE_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    try:
        with urlopen(Request(endpoint, json.dumps(message).encode(), headers)) as answer:
            body = answer.read()
    except HTTPError as refusal:
        with refusal:
            body = refusal.read()
    return packet.assert_success(packet.decode(body))
