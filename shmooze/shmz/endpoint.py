"""Where commands are sent, and with which token: options and environment variables."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, urljoin, urlsplit

from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.usage import DEFAULT_ENDPOINT

#: What is the name of a service, and not a URL.
NAME_OF_SERVICE = re.compile(r"\w[\w.-]*")


def find_token(file: str | None) -> str | None:
    """Return the token from the options or the environment, if any."""
    token = os.environ.get("SHMOOZE_TOKEN")
    if file is not None:
        try:
            with open(file, encoding="utf-8-sig") as opened:
                token = opened.read()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Stop(Status.MISUSED, f"cannot read the token from {file!r}: {reason}") from error
    token = (token or "").strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise Stop(
            Status.MISUSED,
            "the token contains something other than letters, digits and punctuation",
        )
    return token or None


def find_url(endpoint: str | None, command: str, beside: str | None = None) -> str:
    """Return the URL to send `command` to, following the rules for ENDPOINT in HELP.

    `beside` is another ENDPOINT, relative to the first one.
    """
    url = DEFAULT_ENDPOINT
    for place in (os.environ.get("SHMZ_ENDPOINT") or None, endpoint, beside):
        if place is not None:
            url = urljoin(url, quote(place)) if NAME_OF_SERVICE.fullmatch(place) else place
            try:
                parts = urlsplit(url)
                good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            except ValueError:
                good = False
            if not good:
                line = (
                    f"{url!r} is neither a URL such as {DEFAULT_ENDPOINT} nor the name of a service"
                )
                raise Stop(Status.MISUSED, line)
    directory, _, service = url.rpartition("/")
    if endpoint is None and {service, command} == {"queue", "pool"}:
        return f"{directory}/{command}"
    return url
