"""What clients see of a module, running or ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shmooze.access.permission import Target
from shmooze.broker.keeper import Loss
from shmooze.modules.exit import Outcome
from shmooze.modules.module import Module
from shmooze.modules.presentation import View
from shmooze.modules.web_server import RESTS, web_server_of
from shmooze.runtime import clock

#: Begins a traceback of Python; its other lines are indented.
_TRACEBACK = "Traceback (most recent call last):"

#: Which parameters a client wants to see: {type: [names]}, or true for all of all types.
Wanted = dict[str, list[str]] | bool


def show(module: Module, wanted: Wanted) -> dict[str, Any]:
    """A module as clients see it: {"uid", "type", "state", "args"?, "label"?, "by", "added",
    "waits"?, "host"?, "web"?, "parameters"?}, and its terms.

    `args` are missing where the type hides them. One that is held has "held", why; one that waits
    for something else than its turn "waits", for what. One that runs on another machine than its
    service has "host". One that has a web server of its own has "web" while it has a process:
    "loading" or "ready"; or "resting" while it was ended since nobody needed it. One that was
    started again has "restarts", how often; one that waits for it "next_attempt_at", in the seconds
    of time.time, and "next_attempt_in", how many seconds that is from now.
    """
    shown: dict[str, Any] = {
        "uid": module.uid,
        "type": module.TYPE_STRING,
        "state": module.state.shown,
        **origin_of(module),
    }
    shown.update(module.terms.shown())
    if module.held is not None:
        shown["held"] = module.held
    if (waits := module.waits) is not None:
        shown["waits"] = waits
    if module.host is not None:
        shown["host"] = module.host
    if (web := web_of(module)) is not None:
        shown["web"] = web
    if module.restarts.count:
        shown["restarts"] = module.restarts.count
    if module.next_attempt is not None:
        shown["next_attempt_at"] = module.next_attempt
        shown["next_attempt_in"] = round(max(0.0, module.next_attempt - clock.time()), 1)
    if wanted is True:
        shown["parameters"] = dict(module.parameters)
    elif wanted and module.TYPE_STRING in wanted:
        shown["parameters"] = select(module, wanted[module.TYPE_STRING])
    return shown


def web_of(module: Module) -> str | None:
    """What clients are told of a module's web server; None: nothing."""
    return RESTS if module.is_resting and web_server_of(module) is not None else module.web


def origin_of(module: Module) -> dict[str, Any]:
    """With what, by whom and when a module was added: {"args"?, "label"?, "by", "added"}."""
    origin = {"by": module.origin.by, "added": module.origin.added_at}
    if module.presentation is None and module.terms.label is None:
        return {"args": module.args, **origin} if module.show_args else origin
    return {**shown_of(module.view), **origin}


def shown_of(view: View) -> dict[str, Any]:
    """What clients see of the args of an item: {"args"?, "label"?}."""
    args = {} if view.args is None else {"args": view.args}
    return args if view.label is None else {**args, "label": view.label}


def select(module: Module, names: list[str]) -> dict[str, Any]:
    """Those of the named parameters that the module has set."""
    return {name: module.parameters[name] for name in names if name in module.parameters}


def explain(module: Module) -> str:
    """Why a module failed: one line."""
    return f"{module.TYPE_STRING} {reason_of(module)}"


def reason_of(module: Module) -> str:
    """Why a module ended, with its last lines of output unless it has given the reason itself: a
    sentence without its subject.
    """
    # The listing of a traceback, which is indented, means nothing to a client.
    lines = [line for line in module.errors if line[:1].strip() and line != _TRACEBACK][-3:]
    if not lines or (module.exit is not None and module.exit.cause.own_words):
        return module.reason
    return f"{module.reason}; last output: {' | '.join(lines)}"


def exit_report(module: Module) -> dict[str, Any]:
    """What `gone` shows: {"uid", "type", "args"?, "label"?, "by", "added", "state",
    "state_at_end", "reason", "exit_status" or "signal", "ladder", "ended", "seconds",
    "stderr_tail"}.
    """
    assert module.exit is not None
    return {
        "uid": module.uid,
        "type": module.TYPE_STRING,
        **origin_of(module),
        **({} if module.terms.batch is None else {"batch": module.terms.batch}),
        **({} if module.host is None else {"host": module.host}),
        **module.exit.as_dict(),
        "stderr_tail": module.errors,
    }


def loss_report(loss: Loss) -> dict[str, Any]:
    """What hooks are told of an item that did not come back with the service. Its type may hide
    args, and may have gone: there are none.
    """
    item = loss.item
    return {
        "uid": item.uid,
        "type": item.type,
        "by": item.origin.by,
        "added": item.origin.added_at,
        **({} if item.terms.label is None else {"label": item.terms.label}),
        **({} if item.terms.batch is None else {"batch": item.terms.batch}),
        "state": Outcome.LOST.value,
        "reason": loss.reason,
        "ended": clock.iso8601(clock.time()),
    }


def as_targets(modules: Iterable[Module]) -> list[Target]:
    """Modules as what a command would change."""
    return [Target(each.TYPE_STRING, each.uid, each.origin.by) for each in modules]
