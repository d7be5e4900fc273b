"""Signatures of calls, as the Standard Webhooks have them, so that receivers find a library.

    webhook-id: the same for each attempt of one call, so that a receiver can tell them
    webhook-timestamp: seconds since 1970
    webhook-signature: v1,BASE64

The signature is the HMAC-SHA256 of `{id}.{timestamp}.{body}` with the secret as its key.
"""

from __future__ import annotations

import base64
import hmac


def headers(id: str, timestamp: int, body: bytes, key: bytes | None) -> dict[str, str]:
    """The headers of one call. Without a key it is not signed."""
    named = {"webhook-id": id, "webhook-timestamp": str(timestamp)}
    if key is None:
        return named
    signed = f"{id}.{timestamp}.".encode() + body
    digest = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return {**named, "webhook-signature": f"v1,{digest}"}
