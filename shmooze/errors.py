"""The exceptions of shmooze.

The class says whose mistake it was. `str()` of each is one line that a person can act on and that
may be shown to a client. Any other exception that escapes is a bug in shmooze.
"""


class ShmoozeError(Exception):
    """Base class of all errors that shmooze raises on purpose."""


class SettingsError(ShmoozeError):
    """The settings cannot be used; the message names the file and the key."""


class CommandError(ShmoozeError):
    """The caller asked for something that cannot be done."""


class TooMany(CommandError):
    """The caller has reached a limit, and may try again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StateError(CommandError):
    """What a command asks for cannot be kept in the state file, so it was not done."""


class ModuleError(ShmoozeError):
    """A child process has broken the protocol, or is gone."""


class PacketError(ShmoozeError):
    """Bytes or a value that are not a packet."""


class Failure(ShmoozeError):
    """The other side answered with a failure packet; the message is its own."""


class ServiceUnreachable(ShmoozeError, ConnectionError):
    """A service cannot be reached, or the connection broke."""


class ServiceTimeout(ShmoozeError, TimeoutError):
    """A service took the request and did not answer in time."""
