"""Random lives of a queue, held against a model of it."""

from __future__ import annotations

import itertools
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support import CHILDREN, Client, Refusal, Site, wait_until

#: Without `site` it starts faster, and it starts a hundred times here.
WELL = {"process": [sys.executable, "-S", str(CHILDREN / "well.py")]}


class Model:
    """What a queue is: names in order, a background, one of them playing; and what each heard."""

    def __init__(self) -> None:
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
        self.order = [*names, *(each for each in self.order if each not in names)]
        self.settle()

    def settle(self) -> None:
        on_turn = self.order[0] if self.order else self.background
        if on_turn != self.playing:
            if self.playing:
                self.heard[self.playing].append("suspend")
            if on_turn:
                self.heard[on_turn].append("play")
            self.playing = on_turn


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
            wait_until(lambda: self.found() == self.expected(), "both agree", patience=5)
        except AssertionError:
            assert self.found() == self.expected(), f"after {steps}"


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
    types = {"modules": {"well": WELL}, "backgrounds": {"well": WELL}}
    site = Site(tmp_path_factory.mktemp("model"), ("queue",), {"queue": types}).start()
    yield Client(site, "queue")
    site.close()


@settings(
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],  # a failure takes seconds to see: too long to look for a shorter one
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
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
