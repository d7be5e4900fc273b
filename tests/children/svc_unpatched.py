"""A service whose author forgot to patch."""

from shmooze.lib.service import JSONCommandProcessor, Service


class Unpatched(JSONCommandProcessor, Service):
    port = 1


Unpatched().serve_forever()
