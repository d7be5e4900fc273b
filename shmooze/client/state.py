"""The state that events add up to: modules in order, the background, and what concerns both."""

from __future__ import annotations

from typing import Any

#: {"modules": [...], "background": {...} or None}, and what concerns the whole service, such as
#: "paused"
State = dict[str, Any]

#: Keys of a change that are no keys of a state.
_OF_CHANGES = ("order", "gone")


def apply(state: State, kind: str, data: dict[str, Any]) -> State:
    """The state after an event. Nothing is changed in place, and unchanged modules stay the same
    objects.

    Raises LookupError, TypeError or AttributeError if the event is not one.
    """
    if kind == "snapshot":
        return {**data, "modules": data["modules"], "background": data["background"]}
    background = state["background"]
    known = {each["uid"]: each for each in [*state["modules"], *filter(None, [background])]}
    for uid, changes in data.get("modules", {}).items():
        known[uid] = _changed(known.get(uid, {"uid": uid}), changes)
    order = data.get("order", [each["uid"] for each in state["modules"]])
    place = data.get("background", background and background["uid"])
    more = {key: value for key, value in data.items() if key not in _OF_CHANGES}
    return {
        **{key: value for key, value in {**state, **more}.items() if value is not None},
        "modules": [known[uid] for uid in order],
        "background": None if place is None else known[place],
    }


def find(state: State, uid: str) -> dict[str, Any] | None:
    """A module or the background."""
    return next(
        (each for each in [*state["modules"], state["background"]] if each and each["uid"] == uid),
        None,
    )


def _changed(module: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in changes.items() if key not in ("set", "unset")}
    removed = {key for key, value in rest.items() if value is None and key != "by"}
    parameters = {**module.get("parameters", {}), **changes.get("set", {})}
    for name in changes.get("unset", []):
        parameters.pop(name, None)
    changed = {**module, **rest, "parameters": parameters}
    return {key: value for key, value in changed.items() if key not in removed}
