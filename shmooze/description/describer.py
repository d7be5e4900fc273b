"""The describer of a queue or pool: its described types, found for each item and command."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from shmooze.broker.broker import Broker
from shmooze.broker.describer import is_described
from shmooze.broker.launchers import Launchers
from shmooze.broker.roster import Place
from shmooze.description import source
from shmooze.description.described_type import DescribedType
from shmooze.errors import SettingsError
from shmooze.modules.kind import Kind
from shmooze.modules.module import Module
from shmooze.modules.presentation import Presentation

log = logging.getLogger(__name__)

#: Commands that add an item, and where.
_ADDING = {"add": Place.ORDER, "set_bg": Place.BACKGROUND}
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
        for described in self._types.values():
            if isinstance(described.kind.schema, (dict, str)):
                self._read(described)

    def _read(self, described: DescribedType) -> None:
        try:
            described.description = source.read(described.kind)
        except SettingsError as mistake:
            log.error("%s: %s; %s", self._service, mistake, undescribed(described.kind))

    def open(self, launchers: Launchers) -> None:
        pass

    def close(self) -> None:
        pass

    def presentation(self, kind: type[Kind]) -> Presentation | None:
        return self._types.get(kind)

    def prepare(self, cmd: str, kind: type[Kind], args: dict[str, Any]) -> dict[str, Any]:
        described = self._types.get(kind)
        return described.prepare(cmd, args) if described is not None else args

    def prepare_command(self, module: Module, cmd: str, args: dict[str, Any]) -> dict[str, Any]:
        described = self._types.get(type(module))
        return described.prepare_command(cmd, args) if described is not None else args

    def descriptions(self, kinds: Iterable[type[Kind]]) -> list[dict[str, Any]]:
        described = [self._types.get(kind) for kind in kinds]
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


def undescribed(kind: type[Kind]) -> str:
    """What becomes of a type whose description cannot be used."""
    name = kind.TYPE_STRING
    return f"`{name}` is not checked, and its args are not shown, until that is mended"
