"""A queue and a pool under any order of events: commands, late and missing and doubled answers,
refusals, exits, restarts, pauses of the service, and faults of an application's own classes.

No process is started and no time passes: the children are in memory, and the clock is a fake.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import gevent
import machines
import pytest
from fake_types import (
    KINDS,
    SOUND,
    Ahead,
    PlayHangs,
    RemoveDoesNothing,
    RemoveFails,
    RemoveHangs,
)
from fakes import (
    Fake,
    FakeLauncher,
    FakeProcess,
    fake_clock,
    open_with,
    run_until_idle,
)
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)
from memory_keeper import MemoryKeeper

from shmooze.access.caller import Caller, caller
from shmooze.access.scopes import CONTROL
from shmooze.broker.broker import Broker
from shmooze.broker.roster import Place
from shmooze.errors import CommandError
from shmooze.modules.lifecycle import READY, State
from shmooze.modules.module import Module
from shmooze.pool import Pool
from shmooze.queue import Queue

#: Seconds from `rm` until nothing of a module is left, whatever it does.
LADDER = Fake.natural_death_timeout + Fake.sigterm_timeout
#: Seconds that a class's own `remove` may take before.
OWN_REMOVE = Fake.command_timeout + Fake.natural_death_timeout
#: Seconds after which all commands, restarts and ends are over.
LONG = 400.0
#: A moment: what is due by then has happened.
MOMENT = 0.2


#: What a child may report, and the args.
REPORTS: dict[str, dict[str, Any]] = {
    "set_parameters": {"parameters": {"x": 1}},
    "rm": {},
    "fail": {"text": "broken"},
    "result": {"value": 1},
}

some_seconds = st.sampled_from([0.3, 1.2, 6.0])
#: True three times out of four.
mostly = st.integers(0, 3).map(bool)


class Call:
    """A command of a client, in a greenlet of its own."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.name, self.args = function.__name__, args
        self.client_has_left = False
        self.result: Any = None
        self.error: str | None = None
        self.was_given_up = False
        self.greenlet = gevent.spawn(self._run, function, *args)

    def __repr__(self) -> str:
        return f"<{self.name} {self.args}>"

    @property
    def is_done(self) -> bool:
        return bool(self.greenlet.ready())

    def _run(self, function: Callable[..., Any], *args: Any) -> None:
        caller.set(Caller(CONTROL, "127.0.0.1", has_left=lambda: self.client_has_left))
        try:
            self.result = function(*args)
        except CommandError as refusal:
            self.error = str(refusal)
        except gevent.Timeout:
            self.was_given_up = True


