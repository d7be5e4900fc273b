"""What the Bottle applications of gateway and services share: JSON in, failure packets out."""

from __future__ import annotations

import logging

from bottle import HTTPError, HTTPResponse, request, response

from shmooze.lib import packet

log = logging.getLogger(__name__)

#: Headers of every refusal. It must not be cached: what is missing now may exist in a moment.
REFUSAL_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}

JSON_TYPES = ("application/json", "text/json")


class Refused(HTTPResponse):
    """An HTTP status with a failure packet as its body. Raise it from a route."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        body = packet.encode(packet.error(message))
        super().__init__(body, status, {**REFUSAL_HEADERS, **headers})


def json_body(limit: int) -> bytes:
    """The body of the current POST, which must be declared as JSON; it is not decoded.

    `limit` is in bytes. Raises Refused: 415 for another content type, 413 for a larger body.
    """
    declared = request.content_type.partition(";")[0].strip().lower()
    if declared not in JSON_TYPES:
        found = f"not {declared}" if declared else "but it is missing"
        raise Refused(415, f"Content-Type must be application/json, {found}")
    length = request.content_length
    if length <= limit:
        if length < 0:
            # No length: there is no body, or another server has joined its chunks and says so.
            # Otherwise nothing may be read past the length, since some servers would block.
            length = limit + 1 if request.environ.get("wsgi.input_terminated") else 0
        try:
            body: bytes = request.environ["wsgi.input"].read(length)
        except OSError as bad:
            raise Refused(400, f"the body cannot be read: {bad}", Connection="close") from bad
        if len(body) <= limit:
            return body
    raise Refused(413, f"the body is larger than {limit} bytes", Connection="close")


def answer_error(who: str, error: HTTPError) -> bytes:
    """A failure packet in place of Bottle's error page. `who` names the program with the log."""
    if error.status_code >= 500:
        log.error(
            "%s %s: %s\n%s",
            request.method,
            request.path,
            error.exception,
            error.traceback,
        )
    for name, value in REFUSAL_HEADERS.items():
        response.set_header(name, value)
    method = request.method
    words = {
        404: f"there is nothing at {request.path}",
        405: f"{method} is not allowed here; send commands by POST"
        if method != "POST"
        else f"there is no service at {request.path}",
        500: f"internal error; the log of {who} has details",
    }
    return packet.encode(packet.error(words.get(error.status_code, str(error.body))))
