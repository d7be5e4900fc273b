"""The state of a watched service, which events add up to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from shmooze.shmz.headings import TURN_KEYS, heading
from shmooze.shmz.json_text import from_json
from shmooze.shmz.watch.events import Event


@dataclass(frozen=True)
class Live:
    """The state of a watched service. Immutable, so that two states can be compared."""

    url: str
    #: Modules in order, each with `uid`, `type`, `state`, `parameters`, a dict, and those of KEPT
    #: that it has.
    modules: list[dict[str, Any]] = field(default_factory=list)
    background: dict[str, Any] | None = None
    #: Headings, by uid, of modules that were removed and are not gone yet.
    leaving: dict[str, str] = field(default_factory=dict)
    #: The latest modules that are gone, oldest first, each with `uid`, `heading`, `reason`.
    gone: list[dict[str, Any]] = field(default_factory=list)
    #: How the service is paused; None: it is not.
    paused: dict[str, Any] | None = None
    #: Why the connection is lost; the state is out of date then.
    lost: str | None = None
    #: Whether there was a snapshot yet.
    has_begun: bool = False

    @property
    def all_modules(self) -> dict[str, dict[str, Any]]:
        background = [self.background] if self.background else []
        return {each["uid"]: each for each in [*self.modules, *background]}

    @property
    def count(self) -> str:
        paused = ", paused" if self.paused is not None else ""
        return f"{len(self.modules)} module{'' if len(self.modules) == 1 else 's'}{paused}"


#: Further keys of modules that are shown.
KEPT = ("label", "held", "web", "waits", *TURN_KEYS)
#: How many removed or gone modules are remembered.
MAX_REMEMBERED = 100


def apply_event(live: Live, event: Event) -> Live:
    """Return the state after an event. Raises ValueError if the event is invalid."""
    try:
        data = from_json(event.data)
        return (apply_snapshot if event.kind == "snapshot" else apply_change)(live, data)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"the server has sent an invalid {event.kind}") from error


def apply_snapshot(live: Live, snapshot: dict[str, Any]) -> Live:
    def module(shown: dict[str, Any]) -> dict[str, Any]:
        each = {key: shown[key] for key in ("uid", "type", "state")}
        more = {key: shown[key] for key in KEPT if shown.get(key)}
        return {**each, **more, "parameters": {**shown["parameters"]}}

    background = snapshot["background"]
    after = replace(
        live,
        modules=[module(each) for each in snapshot["modules"]],
        background=module(background) if background else None,
        paused=snapshot.get("paused"),
        has_begun=True,
    )
    return replace(after, leaving=find_leaving(live, after))


def apply_change(live: Live, change: dict[str, Any]) -> Live:
    known = live.all_modules
    for uid, new in change.get("modules", {}).items():
        module = known.get(uid) or {"uid": uid, "type": "", "state": "", "parameters": {}}
        parameters = {**module["parameters"], **new.get("set", {})}
        for name in new.get("unset", []):
            parameters.pop(name, None)
        updated = {key: new[key] for key in ("type", "state", *KEPT) if key in new}
        known[uid] = {**module, **updated, "parameters": parameters}
    order = change.get("order", [each["uid"] for each in live.modules])
    place = change.get("background", live.background and live.background["uid"])
    after = replace(
        live,
        modules=[known[uid] for uid in order],
        background=known[place] if place else None,
        paused=change.get("paused", live.paused),
    )
    leaving = find_leaving(live, after)
    gone = []
    for uid, end in change.get("gone", {}).items():
        name = heading(known[uid]) if uid in known else leaving.pop(uid, "")
        leaving.pop(uid, None)
        gone.append({**end, "uid": uid, "heading": name, "reason": end["reason"]})
    kept = [*live.gone, *gone][-max(MAX_REMEMBERED, len(gone)) :]
    return replace(after, leaving=leaving, gone=kept)


def find_leaving(before: Live, after: Live) -> dict[str, str]:
    present = after.all_modules
    removed = {uid: heading(each) for uid, each in before.all_modules.items() if uid not in present}
    return dict([*before.leaving.items(), *removed.items()][-MAX_REMEMBERED:])
