"""The states of a module, and the transitions between them.

       held
         |
    waiting ----+                +--> standby
                |                |      |
                +--> starting ---+<-----+
                |       |        |
    backoff ----+       |        +--> suspended <--> playing
       |                |                 |             |
       +----------------+-----------------+-------------+--> ending --> gone

- *waiting*: it has a place and no process yet. Most modules begin with *starting*.
- *held*: it has a place, and gets no process until it is released.
- *backoff*: the module before it in its place has ended; it is started after a delay, or held.
- *starting*: launched, but not connected yet or not through `init` yet.
- *standby*: connected, and waiting for an `add` to give it `init`.
- *suspended*, *playing*: it answers commands; the broker decides which of the two it is.
- *ending*: it has no place any more, and its process tree is being ended.
- *gone*: all of its processes are dead and reaped, or left to the system that holds them.
"""

from __future__ import annotations

import enum


class State(str, enum.Enum):
    """What a module is doing."""

    WAITING = "waiting"
    HELD = "held"
    BACKOFF = "backoff"
    STARTING = "starting"
    STANDBY = "standby"
    SUSPENDED = "suspended"
    PLAYING = "playing"
    ENDING = "ending"
    GONE = "gone"

    @property
    def shown(self) -> str:
        """The state as clients see it."""
        return (State.STARTING if self in (State.BACKOFF, State.STANDBY) else self).value

    @property
    def explained(self) -> str:
        """The same, with what a client should know who wants to tell the module something."""
        return self.shown + _HINTS.get(self, "")


_HINTS = {
    State.WAITING: ": its process is started when its turn comes near",
    State.HELD: ": it has no process until it is released",
}

TRANSITIONS: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.STARTING, State.HELD, State.ENDING}),
    State.HELD: frozenset({State.WAITING, State.ENDING}),
    State.BACKOFF: frozenset({State.STARTING, State.WAITING, State.HELD, State.ENDING}),
    State.STARTING: frozenset({State.STANDBY, State.SUSPENDED, State.ENDING}),
    State.STANDBY: frozenset({State.STARTING, State.ENDING}),
    State.SUSPENDED: frozenset({State.PLAYING, State.ENDING}),
    State.PLAYING: frozenset({State.SUSPENDED, State.ENDING}),
    State.ENDING: frozenset({State.GONE}),
    State.GONE: frozenset(),
}

#: The states in which a module answers commands.
READY = frozenset({State.SUSPENDED, State.PLAYING})
#: The states before that.
UNSTARTED = frozenset({State.WAITING, State.HELD, State.BACKOFF, State.STARTING, State.STANDBY})
#: Those in which there is no process, and none is being started.
WITHOUT_PROCESS = frozenset({State.WAITING, State.HELD})
#: The states after that.
ENDED = frozenset({State.ENDING, State.GONE})


class IllegalTransition(Exception):
    """Our own bug: a step was tried that the table does not have."""


def step(current: State, target: State) -> State:
    """`target`, if the table allows it from `current`; otherwise IllegalTransition."""
    if target not in TRANSITIONS[current]:
        raise IllegalTransition(f"a module that is {current.value} cannot become {target.value}")
    return target
