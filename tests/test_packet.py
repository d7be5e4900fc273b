"""Packets: success, failure, one line each."""

from __future__ import annotations

from typing import Any

import pytest

from shmooze.errors import Failure, PacketError, ShmoozeError
from shmooze.lib import packet


def test_good_says_success_and_result() -> None:
    assert packet.good([1, {"a": None}]) == {"success": True, "result": [1, {"a": None}]}


def test_good_without_a_result_says_null() -> None:
    assert packet.encode(packet.good()) == b'{"success":true,"result":null}\n'


def test_error_says_failure_and_words() -> None:
    assert packet.error("no such uid") == {"success": False, "error": "no such uid"}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("first\nsecond", "first second"),
        ("  Traceback:\r\n\t File  \n", "Traceback: File"),
        (ValueError("of an\nexception"), "of an exception"),
        ("", ""),
    ],
)
def test_error_is_one_line_whatever_it_was_given(message: Any, words: str) -> None:
    assert packet.error(message)["error"] == words


@pytest.mark.parametrize("result", [None, 0, False, "", [], {"success": False}])
def test_assert_success_gives_the_result(result: Any) -> None:
    assert packet.assert_success(packet.good(result)) == result


def test_assert_success_reads_a_missing_result_as_null() -> None:
    assert packet.assert_success({"success": True}) is None


def test_assert_success_raises_the_other_sides_words() -> None:
    with pytest.raises(Failure, match=r"^the disk is full$"):
        packet.assert_success(packet.error("the disk is full"))


@pytest.mark.parametrize(
    "value",
    [
        None,
        "success",
        [],
        [{"success": True}],
        {},
        {"result": 1},
        {"success": 1},
        {"success": "true"},
        {"success": None},
        {"success": False},
    ],
)
def test_assert_success_refuses_what_is_no_answer(value: Any) -> None:
    with pytest.raises(PacketError, match="malformed answer"):
        packet.assert_success(value)


def test_words_and_malformed_answers_have_one_root_but_are_told_apart() -> None:
    assert issubclass(Failure, ShmoozeError)
    assert issubclass(PacketError, ShmoozeError)
    assert not issubclass(PacketError, Failure)


@pytest.mark.parametrize(
    "value",
    [
        packet.good("line\nbreak\r\u2028\u0085\0"),
        {"ключ": "значение \U0001f600"},
        {"big": 2**63 - 1, "deep": [[[[]]]], "float": 0.1, "none": None},
    ],
)
def test_a_packet_is_one_line_and_comes_back_as_it_was(value: Any) -> None:
    line = packet.encode(value)
    assert line.endswith(b"\n")
    assert len(line.decode().splitlines()) == 1
    assert packet.decode(line) == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_has_no_word_for_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        packet.encode(packet.good({"here": [number]}))


def test_what_is_no_json_value_is_refused() -> None:
    with pytest.raises(TypeError):
        packet.encode(packet.good(object()))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{",
        b"{'a': 1}",
        b'{"a": 1} {"b": 2}\n',
        b"\xff\xfe",
        b'"\xe9"',
        b"GET / HTTP/1.1\r\n",
        b"[" * 100_000,
    ],
    ids=lambda line: repr(line[:20]),
)
def test_what_is_not_json_is_no_packet(line: bytes) -> None:
    with pytest.raises(PacketError, match=r"^not JSON: "):
        packet.decode(line)


@pytest.mark.parametrize("line", [b'{"result": NaN}', b"[Infinity]", b"-Infinity"])
def test_nan_is_refused_on_its_way_in_too(line: bytes) -> None:
    """It would pass, and break the next encoder (design.md, known traps)."""
    with pytest.raises(PacketError):
        packet.decode(line)


def test_words_of_an_error_command_no_terminal() -> None:
    assert packet.error("no\x1b[31m way\n\x00 é")["error"] == r"no\x1b[31m way \x00 é"