class Interleavings(RuleBasedStateMachine):
    """What holds for queue and pool alike."""

    broker: Broker

    def __init__(self) -> None:
        super().__init__()
        self._resources = ExitStack()
        self.clock = self._resources.enter_context(fake_clock())
        self.launcher = FakeLauncher(self._on_launch)
        self.are_obedient = True
        #: The state that each module has saved last, by its label, and what each process should
        #: therefore restore.
        self.saved: dict[str, int] = {}
        self.to_restore: dict[FakeProcess, list[int]] = {}
        #: Processes that were handed on to another item, or are about to be.
        self._renewed: set[FakeProcess] = set()
        self.calls: list[Call] = []
        #: Calls of `tell`, by the command that only they have sent.
        self.tells: dict[str, Call] = {}
        #: By when what was removed has to be gone.
        self.deadlines: dict[Module, float] = {}
        self.errors: list[Any] = []
        hub = gevent.get_hub()
        original = hub.handle_error
        hub.handle_error = lambda *error: self.errors.append(error)
        self._resources.callback(setattr, hub, "handle_error", original)
        #: Uids that `add` or `set_bg` has returned.
        self.added: set[str] = set()
        self._open(MemoryKeeper())

    def _open(self, keeper: MemoryKeeper) -> None:
        self.keeper = keeper
        self.broker = self.make_broker()
        self.broker.items.keeper = keeper
        open_with(self.broker, self.launcher)
        run_until_idle()

    def make_broker(self) -> Broker:
        raise NotImplementedError

    def _on_launch(self, process: FakeProcess) -> None:
        process.is_obedient = self.are_obedient
        saved = self.saved.get(process.label)
        self.to_restore[process] = [] if saved is None else [saved]
        process.on_renewed = self._renewed.add

    def _modules(self) -> list[Module]:
        return list(self.broker.roster.everyone)

    def _placed(self) -> list[Module]:
        roster = self.broker.roster
        return [*roster.listed, *([roster.background] if roster.background else [])]

    def _call(self, function: Callable[..., Any], *args: Any) -> Call:
        self.calls.append(call := Call(function, *args))
        run_until_idle()
        return call

    # What clients do.

    @rule(kind=st.sampled_from(KINDS), is_obedient=mostly)
    def add(self, kind: type[Module], is_obedient: bool) -> None:
        self.are_obedient = is_obedient
        self._call(self.broker.add, kind.TYPE_STRING)
        self.are_obedient = True

    @precondition(lambda self: self._placed())
    @rule(data=st.data())
    def rm(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self._placed()), min_size=1, max_size=2))
        self._removed([module for module in chosen if module in self.broker.roster.listed])

    def _removed(self, modules: list[Module]) -> None:
        self._call(self.broker.rm, [module.uid for module in modules])
        for module in modules:
            patience = LADDER + MOMENT
            if isinstance(module, RemoveHangs):
                patience += OWN_REMOVE + MOMENT
            self.deadlines.setdefault(module, self.clock.seconds + patience)

    @precondition(lambda self: self._placed())
    @rule(data=st.data(), answers=st.booleans())
    def tell(self, data: st.DataObject, answers: bool) -> None:
        self._tell(data.draw(st.sampled_from(self._placed())), answers)

    def _tell(self, module: Module, answers: bool) -> Call:
        if not answers and module._process is not None:
            module._process.is_obedient = False
        cmd = f"c{len(self.tells)}"
        self.tells[cmd] = self._call(self.broker.tell_module, module.uid, cmd)
        return self.tells[cmd]

    @precondition(lambda self: any(not call.is_done for call in self.calls))
    @rule(data=st.data())
    def a_caller_gives_up(self, data: st.DataObject) -> None:
        """As an application's own Timeout around a command would."""
        call = data.draw(st.sampled_from([each for each in self.calls if not each.is_done]))
        call.greenlet.kill(gevent.Timeout(), block=False)
        run_until_idle()

    @precondition(lambda self: any(not call.is_done for call in self.tells.values()))
    @rule(data=st.data())
    def a_client_leaves(self, data: st.DataObject) -> None:
        waiting = {cmd: call for cmd, call in self.tells.items() if not call.is_done}
        cmd = data.draw(st.sampled_from(sorted(waiting)))
        was_sent = any(f"do_{cmd}" in process.heard for process in self.launcher.processes)
        if not was_sent:
            waiting[cmd].client_has_left = True

    # What children do.

    @precondition(lambda self: self.launcher.living)
    @rule(data=st.data(), is_obedient=st.booleans())
    def a_child_obeys_or_not(self, data: st.DataObject, is_obedient: bool) -> None:
        process = data.draw(st.sampled_from(self.launcher.living))
        process.is_obedient = is_obedient
        if is_obedient:
            process.connect()
            while process.unanswered:
                process.answer()
        run_until_idle()

    @precondition(lambda self: self.launcher.living)
    @rule(data=st.data())
    def a_child_hangs(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(self.launcher.living))
        process.is_obedient, process.leaves_unread = False, True

    @precondition(lambda self: any(process.unanswered for process in self.launcher.living))
    @rule(data=st.data(), success=st.booleans())
    def a_child_answers(self, data: st.DataObject, success: bool) -> None:
        asked = [process for process in self.launcher.living if process.unanswered]
        data.draw(st.sampled_from(asked)).answer(success)
        run_until_idle()

    @precondition(lambda self: any(not each.unanswered for each in self.launcher.living))
    @rule(data=st.data())
    def a_child_answers_what_nobody_asked(self, data: st.DataObject) -> None:
        idle = [process for process in self.launcher.living if not process.unanswered]
        process = data.draw(st.sampled_from(idle))
        ready = [each for each in self.broker.roster.ready if each._process is process]
        process.answer_unasked()
        run_until_idle()
        assert not [module for module in ready if module.state in READY]

    @precondition(lambda self: self.launcher.living)
    @rule(data=st.data(), cmd=st.sampled_from(sorted(REPORTS)))
    def a_child_reports(self, data: st.DataObject, cmd: str) -> None:
        data.draw(st.sampled_from(self.launcher.living)).update(cmd, **REPORTS[cmd])
        run_until_idle()

    @precondition(lambda self: self._playing_reusable())
    @rule(data=st.data())
    def an_item_is_done_and_another_one_is_added(self, data: st.DataObject) -> None:
        """It gets the process of the first, which has nothing of that."""
        module = data.draw(st.sampled_from(self._playing_reusable()))
        process, label = module._process, module._process.label
        goes_on = module._tenancy.served < module.reuse
        process.update("set_parameters", parameters={"secret": label})
        process.update("result", value=label)
        self._call(self.broker.add, module.TYPE_STRING)
        assert self.keeper.history.get(module.uid) is not None
        heirs = [each for each in self._modules() if each._process is process]
        assert not goes_on or heirs
        assert all("secret" not in each.parameters for each in heirs if each is not module)

    def _playing_reusable(self) -> list[Module]:
        return [m for m in self._talking() if m.reuse > 1 and m.state is State.PLAYING]

    @precondition(lambda self: self.launcher.living)
    @rule(data=st.data(), state=st.integers(0, 9), exits=st.booleans())
    def a_child_saves(self, data: st.DataObject, state: int, exits: bool) -> None:
        """Even if it exits right after that."""
        process = data.draw(st.sampled_from(self.launcher.living))
        (module,) = (each for each in self._modules() if each._process is process)
        talks = module.state in READY
        process.update("save", state=state)
        if exits:
            process.exit(1)
        run_until_idle()
        was_accepted = module.saved == str(state).encode()
        assert was_accepted or not talks
        if was_accepted:
            self.saved[process.label] = state

    @precondition(lambda self: self.launcher.living)
    @rule(data=st.data(), status=st.sampled_from([0, 1, -11]))
    def a_child_exits(self, data: st.DataObject, status: int) -> None:
        data.draw(st.sampled_from(self.launcher.living)).exit(status)
        run_until_idle()

    @rule(kind=st.sampled_from(KINDS), seconds=some_seconds)
    def launching_fails_for_a_while(self, kind: type[Module], seconds: float) -> None:
        self.launcher.fault = "no such program"
        self._call(self.broker.add, kind.TYPE_STRING)
        self.clock.advance(seconds)
        self.launcher.fault = ""

    @rule(kind=st.sampled_from(KINDS), is_removed=st.booleans(), seconds=some_seconds)
    def launching_takes_its_time(
        self, kind: type[Module], is_removed: bool, seconds: float
    ) -> None:
        self.launcher.may_go_on.clear()
        self._call(self.broker.add, kind.TYPE_STRING)
        starting = [m for m in self.broker.roster.listed if m.state is State.STARTING]
        if is_removed:
            self._call(self.broker.rm, [module.uid for module in starting])
        self.clock.advance(seconds)
        self.launcher.may_go_on.set()
        run_until_idle()

    # What used to go wrong, in the middle of everything else.

    @precondition(lambda self: self._talking())
    @rule(data=st.data(), seconds=some_seconds)
    def one_is_removed_while_it_owes_an_answer(self, data: st.DataObject, seconds: float) -> None:
        module = data.draw(st.sampled_from(self._talking()))
        call = self._tell(module, answers=False)
        self._removed([module])
        if not isinstance(module, (RemoveFails, RemoveDoesNothing, RemoveHangs)):
            assert call.is_done, "nobody waits for an answer that will not be used"
        self.clock.advance(seconds)

    @precondition(lambda self: self._talking())
    @rule(data=st.data(), is_removed=st.booleans())
    def an_answer_comes_after_its_caller_has_given_up(
        self, data: st.DataObject, is_removed: bool
    ) -> None:
        module = data.draw(st.sampled_from(self._talking()))
        first = self._tell(module, answers=False)
        second = self._tell(module, answers=False)
        first.greenlet.kill(gevent.Timeout(), block=False)
        run_until_idle()
        if is_removed:
            self._removed([module])
        process = module._process
        while process is not None and process.unanswered and process.exit_status is None:
            process.answer()
            run_until_idle()
        assert second.is_done or module.state in READY

    @precondition(lambda self: self._talking())
    @rule(data=st.data())
    def a_client_leaves_while_it_waits_for_its_turn(self, data: st.DataObject) -> None:
        module = data.draw(st.sampled_from(self._talking()))
        self._tell(module, answers=False)
        self._tell(module, answers=False).client_has_left = True
        module._process.answer()
        run_until_idle()

    @precondition(lambda self: self.broker.roster.in_state(State.STANDBY))
    @rule(data=st.data(), hangs=st.booleans())
    def one_on_standby_is_of_no_use_when_it_is_needed(
        self, data: st.DataObject, hangs: bool
    ) -> None:
        module = data.draw(st.sampled_from(list(self.broker.roster.in_state(State.STANDBY))))
        process, kind = module._process, type(module)
        before = self.broker._factory.standby._available(kind)
        process.is_obedient, process.leaves_unread = False, True
        call = self._call(self.broker.add, kind.TYPE_STRING)
        if before[-1:] != [module] or kind.spawn == "lazy":
            return  # another one was taken
        if not hangs:
            process.exit(1)
        self.clock.advance(2 * Ahead.standby_timeout)
        assert module.state in (State.ENDING, State.GONE)
        assert call.error is None

    def _talking(self) -> list[Module]:
        """Those whose children answer at once."""
        return [
            module
            for module in self.broker.roster.ready
            if module._process.is_obedient and not module._process.unanswered
        ]

    # Time.

    @rule(seconds=some_seconds)
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self._talking())
    @rule(data=st.data(), is_child_stopped_too=st.booleans())
    def the_service_is_stopped_while_a_child_works(
        self, data: st.DataObject, is_child_stopped_too: bool
    ) -> None:
        module = data.draw(st.sampled_from(self._talking()))
        call = self._tell(module, answers=False)
        self._skip(7.0)
        self.clock.advance(1.0 if is_child_stopped_too else 0)
        self._answered(module, call)

    @precondition(lambda self: self._talking())
    @rule(data=st.data())
    def an_answer_is_in_the_socket_when_the_time_is_over(self, data: st.DataObject) -> None:
        module = data.draw(st.sampled_from(self._talking()))
        call = self._tell(module, answers=False)
        self.clock.advance(module.command_timeout - 0.2)
        self._skip(0.8)
        self.clock.advance(0)  # the loop looks at timers first
        self._answered(module, call)

    def _skip(self, seconds: float) -> None:
        self.clock.skip(seconds)
        self.deadlines = {module: due + seconds for module, due in self.deadlines.items()}

    def _answered(self, module: Module, call: Call) -> None:
        """The answer of a module's child comes in time, unless it ends for another reason."""
        process = module._process
        if process.unanswered and process.exit_status is None:
            process.answer()
            run_until_idle()
            assert module.exit is None or "did not answer" not in module.reason
            assert call.is_done

    @rule(kind=st.sampled_from(KINDS), seconds=some_seconds, status=st.sampled_from([None, 0, 1]))
    def keeping_takes_its_time(
        self, kind: type[Module], seconds: float, status: int | None
    ) -> None:
        self.keeper.may_go_on.clear()
        before = len(self.launcher.processes)
        self._call(self.broker.add, kind.TYPE_STRING)
        self._call(self.broker.rm, [module.uid for module in self._placed()[:1]])
        self.keeper.may_go_on.set()
        gevent.sleep(0)  # the process of the first is started, and its place is kept
        self.keeper.may_go_on.clear()
        for process in self.launcher.processes[before:]:
            if status is not None:
                process.exit(status)
        self.clock.advance(seconds)
        self.keeper.may_go_on.set()
        run_until_idle()

    @rule()
    def the_service_crashes_and_comes_back(self) -> None:
        survivor = self.keeper.copy()
        for module in self._placed():
            survivor.items[module.uid].saved = module.saved
        self._note_answers()
        self._stop()  # what is kept from here on is lost with the service
        self.calls, self.tells, self.deadlines = [], {}, {}
        self.launcher = FakeLauncher(self._on_launch)
        places = {uid: each.place for uid, each in survivor.items.items()}
        unanswered = [uid for uid, place in places.items() if place is Place.ARRIVING]
        backgrounds = [uid for uid, place in places.items() if place is Place.BACKGROUND]
        expected = [*survivor.order, *unanswered]
        self._open(survivor)
        ended = survivor.history  # again, as faulty ones do
        expected = [uid for uid in expected if uid not in ended]
        assert [module.uid for module in self.broker.roster.order] == expected
        backgrounds = [uid for uid in backgrounds if uid not in ended]
        assert {module.uid for module in self._placed()} == {*expected, *backgrounds}

    # What always holds.

    def _note_answers(self) -> None:
        self.added |= {call.result["uid"] for call in self.calls if "uid" in (call.result or ())}

    @invariant()
    def what_was_added_is_kept_once(self) -> None:
        """Nothing is lost, and nothing is an item and ended."""
        self._note_answers()
        items, history = self.keeper.items.keys(), self.keeper.history.keys()
        assert not items & history
        assert self.added <= items | history

    @invariant()
    def what_has_a_place_is_kept_there(self) -> None:
        roster, kept = self.broker.roster, self.keeper
        assert [uid for uid in kept.order if roster.find(uid)] == [m.uid for m in roster.order]
        if roster.background is not None:
            assert kept.items[roster.background.uid].place is Place.BACKGROUND

    @invariant()
    def nothing_is_done_over_and_over(self) -> None:
        version = self.broker.roster.version
        run_until_idle()
        assert self.broker.roster.version == version
        assert not self.broker._reconciler._is_awake

    @invariant()
    def no_greenlet_has_failed(self) -> None:
        assert self.errors == []

    @invariant()
    def the_indices_of_the_roster_agree(self) -> None:
        roster, everyone = self.broker.roster, self._modules()
        assert all(module.state is not State.GONE for module in everyone)
        for state in State:
            assert set(roster.in_state(state)) == {m for m in everyone if m.state is state}
        at = {place: [m for m in everyone if roster.place_of(m) is place] for place in Place}
        assert set(roster.order) == set(at[Place.ORDER])
        assert set(roster.listed) == {*at[Place.ORDER], *at[Place.ARRIVING]}
        assert [roster.background] == (at[Place.BACKGROUND] or [None])
        assert set(roster.ready) == {m for m in at[Place.ORDER] if m.state in READY}
        assert set(roster.dismissed) == {m for m in at[Place.NOWHERE] if m.state in READY}
        assert all(roster.find(module.uid) is module for module in self._placed())

    @invariant()
    def every_process_belongs_to_a_module(self) -> None:
        owned = {module._process for module in self._modules()}
        assert set(self.launcher.living) <= owned

    @invariant()
    def what_was_saved_last_comes_back_right_before_init(self) -> None:
        for process, states in self.to_restore.items():
            begins = [*(["restore"] * len(states)), "init"]
            assert process.heard[: len(begins)] == begins[: len(process.heard)]
            if process not in self._renewed:
                assert process.restored == (states if process.heard else [])

    @invariant()
    def rm_comes_once_and_last_and_to_those_that_have_begun(self) -> None:
        for process in self.launcher.processes:
            if "rm" in process.heard:
                assert process.heard.index("rm") == len(process.heard) - 1
                assert "init" in process.accepted

    @invariant()
    def an_answer_reaches_whoever_asked(self) -> None:
        for cmd, call in self.tells.items():
            heard = [p for p in self.launcher.processes if f"do_{cmd}" in p.heard]
            assert len(heard) <= 1
            if call.result is not None:
                assert call.result == f"do_{cmd}"
                assert heard

    @invariant()
    def what_nobody_waits_for_is_not_sent(self) -> None:
        for cmd, call in self.tells.items():
            if call.client_has_left:
                assert not any(f"do_{cmd}" in p.heard for p in self.launcher.processes)

    @invariant()
    def what_was_removed_is_gone_in_time(self) -> None:
        for module, due in self.deadlines.items():
            assert module.state is State.GONE or self.clock.seconds < due

    def teardown(self) -> None:
        try:
            self._come_to_rest()
            self._stop()
        finally:
            self._resources.close()

    def _come_to_rest(self) -> None:
        """When all faults are over, everything becomes as it should be."""
        for process in self.launcher.living:
            if not process.leaves_unread:
                self.a_child_obeys(process)
        self.clock.advance(LONG)
        # Nothing but its removal ends what its own class keeps from playing. The command then
        # waits for the next one to play, which may hang as well.
        self._removed([each for each in self._modules() if isinstance(each, PlayHangs)])
        self.clock.advance(LONG)
        assert [call for call in self.calls if not call.is_done] == []
        assert not self.broker._reconciler._actions
        self.everyone_does_what_they_should()
        available = self.broker.standby_available()["ahead"]["available"]
        assert available == 1

    def a_child_obeys(self, process: FakeProcess) -> None:
        process.is_obedient = True
        process.connect()
        while process.unanswered:
            process.answer()
        run_until_idle()

    def everyone_does_what_they_should(self) -> None:
        raise NotImplementedError

    def _stop(self) -> None:
        """The service ends, and leaves nothing."""
        self.broker._supervision.stop_restarting()
        self.broker._reconciler.stop_starting()
        self.broker._factory.close()
        ending = gevent.spawn(self.broker.end_all, "was stopped with the service")
        self.clock.advance(OWN_REMOVE + LADDER + 3 * MOMENT)
        assert ending.ready()
        assert self.launcher.living == []
        assert self.errors == []


