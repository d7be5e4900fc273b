"""Which process has connected to a port, according to every source that the kernel offers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from support import AS_ORDINARY_USER, ROOT, child

from shmooze.processes import peer, socket_ends

#: Where to listen, and where a client connects to.
WAYS = [
    ("127.0.0.1", "127.0.0.1"),
    ("::1", "::1"),
    ("127.0.0.1", "::ffff:127.0.0.1"),  # as programs with IPv6 sockets only do
    ("::", "127.0.0.1"),
    ("::", "::1"),
]


@pytest.fixture(params=["sock_diag", "tables of /proc/net"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "tables" in request.param:
        monkeypatch.setattr(socket_ends, "_ask_kernel", lambda *ends: None)


@contextmanager
def connected(listen: str, connect: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect. Yields the server's end and the client's."""
    families = [socket.AF_INET6 if ":" in host else socket.AF_INET for host in (listen, connect)]
    with ExitStack() as stack:
        server = socket.create_server(
            (listen, 0), family=families[0], dualstack_ipv6=listen == "::"
        )
        stack.enter_context(server)
        client = stack.enter_context(socket.socket(families[1]))
        client.connect((connect, server.getsockname()[1]))
        yield stack.enter_context(server.accept()[0]), client


@pytest.fixture
def stranger() -> Iterator[int]:
    """Yield the pid of a process that has none of our connections open."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("listen, connect", WAYS)
def test_only_the_process_that_connected_is_accepted(
    listen: str, connect: str, stranger: int
) -> None:
    with connected(listen, connect) as (ours, _):
        assert peer.belongs_to([stranger, os.getpid()], ours)
        assert not peer.belongs_to([stranger], ours)


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("listen, connect", WAYS)
def test_unread_data_at_the_other_end_is_detected(listen: str, connect: str) -> None:
    with connected(listen, connect) as (ours, other):
        assert not peer.has_unread(ours)
        ours.sendall(b"init\n")
        assert peer.has_unread(ours)
        assert other.recv(100) == b"init\n"
        assert not peer.has_unread(ours)


@pytest.mark.usefixtures("source")
def test_a_closed_end_belongs_to_no_process() -> None:
    with connected("127.0.0.1", "127.0.0.1") as (ours, other):
        other.close()
        assert not peer.belongs_to([os.getpid()], ours)


def in_own_mounts(change: str, *argv: str) -> list[str]:
    """Return an argv that runs another one after a change to the mounted file systems."""
    return ["unshare", "--mount", "sh", "-c", f'{change} && exec "$@"', "sh", *argv]


HIDDEN = in_own_mounts("mount -t proc -o hidepid=2 proc /proc", *AS_ORDINARY_USER)

#: How the judge is started, and whether it accepts a connection made by root or by nobody.
CASES: dict[str, tuple[list[str], list[str], bool, bool]] = {
    "with everything available": ([], [], False, False),
    "with a foreign /proc": (["unshare", "--pid", "--fork", "--kill-child"], [], True, False),
    "without /proc": (in_own_mounts("umount --lazy /proc"), [], True, False),
    "for a process that may not be inspected": (AS_ORDINARY_USER, ["unreadable"], False, True),
    "for a process that is hidden": (HIDDEN, ["unreadable"], False, True),
}


@pytest.mark.skipif(os.getuid() != 0, reason="changing the user and hiding /proc need root")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("case", CASES)
def test_if_a_process_cannot_be_inspected_its_user_decides(case: str, host: str) -> None:
    wrapper, arguments, by_root, by_nobody = CASES[case]
    judge = subprocess.Popen(
        [*wrapper, *child("judge", host, *arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with judge:
        assert judge.stdout and judge.stderr
        try:
            port = judge.stdout.readline().strip()
            if not port and "not permitted" in judge.stderr.read():
                pytest.skip("namespaces are not permitted here")
            code = f"import socket; socket.create_connection(({host!r}, {port})).recv(1)"
            verdicts = []
            for user in ([], AS_ORDINARY_USER):
                subprocess.run([*user, sys.executable, "-c", code], check=True)
                verdicts.append(judge.stdout.readline().strip() == "True")
            assert verdicts == [by_root, by_nobody]
        finally:
            judge.kill()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_listener_is_known_by_the_processes_that_have_it_open(source: None, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, dualstack_ipv6=":" in host) as listener:
        port = listener.getsockname()[1]
        assert peer.listen_on([os.getpid()], port)
        assert not peer.listen_on([], port)
    assert not peer.listen_on([os.getpid()], port)
