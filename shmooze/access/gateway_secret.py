"""The secret by which services on other machines recognise their gateway."""

from __future__ import annotations

import hmac
import logging
from typing import Any

from shmooze.access.denied import AccessDenied
from shmooze.web.route import SECRET_HEADER

log = logging.getLogger(__name__)

#: Where a server puts the header.
_KEY = f"HTTP_{SECRET_HEADER.upper().replace('-', '_')}"


def is_gateway(environ: dict[str, Any], secret: str | None, has_tokens: bool) -> bool:
    """Whether a request shows the secret of this service; None: it has none.

    Raises AccessDenied for another secret; and for none if it is needed, since the service has no
    tokens either.
    """
    shown: str | None = environ.pop(_KEY, None)
    if secret is None or (shown is None and has_tokens):
        return False
    if shown is not None and hmac.compare_digest(shown.encode("latin-1"), secret.encode()):
        return True
    if shown is not None:
        log.warning("the secret of the gateway is not ours: see `service_secret_path`")
    message = "only the gateway may use this service; see `service_secret_path`"
    raise AccessDenied("403 Forbidden", message)
