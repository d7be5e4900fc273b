"""The describer of a queue or pool: its described types, found for each item and command."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from shmooze.broker.broker import Broker
from shmooze.broker.describer import is_described
from shmooze.broker.launchers import Launchers
from shmooze.broker.renewal import Renewal
from shmooze.broker.roster import Change, Place
from shmooze.description import source
from shmooze.description.described_type import UNDESCRIBED, DescribedType
from shmooze.description.description import Description
from shmooze.description.parameter_checks import ParameterChecks
from shmooze.description.programs import Programs
from shmooze.errors import SettingsError
from shmooze.modules.kind import Kind
from shmooze.modules.module import Module
from shmooze.modules.presentation import Presentation

log = logging.getLogger(__name__)

#: Commands that add an item, and where.
_ADDING = {"add": Place.ORDER, "schedule": Place.ORDER, "set_bg": Place.BACKGROUND}
_TELLING = ("tell_module", "tell_background")


class TypeDescriber:
    """See `shmooze.broker.describer.Describer`."""

    def __init__(self, broker: Broker) -> None:
        self._service = str(broker.name)
        self._roster = broker.roster
        self._on_offer = broker.types_by_place()
        self._types: dict[type[Kind], DescribedType] = {
            kind: DescribedType(kind) for kind in broker.kinds() if is_described(kind)
        }
        asked = [described for described in self._types.values() if described.is_asked]
        for described in self._types.values():
            if not described.is_asked:
                self._read(described)
        self._programs = Programs(self._service, asked, self._on_answer)
        #: The descriptions of modules whose processes have told of their commands.
        self._own: WeakKeyDictionary[Module, Description] = WeakKeyDictionary()
        self._roster.listen(self._on_commands, Change.COMMANDS)
        self._checks: ParameterChecks | None = None
        self._check_parameters()

    def _check_parameters(self) -> None:
        """Begin to check parameters once a type may describe some."""
        known = [each.description for each in self._types.values() if each.description]
        is_asked = any(each.is_asked for each in self._types.values())
        if self._checks is None and (is_asked or any(each.parameters for each in known)):
            self._checks = ParameterChecks(self._service, self._roster, self._description_of)

    def prepare_renewal(self, renewal: Renewal) -> Callable[[], None]:
        """See Prepare. Types that have not changed may have other descriptions, in files."""
        kinds = [kind for kind in renewal.kinds if is_described(kind)]
        new: dict[type[Kind], DescribedType] = {
            kind: DescribedType(kind) for kind in kinds if kind not in self._types
        }
        written = {
            kind: source.read(kind)
            for kind in kinds
            if isinstance(kind.schema, str) or (kind in new and not new[kind].is_asked)
        }

        def take() -> None:
            self._types.update(new)
            for kind, description in written.items():
                self._types[kind].renew(description)
            self._programs.add(each for each in new.values() if each.is_asked)
            self._check_parameters()

        return take

    def _read(self, described: DescribedType) -> None:
        try:
            described.take(source.read(described.kind))
        except SettingsError as mistake:
            kind = described.kind
            name, rest = kind.TYPE_STRING, UNDESCRIBED
            log.error("%s: %s: %s; %s", self._service, name, mistake, rest)

    def open(self, launchers: Launchers) -> None:
        self._programs.open(launchers)

    def close(self) -> None:
        self._programs.close()
        if self._checks is not None:
            self._checks.close()

    def _on_answer(self, described: DescribedType) -> None:
        """Items that are there already may be shown in another way now."""
        for module in list(self._roster.everyone):
            if type(module) is described.kind:
                self._roster.tell(module, Change.PARAMETERS)

    def _on_commands(self, uid: str, _what: Change) -> None:
        """A process has told of its commands."""
        for module in self._roster.everyone:
            described = self._types.get(type(module))
            if module.uid != uid or module.own_commands is None or described is None:
                continue
            try:
                own = described.learn(module.own_commands, f"{module.TYPE_STRING} {uid}")
            except SettingsError as mistake:
                log.error("%s: %s: %s", self._service, module.TYPE_STRING, mistake)
                continue
            if own is not None:
                self._own[module] = own

    def _current(self, kind: type[Kind]) -> DescribedType | None:
        """What is known of a type; waits for its program if it has to be asked first."""
        described = self._types.get(kind)
        if described is not None and described.is_asked:
            self._programs.wait_for([described])
        return described

    def _description_of(self, module: Module) -> Description | None:
        described = self._types.get(type(module))
        return described.description if described is not None else None

    def presentation(self, kind: type[Kind]) -> Presentation | None:
        return self._types.get(kind)

    def prepare(self, cmd: str, kind: type[Kind], args: dict[str, Any]) -> dict[str, Any]:
        described = self._current(kind)
        return described.prepare(cmd, args) if described is not None else args

    def prepare_command(self, module: Module, cmd: str, args: dict[str, Any]) -> dict[str, Any]:
        if (own := self._own.get(module)) is not None:
            return own.prepare_command(cmd, args)
        described = self._types.get(type(module))
        if described is not None and described.description is None:
            self._current(type(module))
        return described.prepare_command(cmd, args) if described is not None else args

    def descriptions(self, kinds: Iterable[type[Kind]]) -> list[dict[str, Any]]:
        described = [self._types.get(kind) for kind in kinds]
        self._programs.wait_for(each for each in described if each is not None)
        return [{} if each is None else each.document for each in described]

    def loggable(self, query: dict[str, Any]) -> dict[str, Any]:
        cmd, args = query["cmd"], query.get("args", {})
        if "args" not in args or (cmd not in _ADDING and cmd not in _TELLING):
            return query
        if cmd in _ADDING:
            hidden = self._loggable_item(self._on_offer.get(_ADDING[cmd], {}), args)
        else:
            hidden = self._loggable_command(args)
        return {**query, "args": {**args, "args": hidden}}

    def _loggable_item(
        self, on_offer: Mapping[str, type[Module]], args: dict[str, Any]
    ) -> dict[str, Any]:
        name, given = args.get("type"), args["args"]
        kind = on_offer.get(name) if isinstance(name, str) else None
        if kind is None:
            return {}  # probably a typo, so the args may be those of any type
        described = self._types.get(kind)
        return described.hide(given) if described is not None else given

    def _loggable_command(self, args: dict[str, Any]) -> dict[str, Any]:
        uid, cmd, given = args.get("uid"), args.get("cmd"), args["args"]
        module = self._roster.find(uid) if isinstance(uid, str) else None
        if module is None or not isinstance(cmd, str):
            return {}  # it is gone, and nobody knows what it was
        described = self._types.get(type(module))
        return described.hide(given, cmd) if described is not None else given
