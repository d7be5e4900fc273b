"""The checker: makes all checks of one module's program, one process after the other."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import gevent

from shmooze.broker.launchers import Launchers
from shmooze.conformance import arguments, described, scenarios, updates
from shmooze.conformance.catalog import CHECKS, TIME_LIMIT
from shmooze.conformance.options import Options
from shmooze.conformance.report import Report
from shmooze.conformance.session import Session
from shmooze.modules.kind import Kind
from shmooze.processes.contract import Launcher


def open_launcher(on_unguarded: Callable[[], None] | None = None) -> Launcher:
    """The launcher of this machine, ready to launch.

    With `on_unguarded` this process forks: what is left of modules ends even if it is killed. It is
    called if that cannot be promised any more, because the guardian was killed.
    """
    launchers = Launchers(())
    if on_unguarded is not None:
        launchers.guard()
    launchers.prepare()
    launchers.open(f"check_module {uuid.uuid4()}", on_unguarded or (lambda: None))
    return launchers.of(Kind)


def check(launcher: Launcher, options: Options) -> Report:
    """Make all checks. Nothing of the module is left afterwards, however this ends."""
    report = Report(options)
    began = time.monotonic()
    limit = gevent.Timeout(options.time_limit)
    try:
        with limit:
            _check(Session(launcher, options, report))
    except gevent.Timeout as over:
        if over is not limit:
            raise
        report.over_time()
    for name in CHECKS:
        if not report.has(name):
            report.skipped(name, _why_not(report, name))
    report.seconds = time.monotonic() - began
    return report


def _why_not(report: Report, check: str) -> str:
    """Why a check was not made."""
    failed = (name for name in (TIME_LIMIT, "connects", "init") if report.has_failed(name))
    return next((f"because `{name}` failed" for name in failed), CHECKS[check].not_reached)


def _check(session: Session) -> None:
    report = session.report
    description = described.find(session.launcher, session.options, report)
    if description is not None:
        described.prepare_args(description, session)
    for scenario in scenarios.SCENARIOS:
        session.run(scenario)
        if report.has_failed("connects") or report.has_failed("init"):
            return
    if description is not None:
        for scenario in described.scenarios(description):
            session.run(scenario)
    schema = description.document.get("args", {}) if description else {}
    for scenario in arguments.scenarios(session.args, schema):
        session.run(scenario)
    updates.check(session)
    if description is not None:
        described.check_parameters(description, session)
