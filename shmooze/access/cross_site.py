"""What pages of other sites may do, as the headers of requests and answers tell browsers and us."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Headers = list[tuple[str, str]]

#: Lets a page of another site read an answer.
ALLOW_ORIGIN = "Access-Control-Allow-Origin"


def headers_for_all(origins: Iterable[str]) -> Headers:
    """The headers that browsers need with every answer, where these origins are allowed."""
    framed_by = " ".join(["'self'", *sorted(origins)])
    headers = [
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", f"frame-ancestors {framed_by}"),
    ]
    return [*headers, ("Vary", "Origin")] if origins else headers


def preflight(environ: dict[str, Any], is_for_module: bool) -> Headers:
    """The answer to an allowed page that asks what it may send: commands, to modules anything."""
    methods, headers = "GET, POST", "Content-Type, Authorization, Last-Event-ID"
    if is_for_module:
        methods = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD", methods)
        headers = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", headers)
    return [
        ("Access-Control-Allow-Methods", methods),
        ("Access-Control-Allow-Headers", headers),
        ("Access-Control-Max-Age", "600"),
    ]


def is_loaded_by_page(environ: dict[str, Any], may_be_framed: bool) -> bool:
    """Whether a page of another site makes a browser send this, and nobody has followed a link."""
    if environ.get("HTTP_SEC_FETCH_SITE") not in ("cross-site", "same-site"):
        return False
    target = environ.get("HTTP_SEC_FETCH_DEST")
    if target == "document":
        return environ.get("HTTP_SEC_FETCH_USER") != "?1"
    return not (target == "iframe" and may_be_framed)


def merge(headers: Headers, ours: Headers) -> Headers:
    """The headers of a module's answer and ours, which come first where both cannot be."""
    present = {name.lower(): value for name, value in ours}
    is_ours = ALLOW_ORIGIN.lower() in present
    kept = [
        (name, value)
        for name, value in headers
        if present.get(name.lower()) != value
        and not (is_ours and name.lower() == ALLOW_ORIGIN.lower())
    ]
    return [*kept, *ours]
