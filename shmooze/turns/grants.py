"""What a pool has for its modules: checked, and granted to each that needs some of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from shmooze.errors import SettingsError
from shmooze.modules.grant import Grant, variable_of
from shmooze.modules.kind import Kind
from shmooze.turns.ledger import needs_of

#: Up to so many of a resource are handed out by number, if types need whole numbers of it.
MAX_NUMBERED = 64
#: Variables of the environment that have a meaning already.
_TAKEN_VARIABLES = ("SHMOOZE_SETTINGS", "SHMOOZE_TOKEN", "SHMOOZE_CHECK")


class Resources:
    """What there is, by name. Raises SettingsError if a type needs what there is not."""

    def __init__(self, kinds: Iterable[type[Kind]], has: Mapping[str, float]) -> None:
        kinds = list(kinds)
        self.has = dict(has)
        for kind in kinds:
            _check(kind, self.has)
        _check_variables(self.has)
        #: Those that are handed out by number.
        self._numbered = {
            name: int(amount)
            for name, amount in self.has.items()
            if _is_whole(amount)
            and amount <= MAX_NUMBERED
            and all(_is_whole(needs_of(kind).get(name, 0)) for kind in kinds)
        }

    def grant(self, kind: type[Kind], taken: Iterable[Grant]) -> Grant:
        """What a process of a type gets, beside those that have `taken` something."""
        taken, needs = list(taken), dict(needs_of(kind))
        numbers = {}
        for name in needs.keys() & self._numbered.keys():
            used = {number for grant in taken for number in grant.numbers.get(name, ())}
            free = [number for number in range(self._numbered[name]) if number not in used]
            numbers[name] = tuple(free[: int(needs[name])])
        return Grant(needs, numbers)


def _check(kind: type[Kind], has: Mapping[str, float]) -> None:
    def wrong(key: str, problem: str) -> SettingsError:
        if kind.place_in_settings:
            return _error(f"{kind.place_in_settings}.{key}", problem)
        return SettingsError(f"{kind.__name__}: `{key}` {problem}")

    for name, amount in needs_of(kind).items():
        if name not in has:
            known = ", ".join(has) or "nothing"
            raise wrong("needs", f"names {name!r}, which the pool does not have; it has: {known}")
        if amount > has[name]:
            raise wrong("needs", f"is {amount:g} of {name!r}, and the pool has {has[name]:g}")
    if needs_of(kind) and kind.standby:
        raise wrong("standby", "must be 0 for a type that `needs` something")
    if needs_of(kind) and kind.reuse > 1:
        raise wrong("reuse", "must be 1 for a type that `needs` something")


def _check_variables(has: Mapping[str, float]) -> None:
    names: dict[str, str] = dict.fromkeys(_TAKEN_VARIABLES, "")
    for name in has:
        variable = variable_of(name)
        if variable in names:
            other = f"that of {names[variable]!r}" if names[variable] else "another variable"
            raise SettingsError(
                f"`has`: {name!r} would be the environment variable {variable}, as {other};"
                " give it another name"
            )
        names[variable] = name


def _error(place: str, problem: str) -> SettingsError:
    from shmooze.runtime import declared

    return declared.current().error(place, problem)


def _is_whole(amount: float) -> bool:
    return float(amount).is_integer()


#: For the checks of types: an error about one key.
Wrong = Callable[[str, str], SettingsError]
