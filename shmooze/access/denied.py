"""Requests that the access gate denies, and the answers to them."""

from __future__ import annotations

_BEARER = ("WWW-Authenticate", 'Bearer realm="shmooze"')


class AccessDenied(Exception):
    """A request that is not let in."""

    def __init__(self, status: str, message: str, *headers: tuple[str, str]) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


class WrongToken(AccessDenied):
    """A request whose token is not valid."""

    def __init__(self, message: str) -> None:
        super().__init__("401 Unauthorized", message, _BEARER)


class NoToken(WrongToken):
    """A request without a token, where one is needed."""

    def __init__(self) -> None:
        super().__init__("a token is needed: `Authorization: Bearer TOKEN`")
