"""Random lives of a queue, held against a model of it: one client's, and two clients' at once."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support import CHILDREN, Client, Refusal, Site, wait_until

pytestmark = pytest.mark.slow

#: Seconds after which one that does not answer is condemned; the others answer much sooner.
TIMEOUT = 1.5


def described(name: str) -> dict[str, Any]:
    """A module type. Without `site` it starts faster, and it starts a hundred times here."""
    process = [sys.executable, "-S", str(CHILDREN / f"{name}.py")]
    return {"process": process, "command_timeout": TIMEOUT, "natural_death_timeout": 1}


class Model:
    """What a queue is: names in order, a background, one of them playing; and what each heard.

    `hangs` are pairs of a name and the command that it does not answer: it is condemned then.
    """

    def __init__(self, hangs: Collection[tuple[str, str]] = ()) -> None:
        self.hangs = hangs
        self.order: list[str] = []
        self.background: str | None = None
        self.playing: str | None = None
        self.heard: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, name: str) -> None:
        self.heard[name].append("init")
        self.order.append(name)
        self.settle()

    def set_bg(self, name: str) -> None:
        self.heard[name].append("init")
        old, self.background = self.background, name
        self.lose([old] if old else [], "rm")

    def lose(self, names: list[str], last_word: str | None = None) -> None:
        """These leave, with `last_word` or by themselves."""
        for name in names:
            self.heard[name] += [last_word] if last_word else []
        self.order = [each for each in self.order if each not in names]
        self.background = None if self.background in names else self.background
        self.playing = None if self.playing in names else self.playing
        self.settle()

    def mv(self, names: list[str]) -> None:
        known = [each for each in names if each in self.order]
        self.order = [*known, *(each for each in self.order if each not in known)]
        self.settle()

    def settle(self) -> None:
        on_turn = self.order[0] if self.order else self.background
        if on_turn != self.playing:
            before, self.playing = self.playing, on_turn
            if before:
                self.tell(before, "suspend")
            if on_turn:
                self.tell(on_turn, "play")

    def tell(self, name: str, cmd: str) -> None:
        self.heard[name].append(cmd)
        if (name, cmd) in self.hangs:
            self.lose([name])

    def outcome(self) -> tuple[Any, ...]:
        return self.order, self.background, self.playing


class Twins:
    """The queue and the model; each step is done to both. Members are named by their number."""

    numbers = itertools.count()

    def __init__(self, queue: Client) -> None:
        self.queue, self.model = queue, Model()
        self.uids: dict[str, str] = {}

    def add(self) -> None:
        name = f"m{next(self.numbers)}"
        self.uids[name] = self.queue.add(name=name)
        self.model.add(name)

    def set_bg(self) -> None:
        name = f"b{next(self.numbers)}"
        self.uids[name] = self.queue("set_bg", type="well", args={"name": name})["uid"]
        self.model.set_bg(name)

    def rm(self, places: list[int]) -> None:
        names = self.members(places, self.everyone())
        self.queue("rm", uids=["nobody", *(self.uids[name] for name in names)])
        self.model.lose(names, "rm")

    def mv(self, places: list[int]) -> None:
        names = self.members(places, self.model.order)
        self.queue("mv", uids=[*(self.uids[name] for name in names), "nobody"])
        self.model.mv(names)

    def goes(self, way: str, place: int) -> None:
        """One child leaves, with a goodbye or without."""
        for name in self.members([place], self.everyone()):
            command = "tell_background" if name == self.model.background else "tell_module"
            try:
                self.queue(command, uid=self.uids[name], cmd=way)
            except Refusal:
                assert way == "exit"
            self.model.lose([name])

    def everyone(self) -> list[str]:
        return [*self.model.order, *([self.model.background] if self.model.background else [])]

    def members(self, places: list[int], among: list[str]) -> list[str]:
        """The names at these places, counted around; each once."""
        return list(dict.fromkeys(among[place % len(among)] for place in places if among))

    def expected(self) -> dict[str, Any]:
        def shown(name: str) -> tuple[str, str]:
            return name, "playing" if name == self.model.playing else "suspended"

        background = self.model.background
        return {
            "order": [shown(name) for name in self.model.order],
            "background": shown(background) if background else None,
            "heard": {name: self.model.heard[name] for name in self.uids},
        }

    def found(self) -> dict[str, Any]:
        names = {uid: name for name, uid in self.uids.items()}
        background = self.queue("bg")
        return {
            "order": [(names[each["uid"]], each["state"]) for each in self.queue("queue")],
            "background": (names[background["uid"]], background["state"]) if background else None,
            "heard": {name: self.queue.heard(name) for name in self.uids},
        }

    def compare(self, steps: list[tuple]) -> None:
        try:
            wait_until(lambda: self.found() == self.expected(), "both agree")
        except AssertionError:
            assert self.found() == self.expected(), f"after {steps}"


BOTH = ("modules", "backgrounds")
place = st.integers(0, 5)
steps = st.one_of(
    *3 * [st.tuples(st.just("add"))],  # there should be some to do things to
    st.tuples(st.just("set_bg")),
    st.tuples(st.just("rm"), st.lists(place, max_size=2)),
    st.tuples(st.just("mv"), st.lists(place, max_size=3)),
    st.tuples(st.just("goes"), st.sampled_from(["leave", "exit"]), place),
)


@pytest.fixture(scope="module")
def queue(tmp_path_factory) -> Iterator[Client]:
    types = {key: {name: described(name) for name in ("well", "moody")} for key in BOTH}
    site = Site(tmp_path_factory.mktemp("model"), ("queue",), {"queue": types}).start()
    yield Client(site, "queue")
    site.close()


lives = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],  # a failure takes seconds to see: too long to look for a shorter one
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@settings(lives, max_examples=15)
@given(st.lists(steps, min_size=12, max_size=12))
def test_queue_does_what_the_model_does(queue: Client, life: list[tuple]) -> None:
    twins = Twins(queue)
    try:
        for done, (name, *arguments) in enumerate(life, start=1):
            step: Callable[..., None] = getattr(twins, name)
            step(*arguments)
            twins.compare(life[:done])
    finally:
        queue.clear()


class Cast:
    """Some modules in a queue, two clients at once, and what the queue has become then."""

    numbers = itertools.count()

    def __init__(self, queue: Client, hanging: list[str | None]) -> None:
        """Begin with one module for each of `hanging`: the command that it does not answer."""
        self.queue = queue
        self.uids: dict[str, str] = {}
        self.pids: dict[str, int] = {}
        self.hangs: set[tuple[str, str]] = set()
        self.doomed: set[str] = set()
        queue.site.folder.joinpath("stage").unlink(missing_ok=True)
        self.first = [self.begin(hangs) for hangs in hanging]

    def begin(self, hangs: str | None) -> str:
        name = self.new_name()
        if hangs:
            self.hangs.add((name, hangs))
        args = {"name": name, "hangs": [hangs] if hangs else []}
        uid = self.uids[name] = self.queue("add", type="moody", args=args)["uid"]
        self.pids[name] = wait_until(lambda: self.queue.parameters(uid).get("pid"), "its pid")
        return name

    def new_name(self) -> str:
        return f"c{next(self.numbers)}"

    def resolved(self, step: tuple) -> tuple:
        """A step of a client, with names in the place of numbers."""
        kind, *arguments = step
        if kind in ("add", "set_bg"):
            return kind, self.new_name()
        names = list(dict.fromkeys(self.first[place % len(self.first)] for place in arguments[0]))
        if kind == "crash":
            self.doomed.update(names)
        return kind, names

    def perform(self, steps: list[tuple]) -> None:
        """What one client does, one command after the other."""
        for kind, subject in steps:
            if kind in ("add", "set_bg"):
                answer = self.queue(kind, type="moody", args={"name": subject})
                self.uids[subject] = answer["uid"]
            elif kind == "crash":
                for name in subject:
                    with contextlib.suppress(ProcessLookupError):  # it has been removed already
                        os.kill(self.pids[name], signal.SIGKILL)
            else:
                self.queue(kind, uids=[self.uids[name] for name in subject])

    def explanations(self, one: list[tuple], other: list[tuple]) -> list[tuple]:
        """What the queue may have become: one outcome for each order of the commands."""
        length = len(one) + len(other)
        outcomes = []
        for places in itertools.combinations(range(length), len(one)):
            model = Model(self.hangs)
            for name in self.first:
                model.add(name)
            steps = iter(one), iter(other)
            for number in range(length):
                kind, subject = next(steps[number not in places])
                if kind == "rm":
                    model.lose(subject, "rm")
                elif kind == "crash":
                    model.lose(subject)
                else:
                    getattr(model, kind)(subject)
            outcomes.append(model.outcome())
        return outcomes

    def outcome(self) -> tuple[Any, ...]:
        names = {uid: name for name, uid in self.uids.items()}
        roster, background = self.queue("queue"), self.queue("bg")
        everyone = [*roster, *([background] if background else [])]
        playing = [names[each["uid"]] for each in everyone if each["state"] == "playing"]
        assert len(playing) <= 1
        return (
            [names[each["uid"]] for each in roster],
            names[background["uid"]] if background else None,
            playing[0] if playing else None,
        )

    def assert_one_on_stage(self) -> None:
        """Nobody was told to play before the one before had left the stage, or was lost."""
        lost = self.doomed | {name for name, _ in self.hangs}
        on_stage: set[str] = set()
        for line in self.queue.site.folder.joinpath("stage").read_text().splitlines():
            name, cmd = line.split()
            if cmd == "play":
                assert on_stage <= lost, f"{name} was told to play beside {on_stage}"
                on_stage = {name}
            elif cmd in ("suspend", "rm"):
                on_stage.discard(name)


hanging = st.lists(st.sampled_from([None, None, None, "play", "suspend"]), min_size=2, max_size=3)
places = st.lists(place, min_size=1, max_size=2)
command = st.one_of(
    st.tuples(st.just("add")),
    st.tuples(st.just("set_bg")),
    st.tuples(st.just("rm"), places),
    st.tuples(st.just("mv"), places),
    st.tuples(st.just("crash"), places),
)


@settings(lives, max_examples=25)
@given(hanging, *2 * [st.lists(command, min_size=1, max_size=3)])
def test_two_clients_at_once_are_explained_by_an_order_of_their_commands(
    queue: Client, hanging: list[str | None], one: list[tuple], other: list[tuple]
) -> None:
    try:
        hanging[0] = None if hanging[0] == "play" else hanging[0]  # it would never be added
        cast = Cast(queue, hanging)
        clients = [[cast.resolved(step) for step in steps] for steps in (one, other)]
        with ThreadPoolExecutor() as threads:
            for done in [threads.submit(cast.perform, steps) for steps in clients]:
                done.result()
        explanations = cast.explanations(*clients)
        try:
            wait_until(lambda: cast.outcome() in explanations, "it is explained")
        except AssertionError:
            raise AssertionError(
                f"{cast.outcome()} is none of {explanations} after {clients}, hangs: {cast.hangs}"
            ) from None
        cast.assert_one_on_stage()
    finally:
        queue.clear()
