"""The scenarios: what a service does with a module, and how either of them may end."""

from __future__ import annotations

import time
from typing import Any

import gevent

from shmooze.conformance.session import UNKNOWN, Broken, Scenario, Session

#: Bytes of a large command: more than any buffer of the system, and less than a client may send.
_LARGE = 200_000
#: Seconds that a port has no room at most, and that the kernel then takes to try again.
_MAX_WATCH, _RETRY = 2.0, 4.0


def _full_session(session: Session) -> None:
    """From the start to `rm`, as in a queue."""
    began = time.monotonic()
    session.connect()
    session.connect_seconds = time.monotonic() - began
    _expect_nothing_before_init(session)
    session.ask("init", "init", session.args)
    session.ask("play", "play")
    session.child.watch(session.options.watch)
    session.ask("suspend", "suspend")
    session.ask("resume", "play")
    for cmd in ("play", "suspend", "suspend", "play"):
        packet = session.answer_to("twice", cmd)
        if packet["success"]:
            session.report.ok("twice")
        else:
            session.report.note("twice", f"`{cmd}` was refused: {packet.get('error')}")
    session.check_still_here()
    session.report.ok("no-failure")
    began = time.monotonic()
    patience = session.options.natural_death_timeout
    session.child.send({"cmd": "rm"})
    session.next_answer("rm", "rm", patience)
    session.expect_no_more("to `rm`")
    session.child.hang_up()
    session.expect_clean_exit("rm", max(0.0, patience - (time.monotonic() - began)))


def _expect_nothing_before_init(session: Session) -> None:
    child = session.child
    child.watch(session.options.quiet)
    if child.status is not None:
        session.fail("waits-for-init", f"it {child.describe_exit()}")
    if child.updates.updates:
        session.record_failure(
            "waits-for-init", f"the update {child.updates.updates[0].decode(errors='replace')}"
        )
    if child.commands.bytes:
        session.record_failure(
            "waits-for-init", f"{child.commands.bytes} bytes on the command stream"
        )
        child.commands.lines.clear()
    session.report.ok("waits-for-init")


def _special_commands(session: Session) -> None:
    """Commands that it does not know, that arrive together, in pieces, or are large."""
    session.begin()
    packet = session.answer_to("unknown-command", UNKNOWN)
    if packet["success"]:
        session.fail("unknown-command", "a success")
    session.check_refusal("unknown-command", packet)
    session.child.send({"cmd": f"{UNKNOWN}_1"}, {"cmd": f"{UNKNOWN}_2"})
    _expect_answers(session, "one-write", 2)
    session.child.send_in_pieces({"cmd": UNKNOWN, "args": {"text": "é"}})
    _expect_answers(session, "split-command", 1)
    session.child.send({"cmd": UNKNOWN, "args": {"text": "x" * _LARGE}})
    _expect_answers(session, "large-command", 1)
    session.remove_child()


def _expect_answers(session: Session, name: str, count: int) -> None:
    for _ in range(count):
        session.next_answer(name, UNKNOWN)
    session.expect_no_more("to the last of them")
    session.report.ok(name)


def _commands_in_order(session: Session) -> None:
    """Commands that differ in their answers, in one write."""
    for name in ("unknown-command", "one-write", "suspend"):
        if session.report.has_failed(name):
            raise Broken(name)
    session.begin()
    session.ask("play", "play")
    session.check_still_here()
    session.child.send({"cmd": "suspend"}, {"cmd": UNKNOWN})
    answers = [
        session.next_answer("answers-in-order", cmd)["success"] for cmd in ("suspend", UNKNOWN)
    ]
    if answers == [True, False]:
        session.report.ok("answers-in-order")
    else:
        words = " and ".join("a success" if each else "a failure" for each in answers)
        session.record_failure("answers-in-order", f"{words} to `suspend` and an unknown command")
    session.remove_child()


def _restore_and_remove(session: Session) -> None:
    """Restore it if it has saved, and remove it before it has played."""
    session.connect()
    if session.saved:
        session.ask("restore", "restore", {"state": session.saved[0]})
    else:
        session.report.skipped("restore", "it has not saved a state")
    session.ask("init", "init", session.args)
    rm: dict[str, Any] = {"cmd": "rm"}
    if session.report.has_failed("unknown-command"):
        session.child.send(rm)
    else:
        session.child.send({"cmd": UNKNOWN}, rm)
    session.child.hang_up()
    session.expect_clean_exit("rm-before-play", session.options.natural_death_timeout)


def _hang_up_before_init(session: Session) -> None:
    """Hang up before `init`. Before that, find out in which order it connects.

    The command port has no room at first, so a connection to it takes its time. Who connects there
    first gets to the update port only afterwards.
    """
    if session.child.commands.is_full:
        gevent.sleep(min(_MAX_WATCH, 0.3 + 2 * session.connect_seconds))
        if session.child.updates.connected.is_set():
            session.record_failure(
                "connect-order", "it connected to the update port first, or did not wait"
            )
        session.child.commands.accept()
    session.connect(session.options.connect_timeout + _RETRY)
    session.report.ok("connect-order")
    session.child.hang_up()
    session.expect_exit("hang-up-before-init", session.options.natural_death_timeout)
    session.expect_nothing_left(daemons_only=True)


def _hang_up_while_playing(session: Session) -> None:
    session.begin()
    session.ask("play", "play")
    session.check_still_here()
    session.child.hang_up()
    session.expect_exit("hang-up-playing", session.options.natural_death_timeout)
    session.expect_nothing_left(daemons_only=True)


def _hang_up_while_suspended(session: Session) -> None:
    session.begin()
    session.ask("play", "play")
    session.ask("suspend", "suspend")
    session.check_still_here()
    session.child.hang_up(dies=True)
    session.expect_exit("hang-up-suspended", session.options.natural_death_timeout)
    session.expect_nothing_left(daemons_only=True)


SCENARIOS = (
    Scenario(
        _full_session,
        (
            *("connects", "waits-for-init", "init", "play", "suspend", "resume", "twice"),
            *("no-failure", "rm"),
            *("connects-once", "one-answer", "packets", "exit-status", "nothing-left"),
        ),
    ),
    Scenario(_special_commands, ("unknown-command", "one-write", "split-command", "large-command")),
    Scenario(_commands_in_order, ("answers-in-order",)),
    Scenario(_restore_and_remove, ("restore", "rm-before-play")),
    Scenario(_hang_up_before_init, ("connect-order", "hang-up-before-init"), is_full=True),
    Scenario(_hang_up_while_playing, ("hang-up-playing",)),
    Scenario(_hang_up_while_suspended, ("hang-up-suspended",)),
)
