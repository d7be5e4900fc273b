"""A client of MCP over streamable HTTP for tests: plain requests, and streams of events."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from support import PATIENCE, Reply, http

ACCEPT = "application/json, text/event-stream"


class Events:
    """An event stream that is being read."""

    def __init__(self, answer: HTTPResponse) -> None:
        self._answer = answer
        self.last_id: str | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        """The next message."""
        while line := self._answer.readline():
            key, _, value = line.decode().rstrip("\n").partition(": ")
            if key == "id":
                self.last_id = value
            if key == "data" and value:
                return json.loads(value)  # type: ignore[no-any-return]
        raise StopIteration


class McpClient:
    """One client, which has a session once it has called `initialize`."""

    def __init__(self, url: str, version: str = "2025-11-25") -> None:
        self.url, self.version = url, version
        self.session: str | None = None
        self._ids = itertools.count(1)

    def initialize(self) -> dict[str, Any]:
        params = {
            "protocolVersion": self.version,
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        }
        answer = self.post(self.request("initialize", params))
        assert answer.status == 200, answer.body
        self.session = answer.headers["Mcp-Session-Id"]
        self.version = answer.json["result"]["protocolVersion"]
        assert self.notify("notifications/initialized").status == 202
        return answer.json["result"]  # type: ignore[no-any-return]

    def request(self, method: str, params: Any = None, id: Any = None) -> dict[str, Any]:
        """A request as a message."""
        given = {} if params is None else {"params": params}
        return {
            "jsonrpc": "2.0",
            "id": next(self._ids) if id is None else id,
            "method": method,
            **given,
        }

    def headers(self, **more: str) -> dict[str, str]:
        own = {"Accept": ACCEPT, "Content-Type": "application/json"}
        if self.session is not None:
            own |= {"Mcp-Session-Id": self.session, "MCP-Protocol-Version": self.version}
        return {**own, **{name.replace("_", "-"): value for name, value in more.items()}}

    def post(self, message: Any, **headers: str) -> Reply:
        return http(self.url, message, headers=self.headers(**headers))

    def notify(self, method: str, params: Any = None) -> Reply:
        given = {} if params is None else {"params": params}
        return self.post({"jsonrpc": "2.0", "method": method, **given})

    def ask(self, method: str, params: Any = None) -> Any:
        """The result of a request. Fails the test if it is an error."""
        answer = self.post(self.request(method, params))
        assert answer.status == 200, answer.body
        assert answer.headers["Content-Type"] == "application/json"
        return answer.json["result"]

    def call(self, tool: str, **arguments: Any) -> Any:
        """The structured content of what a tool answers, or its text."""
        result = self.ask("tools/call", {"name": tool, "arguments": arguments})
        return result.get("structuredContent") or result["content"][0]["text"]

    @contextmanager
    def stream(self, message: Any = None, **headers: str) -> Iterator[Events]:
        """The events that answer a message; None: those that concern no request."""
        at = urlsplit(self.url)
        connection = HTTPConnection(at.hostname or "", at.port or 0, timeout=PATIENCE)
        body = None if message is None else json.dumps(message)
        try:
            connection.request(
                "GET" if body is None else "POST", at.path, body, self.headers(**headers)
            )
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            assert answer.headers["Content-Type"] == "text/event-stream", answer.read()
            yield Events(answer)
        finally:
            connection.close()