class QueueInterleavings(Interleavings):
    def make_broker(self) -> Broker:
        return Queue(KINDS, backgrounds=SOUND)

    @rule(kind=st.sampled_from(SOUND))
    def set_bg(self, kind: type[Module]) -> None:
        self._call(self.broker.set_bg, kind.TYPE_STRING)

    @precondition(lambda self: self.broker.roster.order)
    @rule(data=st.data())
    def mv(self, data: st.DataObject) -> None:
        uids = [module.uid for module in self.broker.roster.order]
        self._call(self.broker.mv, [data.draw(st.sampled_from(uids))])

    @invariant()
    def one_plays_at_most(self) -> None:
        assert len(self.broker.roster.in_state(State.PLAYING)) <= 1
        playing = [p for p in self.launcher.living if p.is_playing]
        assert len(playing) <= 1

    def everyone_does_what_they_should(self) -> None:
        roster = self.broker.roster
        ready = [module for module in roster.order if module.state in READY]
        turn = ready[0] if ready else roster.background
        for module in self._placed():
            if module.state in READY:
                assert (module.state is State.PLAYING) == (module is turn)
        unheld = [module for module in roster.order if module.state is not State.HELD]
        assert all(module.state is not State.WAITING for module in unheld[:2])


class PoolInterleavings(Interleavings):
    def make_broker(self) -> Broker:
        return Pool(KINDS)

    def everyone_does_what_they_should(self) -> None:
        states = {module.state for module in self._placed()}
        assert states <= {State.PLAYING, State.BACKOFF, State.STARTING, State.HELD}


@pytest.mark.parametrize("machine", [QueueInterleavings, PoolInterleavings])
def test_every_order_of_events_ends_well(machine: type[Interleavings]) -> None:
    machines.run(machine, examples=50, steps=40)
