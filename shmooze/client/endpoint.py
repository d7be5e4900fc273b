"""Where one service is: behind the gateway, or at the client's URL itself. Packets go there."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from http.client import HTTPException
from typing import Any
from urllib.parse import quote

from shmooze.client.connections import Connections, Reply, Stream
from shmooze.client.errors import CommandRefused, InvalidArgument, Unreachable
from shmooze.errors import PacketError, ServiceTimeout
from shmooze.runtime.printable import printable

EVENT_STREAM = "text/event-stream"


class Endpoint:
    """The service `name`. It is looked for behind the gateway first."""

    def __init__(self, connections: Connections, name: str) -> None:
        self.connections, self.name = connections, name
        self._path = connections.path.rstrip("/") + "/" + quote(name, safe="")

    @property
    def url(self) -> str:
        return self.connections.url_of(self._path)

    def ask(self, packet: dict[str, Any]) -> Any:
        """The result of one command. Raises CommandRefused, Unreachable or ServiceTimeout."""
        answer = self._post(packet)
        if isinstance(answer, list):
            raise self._unexpected(200, "a packet")
        if not answer["success"]:
            raise CommandRefused(printable(answer["error"]))
        return answer.get("result")

    def ask_all(self, packets: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answer packets to a list of commands, which are executed in this order."""
        answers = self._post(packets)
        if not isinstance(answers, list) or len(answers) != len(packets):
            raise self._unexpected(200, "a list of packets")
        return answers

    def open_events(self, last_id: str | None, timeout: float) -> Stream:
        """A stream of events, which are those after `last_id` if that is known."""
        headers = {"Accept": EVENT_STREAM}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        stream = self._open(headers, timeout)
        response = stream.response
        if response.status == 200 and response.headers.get_content_type() == EVENT_STREAM:
            return stream
        answer: Any = None
        with closing(stream), suppress(OSError, HTTPException):
            answer = _decode(response.read() if response.status != 200 else b"")
        if response.status == 404 and self._is_at_url():
            return self.open_events(last_id, timeout)
        if response.status == 200 or not _is_packet(answer):
            raise self._unexpected(response.status, "a stream of events")
        raise self._refusal(Reply(response.status, response.headers, b""), answer)

    def own_name(self) -> str | None:
        """The name of the service at the client's URL itself; None: there is none."""
        reply = self.connections.post(self.connections.path, _encode({"cmd": "describe"}))
        answer = _decode(reply.body)
        if reply.status != 200 or not _is_packet(answer):
            return None
        described = answer.get("result")
        name = described.get("name") if isinstance(described, dict) else None
        return name if isinstance(name, str) else self.name

    def _is_at_url(self) -> bool:
        """Whether this service is at the client's URL; from then on it is used there."""
        path = self.connections.path
        if self._path == path or (found := self.own_name()) is None:
            return False
        if found != self.name:
            raise CommandRefused(f"{self.connections.url} is {found!r} and not {self.name!r}", 404)
        self._path = path
        return True

    def _open(self, headers: dict[str, str], timeout: float) -> Stream:
        return self.connections.open(self._path.rstrip("/") + "/events", headers, timeout)

    def _post(self, commands: Any) -> Any:
        """The answer to a command or a list of them; every part is a packet."""
        body = _encode(commands)
        reply = self.connections.post(self._path, body)
        if reply.status == 404 and self._is_at_url():
            reply = self.connections.post(self._path, body)
        answer = _decode(reply.body)
        packets = answer if isinstance(answer, list) else [answer]
        if not all(map(_is_packet, packets)):
            raise self._unexpected(reply.status, "a packet")
        if reply.status != 200:
            raise self._refusal(reply, packets[0] if packets else {})
        return answer

    def _refusal(self, reply: Reply, answer: dict[str, Any]) -> Exception:
        """What to raise for a status that is not 200."""
        words = printable(answer.get("error", f"HTTP status {reply.status}"))
        if reply.status in (502, 503):
            return Unreachable(f"{self.url}: {words}", may_have_run=reply.status == 502)
        if reply.status == 504:
            return ServiceTimeout(f"{self.url}: {words}")
        if reply.status == 401:
            words += "; see SHMOOZE_TOKEN and `token`"
        after = reply.headers.get("Retry-After", "")
        return CommandRefused(words, reply.status, float(after) if after.isdigit() else None)

    def _unexpected(self, status: int, wanted: str) -> Exception:
        line = f"{self.url}: the answer is not {wanted} (HTTP status {status})"
        if status in (502, 503, 504):  # a proxy has answered
            return Unreachable(line, may_have_run=True)
        return PacketError(line)


def _encode(packet: Any) -> bytes:
    try:
        return json.dumps(packet, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as bad:
        raise InvalidArgument(f"the arguments cannot be sent as JSON: {bad}") from bad


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _is_packet(answer: Any) -> bool:
    if not isinstance(answer, dict):
        return False
    success = answer.get("success")
    return success is True or (success is False and isinstance(answer.get("error"), str))
