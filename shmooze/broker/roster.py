"""The roster: all modules, their places and their states.

It is the only owner of that. Places and states change through `change`, the order also through
`reorder`. Both keep the indices and tell the listeners, to which everything else is attached: the
reconciler, the events. The order is sorted by the numbers of the line, see broker/line.py.

A module is known from its construction until it is gone. A module that is started again is
another one with the same uid, which takes the place of the first.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, KeysView, Sequence

from shmooze.broker.line import Line, number_of
from shmooze.modules.kind import LAZY
from shmooze.modules.lifecycle import ENDED, READY, State
from shmooze.modules.module import Module

log = logging.getLogger(__name__)


class Place(enum.Enum):
    """Where a module stands."""

    #: On standby; or it has lost its place, and is to end.
    NOWHERE = "nowhere"
    #: `add` waits until it has accepted `init`. It is listed behind all others.
    ARRIVING = "arriving"
    #: The same for `set_bg`. It is not listed.
    RESERVED = "reserved"
    #: One of the order.
    ORDER = "order"
    #: The one that plays while the order has nobody who can.
    BACKGROUND = "background"


class Change(enum.Flag):
    """What of a module has changed."""

    #: Where it stands, or the order of all.
    PLACE = enum.auto()
    STATE = enum.auto()
    PARAMETERS = enum.auto()
    #: How often it was started again, and when it is next.
    RESTARTS = enum.auto()
    #: What it has saved for its next life.
    SAVED = enum.auto()
    #: Whether its web server answers.
    WEB = enum.auto()
    #: Which commands it has.
    COMMANDS = enum.auto()
    #: When it may play, and before whom.
    TERMS = enum.auto()


#: Whatever may change.
ANY = ~Change(0)
#: What has changed, by whether a module was moved and whether its state is new. Looked up, since to
#: combine flags takes longer than the rest of a change.
_CHANGES = {
    (False, False): None,
    (True, False): Change.PLACE,
    (False, True): Change.STATE,
    (True, True): Change.PLACE | Change.STATE,
}

#: Is told the uid of a module and what of it has changed. It must neither wait nor change the
#: roster.
Listener = Callable[[str, Change], None]

#: Places that a module keeps until it loses them, whatever it is doing there.
_LASTING = (Place.ORDER, Place.BACKGROUND)
#: Places of which a module is listed by its uid.
_LISTED = (Place.ARRIVING, Place.ORDER, Place.BACKGROUND)


class Roster:
    """All modules of one queue or pool."""

    def __init__(self) -> None:
        #: Counts changes of places and states: while it stays, so does all that follows from them.
        self.version = 0
        self._listeners: list[tuple[Change, Listener]] = []
        #: Those who hear of a change, by its value: to compare flags takes longer than to look up.
        self._hearing: dict[int, list[Listener]] = {}
        self._order: list[Module] = []
        #: The numbers by which the order is sorted.
        self.line = Line(self._order)
        self._background: Module | None = None
        self._places: dict[Module, Place] = {}
        self._states: dict[Module, State] = {}
        # Indices, as dicts that keep the order of entry.
        self._in_state: dict[State, dict[Module, None]] = {state: {} for state in State}
        self._arriving: dict[Module, None] = {}
        self._ready: dict[Module, None] = {}
        self._held: dict[Module, None] = {}
        self._dismissed: dict[Module, None] = {}
        self._waiting: dict[bool, dict[Module, None]] = {False: {}, True: {}}
        self._by_uid: dict[str, Module] = {}
        #: Every module that is not gone, the older of two lives first.
        self.everyone = self._places.keys()
        #: Those of the order that answer commands and may play when it is their turn. Always the
        #: same view, so that it can be told from any other choice at no cost.
        self.ready = self._ready.keys()
        #: Those of the order and the background that are held, or blocked.
        self.held = self._held.keys()
        #: Those that answer commands, have lost their place, and have not begun to end.
        self.dismissed = self._dismissed.keys()

    # Looking.

    @property
    def order(self) -> Sequence[Module]:
        """The modules that have a place in the order, first to last."""
        return self._order

    @property
    def background(self) -> Module | None:
        """The background, if there is one."""
        return self._background

    @property
    def listed(self) -> list[Module]:
        """The order, then those that are arriving: what clients see as the queue or pool."""
        return [*self._order, *self._arriving]

    @property
    def returning(self) -> KeysView[Module]:
        """Those that wait for a process, and need not wait for their turn: most of them had one
        before the service was restarted.
        """
        return self._waiting[False].keys()

    @property
    def waiting_for_turn(self) -> KeysView[Module]:
        """Lazy ones that wait for a process until their turn comes near."""
        return self._waiting[True].keys()

    def in_state(self, state: State) -> KeysView[Module]:
        """All modules in a state, wherever they stand."""
        return self._in_state[state].keys()

    def find(self, uid: str) -> Module | None:
        """The module that is listed with this uid."""
        return self._by_uid.get(uid)

    def place_of(self, module: Module) -> Place:
        """Where a module stands; NOWHERE also for one that is gone."""
        return self._places.get(module, Place.NOWHERE)

    # Changing.

    def listen(self, listener: Listener, changes: Change = ANY) -> None:
        """Tell `listener` of each change from now on that is one of `changes`."""
        self._listeners.append((changes, listener))
        self._hearing.clear()

    def change(
        self, module: Module, place: Place | None = None, instead_of: Module | None = None
    ) -> None:
        """Take note of a module's present state and whether it is held or blocked, and give it a
        place if one is named.

        A new place in the order is that of its number, or the last one if it has none. With
        `instead_of` it is that of another module, which has no place afterwards. A module that is
        ending gets no new place, and one that is gone is forgotten.
        """
        if place is not None and module.state in ENDED:
            self.line.leave(module)
            if module not in self._places:
                return
            place = Place.NOWHERE
        is_moved = True
        if instead_of is not None:
            self._replace(instead_of, module)
        elif place is not None and place is not self.place_of(module):
            self._move(module, place)
        else:
            is_moved = False
        self._places.setdefault(module, Place.NOWHERE)
        was_held = module in self._held
        is_in_new_state = self._states.get(module) is not module.state
        self._index(module)
        is_in_new_state |= was_held is not (module in self._held)
        if (what := _CHANGES[is_moved, is_in_new_state]) is not None:
            self.version += 1
            self.tell(module, what)

    def forget(self, module: Module) -> None:
        """Drop a module that has never had a process."""
        self.change(module, Place.NOWHERE)
        self._drop(module)

    def reorder(self, uids: Iterable[str]) -> None:
        """Put items where the line has promised. Unknown ones are ignored."""
        self.line.fulfil(uids)
        before = list(self._order)
        self._order.sort(key=number_of)
        if before != self._order:
            self.version += 1
            self.tell(self._order[0], Change.PLACE)

    def tell(self, module: Module, what: Change) -> None:
        """Tell the listeners what of a module has changed, of which the roster keeps nothing."""
        hearing = self._hearing.get(what.value)
        if hearing is None:
            hearing = [listener for changes, listener in self._listeners if changes & what]
            self._hearing[what.value] = hearing
        for listener in hearing:
            try:
                listener(module.uid, what)
            except Exception:  # a bug of one must not keep the others from hearing
                log.exception("a listener failed at a change of %r", module)

    def _replace(self, old: Module, new: Module) -> None:
        place = self._places[old]
        if place is Place.ORDER:
            new.position = old.position
            self._order[self.line.index(old)] = new
        elif place is Place.ARRIVING:
            self.line.hand_on(old, new)
            self._arriving = {new if each is old else each: None for each in self._arriving}
        elif place is Place.BACKGROUND:
            self._background = new
        elif place is Place.NOWHERE:
            raise ValueError("a module without a place cannot be replaced")
        self._places[old], self._places[new] = Place.NOWHERE, place
        self._index(old)

    def _move(self, module: Module, place: Place) -> None:
        before = self._places.get(module)
        if before is Place.ORDER:
            del self._order[self.line.index(module)]
        elif before is Place.ARRIVING:
            del self._arriving[module]
        elif before is Place.BACKGROUND:
            self._background = None
        if place is Place.ORDER:
            self._order.insert(self.line.place(module), module)
        elif place is Place.ARRIVING:
            self._arriving[module] = None
        elif place is Place.BACKGROUND:
            if self._background is not None:
                raise ValueError("the old background has to leave first")
            self._background = module
        self._places[module] = place

    def _index(self, module: Module) -> None:
        """Bring a module's entries in all indices up to date."""
        state, place = module.state, self._places[module]
        before = self._states.get(module)
        if before is not state:
            if before is not None:
                del self._in_state[before][module]
            self._in_state[state][module] = None
            self._states[module] = state
        is_ready = state in READY
        is_held = not module.is_free
        _set(self._held, module, is_held and place in _LASTING)
        _set(self._ready, module, is_ready and place is Place.ORDER and not is_held)
        _set(self._dismissed, module, is_ready and place is Place.NOWHERE)
        is_waiting = state is State.WAITING and place in _LASTING and not is_held
        # The time of an item with a window is its turn.
        has_turn = module.has_begun or module.terms.window is not None
        is_for_turn = module.spawn == LAZY and not has_turn
        for turn, index in self._waiting.items():
            _set(index, module, is_waiting and turn is is_for_turn)
        if place in _LISTED:
            self._by_uid[module.uid] = module
        elif self._by_uid.get(module.uid) is module:
            del self._by_uid[module.uid]
        if state is State.GONE:
            self._drop(module)

    def _drop(self, module: Module) -> None:
        del self._places[module]
        del self._in_state[self._states.pop(module)][module]


def _set(index: dict[Module, None], module: Module, belongs: bool) -> None:
    if belongs:
        index[module] = None
    else:
        index.pop(module, None)
