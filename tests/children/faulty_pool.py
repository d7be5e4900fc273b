"""A pool or queue, as the argument says, of module classes with faults of the application.

What each class does wrong is its type's name. With the argument `standby` it is a pool with one on
standby. The command `tell_impatiently` is one that `give_up` interrupts.
"""

from gevent import monkey

monkey.patch_all()

import sys
from functools import partialmethod
from pathlib import Path

import gevent

from shmooze.modules import Module
from shmooze.pool import Pool
from shmooze.queue import Queue


class Plain(Module):
    TYPE_STRING = "plain"
    process = [sys.executable, str(Path(__file__).parent / "moody.py")]
    natural_death_timeout = 0.5
    sigterm_timeout = 0.5


class PlayFails(Plain):
    TYPE_STRING = "play-fails"

    def play(self):
        super().play()
        raise KeyError("a fault in the application")


class PlayFailsFirst(Plain):
    """Before anything was sent, so that its state has not changed."""

    TYPE_STRING = "play-fails-first"

    def play(self):
        raise KeyError("a fault in the application")


class PlayHasNoName(Plain):
    """A callable that is no function, and fails."""

    TYPE_STRING = "play-has-no-name"
    play = partialmethod(int, "x")


class PlayTimesOut(Plain):
    TYPE_STRING = "play-times-out"

    def play(self):
        raise gevent.Timeout(1)


class PlayExits(Plain):
    TYPE_STRING = "play-exits"

    def play(self):
        raise gevent.GreenletExit


class PlayDoesNothing(Plain):
    TYPE_STRING = "play-does-nothing"

    def play(self):
        pass


class SuspendFails(Plain):
    TYPE_STRING = "suspend-fails"

    def suspend(self):
        raise KeyError("a fault in the application")


class RemoveFails(Plain):
    TYPE_STRING = "remove-fails"

    def remove(self):
        raise KeyError("a fault in the application")


class RemoveDoesNothing(Plain):
    TYPE_STRING = "remove-does-nothing"

    def remove(self):
        pass


class StartFails(Plain):
    TYPE_STRING = "start-fails"

    def start(self, args):
        self.prepare()
        raise KeyError("a fault in the application")


class StartFailsLazily(StartFails):
    TYPE_STRING = "start-fails-lazily"
    spawn = "lazy"


class RestartFails(Plain):
    """Starts once; when it is started again, that fails."""

    TYPE_STRING = "restart-fails"
    restart = "always"
    restart_delay = 0.05
    restart_limit = 2

    def start(self, args):
        if self.restarts.count:
            raise KeyError("a fault in the application")
        super().start(args)


class SuccessorFails(Plain):
    TYPE_STRING = "successor-fails"
    restart = "always"

    def successor(self):
        raise KeyError("a fault in the application")


class PrepareFails(Plain):
    """The first time, when it is to be on standby."""

    TYPE_STRING = "prepare-fails"
    standby = 1
    failures = 0

    def prepare(self):
        super().prepare()
        if not PrepareFails.failures:
            PrepareFails.failures += 1
            raise KeyError("a fault in the application")


class PlayHangs(Plain):
    """In a place of its own, and not because of its child."""

    TYPE_STRING = "play-hangs"

    def play(self):
        super().play()
        self.parameters["hangs"] = True
        gevent.sleep(1000)


TYPES = [
    *(
        Plain,
        PlayFails,
        PlayFailsFirst,
        PlayHasNoName,
        PlayTimesOut,
        PlayExits,
        PlayDoesNothing,
        PlayHangs,
    ),
    *(SuspendFails, RemoveFails, RemoveDoesNothing),
    *(StartFails, StartFailsLazily, RestartFails, SuccessorFails),
]


class Impatient:
    """Its clients can be given up while they are told something."""

    def tell_impatiently(self, uid: str, cmd: str) -> str:
        self.teller, self.limit = gevent.getcurrent(), gevent.Timeout(1000, False)
        with self.limit:
            return self.tell_module(uid, cmd)
        return "gave up"

    def give_up(self) -> None:
        self.teller.kill(self.limit, block=False)

    own = {"tell_impatiently": tell_impatiently, "give_up": give_up}


class FaultyPool(Impatient, Pool):
    commands = {**Pool.commands, **Impatient.own}


class FaultyQueue(Impatient, Queue):
    commands = {**Queue.commands, **Impatient.own}


if __name__ == "__main__":
    if sys.argv[1] == "standby":
        FaultyPool([PrepareFails]).serve_forever()
    elif sys.argv[1] == "pool":
        FaultyPool(TYPES).serve_forever()
    else:
        FaultyQueue(TYPES, backgrounds=[Plain]).serve_forever()
