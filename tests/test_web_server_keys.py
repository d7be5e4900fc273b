"""Mistakes in what a type says of its web server, and a section of slots: each in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from shmooze import pool, queue, settings
from shmooze.broker.catalog import by_type, types_from_settings
from shmooze.errors import SettingsError
from shmooze.modules import Module
from shmooze.modules.channel.adapters import has_door
from shmooze.pool import Pool
from shmooze.settings import Settings

MISTAKES = [
    ({"http": {"idel": 5}}, "http.idel", "is unknown; did you mean `idle`? known: port, ready,"),
    ({"http": {"port": 0}}, "http.port", 'must be "auto", a port number, or {"from": the name'),
    ({"http": {"port": {"from": ""}}}, "http.port", 'must be "auto", a port number, or {"from"'),
    ({"http": {"ready": "health"}}, "http.ready", "must be a path that starts with '/'"),
    ({"http": {"idle": 0}}, "http.idle", "must be a number of seconds above 0, or null, not 0"),
    ({"http": {"max_requests": 0}}, "http.max_requests", "must be a whole number above 0, or"),
    ({"http": {"not_activity": ["("]}}, "http.not_activity", 'has "(" in it, which is not a'),
    ({"http": True}, "http", "must be an object, or null, not true"),
    ({"http": {"keep_path": True}}, "http.keep_path", "is true, and `process` has no `{path}`"),
    (
        {"adapter": "command", "process": ["x", "{port}"]},
        "process",
        "has `{port}`, and the type has no `http`",
    ),
    (
        {"process": ["x", "{port}"], "http": {"port": {"from": "p"}}},
        "process",
        "has `{port}`, and `http.port` is reported by the program itself",
    ),
    (
        {
            "adapter": "command",
            "http": {"port": {"from": "prt"}},
            "parameters": {"port": "on ([0-9]+)"},
        },
        "http.port",
        "names a parameter that `parameters` does not have; did you mean `port`?",
    ),
]


@pytest.fixture
def use(tmp_path: Path) -> Iterator[Any]:
    """A function that makes these the settings of this process."""

    def use(values: dict[str, Any]) -> None:
        file = tmp_path / "settings.json"
        file.write_text(json.dumps(values))
        settings.use(Settings.load({"SHMOOZE_SETTINGS": str(file)}))

    yield use
    settings.use(None)


@pytest.mark.parametrize(("keys", "key", "words"), MISTAKES, ids=str)
def test_mistake_is_told_alike_in_the_settings_and_in_a_class(
    use: Any, keys: dict[str, Any], key: str, words: str
) -> None:
    described = {"process": ["x"], **keys}
    use({"pool": {"modules": {"t": described}}})
    with pytest.raises(SettingsError) as bad:
        by_type(types_from_settings("pool", "modules"))
    assert f"settings.json: `pool.modules.t.{key}" in str(bad.value)
    assert words in str(bad.value)
    assert len(str(bad.value).splitlines()) == 1
    attributes = {**described}
    if "parameters" in attributes:
        attributes["parameter_patterns"] = attributes.pop("parameters")
    with pytest.raises(SettingsError) as bad:
        by_type([type("Own", (Module,), {"TYPE_STRING": "own", **attributes})])
    assert str(bad.value).startswith(f"Own: `{key}")
    assert words in str(bad.value)


def test_dictionary_of_a_class_is_checked_and_completed() -> None:
    class Own(Module):
        TYPE_STRING = "own"
        process = ("x", "{port}")
        http: Any = {"ready": "/health"}

    by_type([Own])
    assert (Own.http.ready, Own.http.port, Own.http.max_wait) == ("/health", "auto", 60.0)


def test_class_may_call_something_of_its_own_http() -> None:
    class Old(Module):
        TYPE_STRING = "old"
        process = ("x", "{port}")

        def http(self) -> None:  # type: ignore[override]
            pass

    by_type([Old])
    assert not has_door(Old)


def test_key_of_a_section_that_means_nothing_there_is_told(use: Any) -> None:
    types = {"modules": {"t": {"process": ["x"]}}}
    use({"queue": {"slots": 2, **types}, "pool": {"slots": 2, "route_by": "json:model", **types}})
    with pytest.raises(SettingsError, match=r"`queue.slots` is a key of pools: of a queue, one"):
        queue._from_settings("queue")
    with pytest.raises(SettingsError, match=r"`pool.route_by` needs a type with `http`"):
        pool._from_settings("pool").start()
    with pytest.raises(SettingsError, match=r"`pool.slots` is not used by this program: pass it"):
        Pool(types_from_settings("pool", "modules")).start()
    with pytest.raises(SettingsError, match=r"Pool: `slots` must be a whole number above 0, not 0"):
        Pool([], slots=0)
    use({"pool": {"slots": 0, **types}})
    with pytest.raises(SettingsError, match=r"`pool.slots` must be a whole number above 0, or nu"):
        pool._from_settings("pool")
    use({"pool": {"route_by": "model", **types}})
    with pytest.raises(SettingsError, match=r'`pool.route_by` must be "json:" and a key'):
        pool._from_settings("pool").start()


def test_settings_of_the_example_are_sound(use: Any) -> None:
    use(json.loads((ROOT / "examples" / "models" / "settings.json").read_text()))
    types = by_type(types_from_settings("models", "modules"))
    assert list(types) == ["small", "large"]
    assert all(has_door(each) for each in types.values())
    assert pool._from_settings("models").slots == 1
