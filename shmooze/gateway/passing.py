"""Passing requests of clients on to services, and their answers back."""

from __future__ import annotations

from collections.abc import Iterator

from bottle import request, response

from shmooze.access.gate import CLIENT, TOKEN
from shmooze.web.backend import Answer


def forwarded_headers() -> dict[str, str]:
    """Headers that tell a service the address and token of the current client."""
    headers = {"X-Forwarded-For": request.environ[CLIENT]}
    for name in ("traceparent", "tracestate"):  # which trace the request belongs to
        if (value := request.get_header(name)) is not None:
            headers[name] = value
    if (token := request.environ.get(TOKEN)) is not None:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def pass_back(answer: Answer) -> bytes | Iterator[bytes]:
    """Let this be the answer to the current request."""
    response.status = answer.status
    response.content_type = answer.content_type
    if answer.retry_after is not None:
        response.set_header("Retry-After", answer.retry_after)
    return answer.body
