"""The description of a module: read as a service reads it, and compared with what the module does.

`shmooze.description`, which takes long to import, is loaded only if these checks are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from shmooze.conformance import wording
from shmooze.conformance.options import Options
from shmooze.conformance.report import Report
from shmooze.conformance.samples import sample
from shmooze.conformance.session import UNKNOWN, Scenario, Session
from shmooze.errors import CommandError, ModuleError, SettingsError
from shmooze.modules.channel.updates import SetParameters, Update
from shmooze.modules.kind import Kind
from shmooze.processes.contract import Launcher

if TYPE_CHECKING:
    from shmooze.description.description import Description

_CHECKS = ("description", "described-args", "described-commands", "described-parameters")

_decode_update = msgspec.json.Decoder(Update).decode


def find(launcher: Launcher, options: Options, report: Report) -> Description | None:
    """The description in the options, or else what the program prints; None: there is none."""
    reason = "there is no description"
    if not any(report.wants(name) for name in _CHECKS):
        return None
    try:
        document = options.schema or _ask(launcher, options)
        if document is not None:
            from shmooze.description.description import Description

            found = Description(document, _mistake)
            report.ok("description")
            return found
    except (ModuleError, SettingsError) as bad:
        report.failed("description", str(bad))
        reason = "because `description` failed"
    for name in _CHECKS:
        if not report.has(name):
            report.skipped(name, reason)
    return None


def _mistake(path: str, problem: str) -> SettingsError:
    return SettingsError(f"`{path}` {problem}" if path else f"it {problem}")


def _ask(launcher: Launcher, options: Options) -> Any:
    """What the program prints for `--describe`; None if it does not know that.

    Raises ModuleError if it prints something else.
    """
    from shmooze.description.asking import Asking, NoDescription, Refusal

    keys = {"TYPE_STRING": options.argv[0], "process": options.argv}
    times = {"connect_timeout": options.command_timeout}
    try:
        return Asking(type("Checked", (Kind,), {**keys, **times}), launcher).ask()
    except Refusal as bad:
        if isinstance(bad, NoDescription) or options.must_describe:
            raise ModuleError(f"`--describe`: it {bad}") from bad
        return None


def prepare_args(description: Description, session: Session) -> None:
    """Give the session the args that a service would send: with defaults, or examples."""
    if description.args is None:
        session.report.skipped("described-args", "the description has no `args`")
        return
    schema = description.document["args"]
    given = session.options.args
    try:
        args = sample({**schema, "examples": schema.get("examples")}) if given is None else given
        session.args = description.args.prepare("init", args)
        session.report.ok("described-args")
    except CommandError as bad:
        session.args = given or {}
        if given is None:
            session.report.note("described-args", f"pass --args: examples lead to {bad}")
        else:
            session.report.failed("described-args", str(bad))


def scenarios(description: Description) -> Iterator[Scenario]:
    """What is tried with a module because its description says so."""
    if description.commands:
        yield Scenario(lambda session: _try_commands(description, session), ("described-commands",))


def _try_commands(description: Description, session: Session) -> None:
    check = "described-commands"
    session.begin()
    unknown = ""
    if not session.report.has_failed("unknown-command"):
        unknown = str(session.answer_to(check, UNKNOWN).get("error"))
    for name, command in description.document["commands"].items():
        args = sample(command.get("args", {"type": "object"}))
        try:
            args = description.prepare_command(name, args)
        except CommandError as bad:
            session.report.note(check, f"`{name}` was not tried, since examples lead to {bad}")
            continue
        packet = session.answer_to(check, f"do_{name}", args)
        if packet["success"]:
            session.report.ok(check)
            _check_result(name, command, packet.get("result"), session)
        elif packet.get("error") == unknown.replace(UNKNOWN[3:], name):
            session.record_failure(check, f"`{name}`: {packet.get('error')}")
        elif fault := wording.fault_of(packet.get("error")):
            session.record_failure(check, f"`{name}`: {fault}")
        else:
            session.report.note(check, f"`{name}` was refused: {packet.get('error')}")
    session.remove_child()


def _check_result(name: str, command: dict[str, Any], result: Any, session: Session) -> None:
    if "result" not in command:
        return
    if problem := _problem_of(command["result"], result):
        session.record_failure("described-commands", f"the result of `{name}`: {problem}")


def check_parameters(description: Description, session: Session) -> None:
    """Judge the parameters that all processes of the module have set."""
    check = "described-parameters"
    schemas: dict[str, Any] = description.document.get("parameters", {})
    if not schemas:
        session.report.skipped(check, "the description has no `parameters`")
        return
    unknown: dict[str, None] = {}
    for line in session.updates:
        try:
            update = _decode_update(line)
        except msgspec.DecodeError:
            continue  # a failure of another check
        if not isinstance(update, SetParameters):
            continue
        for name, value in update.args.parameters.items():
            if name not in schemas:
                unknown[name] = None
            elif problem := _problem_of(schemas[name], value):
                session.report.failed(check, f"`{name}`: {problem}")
                return
            else:
                session.report.ok(check)
    if unknown:
        names = ", ".join(f"`{name}`" for name in unknown)
        session.report.note(check, f"not in the description: {names}")


def _problem_of(schema: dict[str, Any], value: Any) -> str | None:
    """Why a value does not fit a schema, if it does not."""
    from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

    try:
        Draft202012Validator(
            schema, pattern_options=RegexOptions(), validate_formats=True, offline=True
        ).validate(value)
    except ValidationError as bad:
        return str(bad.message)
    return None
