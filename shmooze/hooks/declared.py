"""Every key of a hook: kind, default and meaning."""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from shmooze.broker.declared import Argv
from shmooze.errors import SettingsError
from shmooze.runtime import schema
from shmooze.runtime.declared import Seconds
from shmooze.settings import Settings

Event = Literal["done", "failed", "given_up", "removed", "lost", "idle"]
Events = Annotated[
    list[Event],
    Meta(
        description='a list of "done", "failed", "given_up", "removed", "lost", "idle"',
        min_length=1,
    ),
]


def _problem_of_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        is_known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_known = False
    return None if is_known and url.isascii() and url.isprintable() else "is not a URL of HTTP"


Url = Annotated[str, Meta(description="a URL of HTTP", extra={"problem": _problem_of_url})]


class Hook(Struct, frozen=True, forbid_unknown_fields=True):
    """One of the list `hooks` at the top of the file."""

    on: Annotated[Events, "The events that trigger the hook."]
    url: Annotated[
        Url | None,
        "The URL to which events are sent by POST, as JSON. A hook has either this or `program`.",
    ] = None
    secret: Annotated[
        str | None,
        "The secret that signs calls. `$NAME` is taken from the environment. If it is not set,"
        " calls are not signed.",
    ] = None
    program: Annotated[
        Argv | None,
        "A program that is run, with its arguments, and gets the same JSON on standard input.",
    ] = None
    services: Annotated[
        list[str] | None, "The queues and pools whose events it gets. If it is not set, all."
    ] = None
    timeout: Annotated[Seconds, "Seconds that a call or a run may take."] = 10.0

    @property
    def name(self) -> str:
        """What tells it from others, also after a change of other hooks."""
        return self.url or " ".join(self.program or ())

    @property
    def key(self) -> bytes | None:
        """What calls are signed with, in bytes; None: they are not."""
        if self.secret is None:
            return None
        secret = os.path.expandvars(self.secret)
        if secret.startswith("whsec_"):
            return base64.b64decode(secret.removeprefix("whsec_"))
        return secret.encode()


def hooks_of(source: Settings, service: str) -> list[Hook]:
    """The hooks of a queue or pool. Raises SettingsError."""
    given = source.get("hooks")
    if not isinstance(given, list):
        raise source.error("hooks", "must be a list of objects")
    hooks = []
    for number, each in enumerate(given):
        where = f"hooks.{number}"
        if not isinstance(each, dict):
            raise source.error(where, "must be an object")
        hook = schema.read(Hook, schema.check(Hook, each, source.error, where), source.error)
        _check(hook, where, source)
        if hook.services is None or service in hook.services:
            hooks.append(hook)
    return hooks


def _check(hook: Hook, where: str, source: Settings) -> None:
    """Raise SettingsError for what no type can say."""
    if (hook.url is None) == (hook.program is None):
        raise source.error(where, "needs either `url` or `program`")
    if hook.secret is not None and hook.url is None:
        raise source.error(f"{where}.secret", "is for a `url`: programs are not signed for")
    for service in hook.services or ():
        if service not in source.services:
            hint = schema.did_you_mean(service, source.services)
            raise source.error(f"{where}.services", f"has {service!r}, which `ports` lacks;{hint}")
    problem = _problem_of_secret(hook)
    if problem is not None:
        raise source.error(f"{where}.secret", problem)


def _problem_of_secret(hook: Hook) -> str | None:
    for name in re.findall(r"\$\{?(\w+)", hook.secret or ""):
        if name not in os.environ:
            return f"names ${name}, which is not in the environment"
    try:
        return None if hook.key is None or hook.key else "is empty"
    except (ValueError, binascii.Error):
        return "must be BASE64 after `whsec_`"


__all__ = ["Hook", "SettingsError", "hooks_of"]
