"""A service as shmz asks it: one request, one answer, each failure in one line."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, InvalidURL
from typing import Any
from urllib.parse import quote, urlsplit

from shmooze.runtime.connection_errors import words_of
from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.json_text import from_json


class Service:
    """A service at a URL. Proxy settings of the environment are ignored."""

    #: HTTP statuses that a gateway sends if the service itself gave no answer.
    no_answer = (502, 503, 504)

    def __init__(self, url: str, timeout: float, token: str | None = None) -> None:
        self.url = url
        self.timeout = timeout
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(self, commands: Any, body: bytes | None = None) -> Any:
        """Send a command, or a list of commands. Returns the answer packet, or a list of them.

        `body` is sent instead of an encoding of `commands`, if given. Raises Stop if a command, or
        a list as a whole, is refused. Failures within a list are left to the caller.
        """
        status, reply = self.post(json.dumps(commands).encode() if body is None else body)
        answer = self.parse(status, reply)
        if isinstance(commands, list):
            valid = isinstance(answer, list) and len(answer) == len(commands)
            valid = valid and all(map(is_packet, answer))
        else:
            valid = is_packet(answer)
        if not valid:
            raise self.unexpected(status, "a packet")
        return answer

    def post(self, body: bytes) -> tuple[int, bytes]:
        """POST JSON. Returns the status and body of the answer, whatever they are."""
        with self.request("POST", body, {"Content-Type": "application/json"}) as response:
            return response.status, response.read()

    def parse(self, status: int, reply: bytes) -> Any:
        """Parse an answer. Returns None if it is not JSON. Raises Stop if it is a refusal."""
        try:
            answer = from_json(reply)
        except ValueError:
            return None
        if is_packet(answer) and not answer["success"]:
            code = Status.NO_ANSWER if status in self.no_answer else Status.REFUSED
            hint = "; see SHMOOZE_TOKEN and --token-file" if status == 401 else ""
            if status == 404 and answer["error"].startswith("no service "):
                hint = "; -e NAME chooses one of them"
            raise Stop(code, answer["error"] + hint)
        return answer

    def unexpected(self, status: int, wanted: str) -> Stop:
        line = f"{self.url}: the answer is not {wanted} (HTTP status {status})"
        return Stop(Status.NO_ANSWER, line)

    @contextmanager
    def request(
        self, method: str, body: bytes | None, headers: dict[str, str]
    ) -> Iterator[HTTPResponse]:
        """Send a request and open its answer. Raises Stop if the connection fails."""
        parts = urlsplit(self.url)
        connection_type = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            target = quote(target, safe=string.punctuation)
            connection = connection_type(parts.hostname or "", parts.port, timeout=self.timeout)
            with closing(connection):
                connection.connect()
                # A server may refuse a large body before it has read all of it: read the reason.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, target, body, {**self.headers, **headers})
                with connection.getresponse() as response:
                    yield response
        except InvalidURL as error:
            raise Stop(Status.MISUSED, f"invalid URL {self.url!r}: {error}") from error
        except (OSError, HTTPException) as error:
            hint = "; is the application running, and is the URL right? See SHMZ_ENDPOINT and -e"
            hint = hint if isinstance(error, ConnectionRefusedError) else ""
            raise Stop(
                Status.NO_ANSWER, f"no answer from {self.url}: {words_of(error)}{hint}"
            ) from error
        except ValueError as error:  # a host or a path that cannot be encoded
            raise Stop(Status.MISUSED, f"invalid URL {self.url!r}: {error}") from error


def is_packet(answer: Any) -> bool:
    if not isinstance(answer, dict):
        return False
    success = answer.get("success")
    return success is True or (success is False and isinstance(answer.get("error"), str))
