"""A client for one command, kept for programs written for 1.2.4. See also `json_query`."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from shmooze.lib import packet

DEFAULT_ENDPOINT = "http://localhost:8080/queue"


def request(message: Any, endpoint: str = DEFAULT_ENDPOINT) -> Any:
    """The result of a command. The environment variable SHMOOZE_TOKEN may hold a token.

    Raises Failure with the service's message, OSError if the service cannot be reached,
    PacketError for an answer that is not a packet.
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
