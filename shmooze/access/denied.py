"""A request that is denied, with the answer that it gets."""

from __future__ import annotations


class AccessDenied(Exception):
    """A request that is not let in."""

    def __init__(self, status: str, message: str, *headers: tuple[str, str]) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers
