"""A session with one child: commands are sent, and what comes back is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gevent

from shmooze.conformance import wording
from shmooze.conformance.catalog import CHECKS
from shmooze.conformance.child import Child
from shmooze.conformance.options import Options
from shmooze.conformance.report import Report
from shmooze.errors import ModuleError, PacketError
from shmooze.modules.channel.stream import Stream
from shmooze.processes.contract import Launcher
from shmooze.runtime import jsonsafe
from shmooze.runtime.patience import Patience

#: A command that no module has.
UNKNOWN = "do_shmooze_check"
#: Seconds in which a second answer to a command would come.
_LINGER = 0.01


class Broken(Exception):
    """The session cannot go on: the failure is in the report."""


class Left(Exception):
    """The session cannot go on: the module is done, and leaves by itself."""


@dataclass(frozen=True)
class Scenario:
    """What is done with one child."""

    play: Callable[[Session], None]
    #: The checks that are made.
    names: Sequence[str]
    #: Whether its command port has no room for a connection at first.
    is_full: bool = False


class Session:
    """One child after the other, and the report that gets what they do."""

    def __init__(self, launcher: Launcher, options: Options, report: Report) -> None:
        self.launcher, self.options, self.report = launcher, options, report
        #: The args of `init` with which the module works.
        self.args: dict[str, Any] = options.args or {}
        #: The updates of all children so far.
        self.updates: list[bytes] = []
        #: The last state that a child has saved, if any.
        self.saved: list[Any] = []
        #: Seconds that the first child has taken to connect.
        self.connect_seconds = 0.0
        self.child: Child

    def run(self, scenario: Scenario) -> None:
        """Start a child, run a scenario with it, and end it.

        Checks of the scenario that are not made are skipped.
        """
        if not any(self.report.wants(name) for name in scenario.names):
            return
        reason = None
        try:
            with Child(self.launcher, self.options, scenario.is_full) as self.child:
                try:
                    scenario.play(self)
                except Left:
                    reason = "the module left by itself before"
                    self._check_leaving()
                finally:
                    self._review()
        except ModuleError as bad:
            first = "init" if self.options.stdio else "connects"
            self.report.failed(first, str(bad))
            reason = f"because `{first}` failed"
        except Broken as broken:
            reason = f"because `{broken}` failed"
        for name in scenario.names:
            if not self.report.has(name):
                self.report.skipped(name, reason or CHECKS[name].not_reached)

    def connect(self, timeout: float | None = None) -> None:
        """Wait until both streams are connected."""
        missing = self.child.wait_connected(timeout or self.options.connect_timeout)
        if missing:
            self.fail("connects", missing)
        self.report.ok("connects")

    def begin(self) -> None:
        """Connect, and send `init`."""
        self.connect()
        self.ask("init", "init", self.args)

    def remove_child(self) -> None:
        """End the child as a service does, without a check."""
        self.child.send({"cmd": "rm"})
        self.child.commands.next_line(Patience(self.options.natural_death_timeout))
        self.child.hang_up()
        self.child.wait_exit(self.options.natural_death_timeout)

    def fail(self, name: str, got: str) -> None:
        """Report a failure after which this session cannot go on. Raises Broken."""
        self.record_failure(name, got)
        raise Broken(name)

    def record_failure(self, name: str, got: str) -> None:
        """Report a failure."""
        self.report.failed(name, got, self.child.errors)

    def ask(self, name: str, cmd: str, args: dict[str, Any] | None = None) -> None:
        """Send a command that must succeed, for the check of this name."""
        packet = self.answer_to(name, cmd, args)
        if not packet["success"]:
            self.fail(name, f"a failure: {packet.get('error')!r}")
        self.report.ok(name)

    def answer_to(self, name: str, cmd: str, args: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a command, and return the packet that answers it."""
        self.check_still_here()
        self.child.send({"cmd": cmd} if args is None else {"cmd": cmd, "args": args})
        packet = self.next_answer(name, cmd)
        self.expect_no_more(f"to `{cmd}`")
        return packet

    def next_answer(self, name: str, cmd: str, timeout: float | None = None) -> dict[str, Any]:
        """The next answer, which must come in time, for the check of this name."""
        timeout = self.options.command_timeout if timeout is None else timeout
        line = self.child.commands.next_line(Patience(timeout))
        if line is None:
            if len(self.child.commands.tail) > Stream.max_line:
                self.fail("packets", f"the answer to `{cmd}` is longer than 1 MiB")
            if self.child.commands.tail:
                self.fail("packets", f"the answer to `{cmd}` does not end with \\n")
            if self.child.updates.spoke.is_set():
                self.check_still_here()
            if self.child.commands.ended.is_set():
                self.child.wait_exit(_LINGER * 10)
                how = self.child.describe_exit()
                how = "hung up" if self.child.status is None else how
                self.fail(name, f"it {how} instead of an answer to `{cmd}`")
            self.fail(name, f"no answer to `{cmd}` within {timeout:g} s")
        assert line is not None
        return self._packet(line, cmd)

    def expect_no_more(self, what: str) -> None:
        """Report answers to which there was no command."""
        gevent.sleep(_LINGER)
        if self.child.commands.lines:
            extra = self.child.commands.lines[0]
            self.record_failure(
                "one-answer", f"one more line after the answer {what}: {_shown(extra)}"
            )
            self.child.commands.lines.clear()

    def check_still_here(self) -> None:
        """Raise Left if the module is done, and Broken if it gave up."""
        if failure := self.child.updates.failure:
            self.fail("no-failure", f"it said: {failure}")
        if self.child.has_left:
            raise Left

    def expect_exit(self, name: str, timeout: float) -> bool:
        """Wait for the exit, for the check of this name. Returns whether it has come."""
        if self.child.wait_exit(timeout):
            self.report.ok(name)
            return True
        self.record_failure(name, f"it was still running after {timeout:.2g} s")
        return False

    def expect_clean_exit(self, name: str, timeout: float) -> None:
        """The same with status 0, and nothing may be left of it."""
        if not self.expect_exit(name, timeout):
            return
        if self.child.status == 0:
            self.report.ok("exit-status")
        else:
            self.record_failure("exit-status", f"it {self.child.describe_exit()}")
        self.expect_nothing_left()

    def expect_nothing_left(self, daemons_only: bool = False) -> None:
        """Report processes that outlive the program."""
        left = self.child.remaining()
        if found := [each.text for each in left if each.is_daemon or not daemons_only]:
            self.record_failure("nothing-left", ", ".join(found))
            return
        self.report.ok("nothing-left")
        if left:
            texts = ", ".join(each.text for each in left)
            self.report.note("nothing-left", f"the service would have to end: {texts}")

    def check_refusal(self, name: str, packet: dict[str, Any]) -> bool:
        """Judge a failure packet. Returns whether it is good."""
        error = packet.get("error")
        if fault := wording.fault_of(error):
            self.record_failure(name, fault)
            return False
        self.report.ok(name)
        if wording.hides_mistake(error):
            self.report.note(name, f"the failure does not say what is wrong: {error}")
            return False
        return True

    def _check_leaving(self) -> None:
        self.child.hang_up()
        with suppress(Broken):
            self.expect_clean_exit("leaves", self.options.natural_death_timeout)

    def _packet(self, line: bytes, cmd: str) -> dict[str, Any]:
        try:
            packet = jsonsafe.decode(line)
        except PacketError as bad:
            hint = "; other text belongs on standard error" if self.options.stdio else ""
            self.fail("packets", f"the answer to `{cmd}` is {_shown(line)}: {bad}{hint}")
        if not isinstance(packet, dict) or not isinstance(packet.get("success"), bool):
            self.fail("packets", f"the answer to `{cmd}` is {_shown(line)}")
        self.report.ok("packets")
        result: dict[str, Any] = packet
        return result

    def _review(self) -> None:
        """Judge what can only be seen at the end, and keep what it has sent."""
        child = self.child
        for port, name in ((child.commands, "command"), (child.updates, "update")):
            if port.connections > 1:
                self.record_failure(
                    "connects-once", f"{port.connections} connections to the {name} port"
                )
        if child.commands.connections and child.updates.connections:
            self.report.ok("connects-once")
        if child.commands.bytes:
            self.report.ok("one-answer")
        if child.status is not None and child.updates.wait_end(_LINGER * 20) and child.updates.tail:
            self.record_failure("updates", f"a line without an end: {_shown(child.updates.tail)}")
        self.updates += child.updates.updates
        self.saved = child.updates.saved or self.saved


def _shown(line: bytes) -> str:
    text = line.decode(errors="backslashreplace")
    return f"{text[:200]}…" if len(text) > 200 else text or "an empty line"
