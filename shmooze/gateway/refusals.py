"""The refusals in an OpenAPI document: what every operation may respond instead of an answer."""

from __future__ import annotations

from typing import Any

_RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer"}}


def refusals(needs_token: bool) -> dict[str, dict[str, Any]]:
    """What every operation may respond, by status."""
    responses = {
        "403": _refusal(
            "The Host is not known, the Origin not allowed, or the token is for other services."
        ),
        "429": _refusal("A limit is reached.", **{"Retry-After": _RETRY_AFTER}),
        "4XX": _refusal("Nothing was executed, since the request is not as it must be."),
        "5XX": _refusal(
            "The service is not running, is busy, or did not answer in time. After 502 and 504 the"
            " command may have been executed.",
            **{"Retry-After": _RETRY_AFTER},
        ),
    }
    if needs_token:
        challenge = {"schema": {"type": "string"}}
        responses["401"] = _refusal(
            "A token is needed, or it is not valid.", **{"WWW-Authenticate": challenge}
        )
    return responses


def _refusal(description: str, **headers: Any) -> dict[str, Any]:
    failure = {"$ref": "#/components/schemas/Failure"}
    content = {"application/json": {"schema": failure}}
    more = {"headers": headers} if headers else {}
    return {"description": description, **more, "content": content}
