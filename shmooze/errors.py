"""The exceptions of shmooze.

Whoever raises one of them says whose fault it was; `str()` of each is one line that a person
can act on and that may be shown to a client. Anything else that escapes is a bug of ours.
"""


class ShmoozeError(Exception):
    """Root of all errors that shmooze raises on purpose."""


class SettingsError(ShmoozeError):
    """The settings cannot be used; the message names the file and the key."""


class CommandError(ShmoozeError):
    """The caller asked for something that cannot be done."""


class TooMany(CommandError):
    """The caller asks for too much, or too often; after `retry_after` seconds it may do."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ModuleError(ShmoozeError):
    """A child process did not keep the protocol, or is gone."""


class PacketError(ShmoozeError):
    """Bytes or values that are no packet."""


class Failure(ShmoozeError):
    """The other side answered with a failure packet; the message is its own."""


class ServiceUnreachable(ShmoozeError, ConnectionError):
    """Nobody answers at a service's address, or the connection broke."""


class ServiceTimeout(ShmoozeError, TimeoutError):
    """A service took the request and did not answer in time."""
