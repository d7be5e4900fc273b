"""Types of modules in memory: sound ones, and some whose classes have faults of an application."""

from __future__ import annotations

from typing import Any

from fakes import Fake
from gevent.event import Event


class Plain(Fake):
    """Waits longer for an answer than its removal may take."""

    TYPE_STRING = "plain"
    command_timeout = 20.0


class Again(Fake):
    TYPE_STRING = "again"
    restart = "always"
    restart_limit = 3


class AfterFailure(Fake):
    TYPE_STRING = "after-failure"
    restart = "on-failure"


class Lazy(Fake):
    TYPE_STRING = "lazy"
    spawn = "lazy"


class Ahead(Fake):
    TYPE_STRING = "ahead"
    standby = 1


class Reused(Fake):
    TYPE_STRING = "reused"
    reuse = 3


class LazyReused(Reused):
    TYPE_STRING = "lazy-reused"
    spawn = "lazy"


class PlayFails(Fake):
    TYPE_STRING = "play-fails"

    def play(self) -> None:
        raise KeyError("a fault of the application")


class PlayDoesNothing(Fake):
    TYPE_STRING = "play-does-nothing"

    def play(self) -> None:
        pass


class PlayHangs(Fake):
    """In a place of its own, and not because of its child."""

    TYPE_STRING = "play-hangs"

    def play(self) -> None:
        super().play()
        Event().wait()


class SuspendFails(Fake):
    TYPE_STRING = "suspend-fails"

    def suspend(self) -> None:
        raise KeyError("a fault of the application")


class RemoveFails(Fake):
    TYPE_STRING = "remove-fails"

    def remove(self) -> None:
        raise KeyError("a fault of the application")


class RemoveDoesNothing(Fake):
    TYPE_STRING = "remove-does-nothing"

    def remove(self) -> None:
        pass


class RemoveHangs(Fake):
    """In a place of its own, and so takes longer to end."""

    TYPE_STRING = "remove-hangs"

    def remove(self) -> None:
        Event().wait()


class StartTells(Fake):
    """Gives its child a command of its own before it has its place."""

    TYPE_STRING = "start-tells"
    restart = "always"

    def start(self, args: dict[str, Any]) -> None:
        super().start(args)
        self.tell("begin", {})


class StartFails(Fake):
    TYPE_STRING = "start-fails"
    restart = "always"

    def start(self, args: dict[str, Any]) -> None:
        if self.restarts.count:
            raise KeyError("a fault of the application")
        super().start(args)


SOUND = [Plain, Again, AfterFailure, Lazy, Ahead, Reused, LazyReused]
FAULTY = [
    PlayFails,
    PlayDoesNothing,
    PlayHangs,
    SuspendFails,
    RemoveFails,
    RemoveHangs,
    StartTells,
    RemoveDoesNothing,
    StartFails,
]
KINDS = [*SOUND, *FAULTY]
