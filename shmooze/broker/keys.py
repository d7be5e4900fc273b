"""Keys of commands: a command that is sent again with the same key is not carried out again."""

from __future__ import annotations

from collections.abc import Callable

from gevent.event import AsyncResult

from shmooze.broker.keeper import Keeper
from shmooze.broker.roster import Change, Place, Roster
from shmooze.errors import CommandError

#: Characters that a key may have.
MAX_KEY = 200


class Keys:
    """The keys of the items that live, and of the commands under way.

    `keeper` returns who knows those of items that have ended.
    """

    def __init__(self, roster: Roster, keeper: Callable[[], Keeper]) -> None:
        self._roster, self._keeper = roster, keeper
        #: The outcome of each command under way: the uid, or why there is none.
        self._pending: dict[str, AsyncResult[str]] = {}
        self._uids: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        roster.listen(self._on_change, Change.PLACE)

    def once(self, key: str | None, add: Callable[[], str]) -> str:
        """The uid that `add` returns, or has returned for the same key. Raises CommandError.

        Whoever comes while it is under way shares its outcome.
        """
        if key is None:
            return add()
        if not key or len(key) > MAX_KEY:
            raise CommandError(f"`key` must have 1 to {MAX_KEY} characters, not {len(key)}")
        while (pending := self._pending.get(key)) is not None:
            pending.wait()
            if pending.successful():
                return pending.get()
            if isinstance(refusal := pending.exception, CommandError):
                raise CommandError(str(refusal))
            # It was given up, as by a Timeout of its caller, so the next one tries.
        return self._first(key, add)

    def find(self, key: str) -> str | None:
        """The uid of the item with this key, if one is known."""
        return self._uids.get(key) or self._keeper().find_key(key)

    def _first(self, key: str, add: Callable[[], str]) -> str:
        self._pending[key] = pending = AsyncResult()
        try:
            uid = self.find(key)
            if uid is None:
                try:
                    uid = add()
                except BaseException:
                    self._keeper().forget_key(key)
                    raise
            pending.set(uid)
            return uid
        except BaseException as refusal:
            pending.set_exception(refusal)
            raise
        finally:
            del self._pending[key]

    def _on_change(self, uid: str, _what: Change) -> None:
        module = self._roster.find(uid)
        if module is None or self._roster.place_of(module) is Place.ARRIVING:
            if (key := self._keys.pop(uid, None)) is not None:
                self._uids.pop(key, None)
        elif (key := module.origin.key) is not None:
            self._keys[uid], self._uids[key] = key, uid
