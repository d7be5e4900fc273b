"""Whatever comes in: each decoder takes it or says in one line why not, and nothing else happens.

A few examples each, always the same; `scripts/fuzz` tries many more, others each time.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gevent import socket
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from shmooze.errors import PacketError, SettingsError
from shmooze.lib import packet
from shmooze.modules.channel.stream import Breach
from shmooze.modules.channel.update_stream import UpdateStream
from shmooze.modules.channel.updates import SetParameters, Update
from shmooze.runtime import declared, jsonsafe
from shmooze.settings import Settings
from shmooze.web.limits import Limits
from shmooze.web.request import BadRequest, Head, HungUp, Incoming, parse_head

pytestmark = pytest.mark.slow

EXAMPLES = os.environ.get("SHMOOZE_FUZZ")

fuzz = settings(
    max_examples=int(EXAMPLES or 300),
    derandomize=EXAMPLES is None,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
)

#: JSON as everybody writes it, and what only some take for JSON.
numbers = st.one_of(st.integers(), st.floats(), st.integers(-(1 << 70), 1 << 70))
texts = st.text(st.characters(exclude_categories=()), max_size=20)  # half surrogate pairs too
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
deep = st.integers(1, 200).map(lambda n: b"[" * n + b"1" + b"]" * n)
json_bytes = st.one_of(values.map(lambda value: json.dumps(value).encode()), deep)


@st.composite
def damaged(draw: Any, good: st.SearchStrategy[bytes]) -> bytes:
    """Bytes with some of them lost, doubled or replaced."""
    data = bytearray(draw(good))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


anything = st.one_of(st.binary(max_size=100), json_bytes, damaged(json_bytes))


def assert_can_go_out(value: Any) -> None:
    """Every encoder can write it, and reads it back as it was."""
    assert msgspec.json.decode(msgspec.json.encode(value)) == value
    assert packet.decode(packet.encode(value)) == value


def is_one_line(words: str) -> bool:
    return bool(words) and len(words.splitlines()) == 1


@fuzz
@given(anything)
def test_what_a_client_sends_can_go_out_again_or_is_refused(data: bytes) -> None:
    try:
        value = jsonsafe.decode(data)
    except PacketError as bad:
        assert is_one_line(str(bad))
        return
    assert_can_go_out(value)


@fuzz
@given(anything)
def test_a_packet_is_decoded_or_refused(line: bytes) -> None:
    try:
        value = packet.decode(line)
    except PacketError as bad:
        assert is_one_line(str(bad))
        return
    json.dumps(value, allow_nan=False)


commands = st.sampled_from(["set_parameters", "unset_parameters", "rm", "dance"])
updates = st.builds(
    lambda cmd, args: {"cmd": cmd, "args": {"parameters": args}},
    commands | values,
    st.dictionaries(texts, values, max_size=3) | values,
).map(lambda update: json.dumps(update).encode())


class Heard:
    """An update stream whose other end is our own."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self.answers = 0
        self.stream = UpdateStream(self.take, lambda reason, breach: None)

    def take(self, update: Update, size: int, count: int) -> None:
        assert size > 0
        assert count > 0
        if isinstance(update, SetParameters):
            self.parameters.update(update.args.parameters)


def as_lines(sent: list[bytes]) -> list[bytes]:
    """Without those that are more than one."""
    return [line for line in sent if b"\n" not in line]


@fuzz
@given(st.lists(st.one_of(anything, updates, damaged(updates)), min_size=1, max_size=5))
def test_what_a_child_sends_can_go_out_again_or_is_refused(sent: list[bytes]) -> None:
    heard, lines = Heard(), as_lines(sent) or [b""]
    try:
        heard.stream._take(b"\n".join(lines))
    except Breach as bad:
        assert is_one_line(str(bad))
    else:
        assert sum(count for _, count in heard.stream._owed) == len(lines)
    for answer, _ in heard.stream._owed:
        assert isinstance(json.loads(answer)["success"], bool)
    assert_can_go_out(heard.parameters)


parameters = st.dictionaries(st.sampled_from("abc"), values, max_size=2)
good_updates = parameters.map(
    lambda each: {"cmd": "set_parameters", "args": {"parameters": each}}
).map(lambda update: json.dumps(update, ensure_ascii=False).encode(errors="surrogatepass"))
#: Whole lines that a careless reader of many would take for one, or for two.
tricky = st.sampled_from([b"", b" ", b"{", b"}", b"\r"]) | st.tuples(
    good_updates, good_updates
).map(b"".join)


@fuzz
@given(st.lists(st.one_of(good_updates, good_updates, updates, damaged(updates), tricky)))
def test_updates_that_come_together_are_taken_as_if_one_by_one(sent: list[bytes]) -> None:
    lines = as_lines(sent) or [b""]
    together, alone = Heard(), Heard()
    reasons = []
    for heard, blocks in ((together, [b"\n".join(lines)]), (alone, lines)):
        try:
            for block in blocks:
                heard.stream._take(block)
            reasons.append("")
        except Breach as bad:
            reasons.append(str(bad))
    assert reasons[0] == reasons[1]
    assert together.parameters == alone.parameters
    assert together.stream._owed == alone.stream._owed


HEADS = [
    b"POST /queue HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
    b"GET / HTTP/1.0\r\nhost: [::1]:80\r\nX: y\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
]
requests = st.one_of(st.sampled_from(HEADS), st.binary(max_size=200))
LIMITS = Limits(max_header=200, max_url=60, max_body=50, header_timeout=0.2, body_timeout=0.2)


@fuzz
@given(damaged(requests) | st.lists(damaged(requests), max_size=3).map(b"".join))
def test_a_connection_carries_whole_requests_or_is_refused(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        incoming = Incoming(ours, LIMITS)
        for _ in range(len(sent) + 1):
            try:
                incoming.wait()
                head = incoming.head()
                body = incoming.body(head)
            except HungUp:
                return
            except BadRequest as bad:
                assert 400 <= bad.status <= 599
                assert is_one_line(str(bad))
                return
            assert len(body) <= LIMITS.max_body
            assert head.target.startswith("/")
        raise AssertionError("more requests than bytes")


@fuzz
@given(damaged(st.sampled_from(HEADS)).map(lambda text: text.partition(b"\r\n\r\n")[0]))
def test_a_head_is_one_that_cannot_be_misread_or_is_refused(text: bytes) -> None:
    try:
        head = parse_head(text, Limits())
    except BadRequest as bad:
        assert is_one_line(str(bad))
        return
    assert isinstance(head, Head)
    assert head.headers["host"]
    assert not {"content-length", "transfer-encoding"} <= set(head.headers)
    assert all(name == name.lower() and "_" not in name for name in head.headers)
    assert not any(c < " " and c != "\t" for value in head.headers.values() for c in value)


keys = st.sampled_from(
    ["ports", "public", "static_path", "wsgi_prefix", "log_database_path", "queue", "name"]
)
files = st.dictionaries(keys, values, max_size=4).map(lambda value: json.dumps(value).encode())


@fuzz
@given(st.one_of(anything, files, damaged(files)))
def test_a_settings_file_is_good_or_one_line_says_why(tmp_path_factory: Any, text: bytes) -> None:
    file = Path(tmp_path_factory.getbasetemp()) / "fuzzed.json"
    file.write_bytes(text)
    try:
        read = declared.check(Settings.load({"SHMOOZE_SETTINGS": str(file), "HOME": "/home/ada"}))
    except SettingsError as bad:
        assert str(bad).startswith(f"settings file {file}: ")
        return
    assert read.public_settings is not None
    assert all(0 < port < 65536 for port in read.services.values())
