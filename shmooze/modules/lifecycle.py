"""The states of a module, and the only ways from one to another.

    waiting --> starting --> suspended <--> playing
       |           |            |             |
       +-----------+------------+-------------+--> ending --> gone

- *waiting*: it has a place, and no process yet; most modules begin with *starting*.
- *starting*: launched, not yet connected or not yet through `init`.
- *suspended*, *playing*: it may be told things; which of the two is the broker's decision.
- *ending*: it holds no place and no stage any more; its process tree is being ended.
- *gone*: every process of it is dead and reaped, or left to the system that holds it.
"""

from __future__ import annotations

import enum


class State(str, enum.Enum):
    """Where a module stands; the value is what clients see."""

    WAITING = "waiting"
    STARTING = "starting"
    SUSPENDED = "suspended"
    PLAYING = "playing"
    ENDING = "ending"
    GONE = "gone"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.STARTING, State.ENDING}),
    State.STARTING: frozenset({State.SUSPENDED, State.ENDING}),
    State.SUSPENDED: frozenset({State.PLAYING, State.ENDING}),
    State.PLAYING: frozenset({State.SUSPENDED, State.ENDING}),
    State.ENDING: frozenset({State.GONE}),
    State.GONE: frozenset(),
}

#: The states in which a module has a place and answers commands.
READY = frozenset({State.SUSPENDED, State.PLAYING})


class IllegalTransition(Exception):
    """Our own bug: somebody asked for a step that the table does not have."""


def step(current: State, target: State) -> State:
    """`target`, if the table allows it from `current`; otherwise IllegalTransition."""
    if target not in TRANSITIONS[current]:
        raise IllegalTransition(f"a module that is {current.value} cannot become {target.value}")
    return target
