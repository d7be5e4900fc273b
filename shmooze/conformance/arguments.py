"""Wrong arguments of `init`: they are refused in words for users, and the module ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from shmooze.conformance.session import Scenario, Session

_UNKNOWN = "shmooze_check"


def scenarios(args: dict[str, Any], schema: dict[str, Any]) -> Iterator[Scenario]:
    """One for each way to be wrong. `schema` describes `args`; it may be empty."""
    yield _scenario("unknown-argument", {**args, _UNKNOWN: 1}, _UNKNOWN)
    for name in schema.get("required", []):
        rest = {each: value for each, value in args.items() if each != name}
        yield _scenario("missing-argument", rest, name, must_refuse=True)
    if args and not schema:
        yield _scenario("missing-argument", {}, None)
    for name, value in list(args.items())[:1]:
        wrong: Any = 7 if isinstance(value, dict) else {"shmooze": "check"}
        yield _scenario("wrong-type", {**args, name: wrong}, name)


def _scenario(
    check: str, args: dict[str, Any], name: str | None, must_refuse: bool = False
) -> Scenario:
    def play(session: Session) -> None:
        session.connect()
        packet = session.answer_to(check, "init", args)
        if packet["success"]:
            if must_refuse:
                session.record_failure(check, f"`init` without `{name}` is accepted")
            elif name is not None:
                session.report.note(check, f"it accepts {json.dumps({name: args[name]})}")
            session.report.ok(check)
            session.remove_child()
            return
        if session.check_refusal(check, packet) and name and name not in packet["error"]:
            session.report.note(check, f"`{name}` is not named in: {packet['error']}")
        session.child.hang_up()
        if session.expect_exit("hang-up-before-init", session.options.natural_death_timeout):
            session.expect_nothing_left()

    return Scenario(play, (check,))
