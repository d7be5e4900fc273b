"""Rows: the latency of events from a change to the subscribers."""

from __future__ import annotations

import json
import re
import select
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.lab import Asker, Lab, Site, child, process_of
from bench.row import LOWER, growth, row

#: Changes per measurement. The pause between two lets the event hub send what it has merged.
CHANGES = 30
PAUSE = 0.05
SUBSCRIBERS = 1000


class Subscribers:
    """Many event streams, read by one loop. Without a `path`, no request is sent."""

    def __init__(self, port: int, count: int, path: str | None = None) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        for _ in range(count):
            each = socket.create_connection(("127.0.0.1", port), timeout=30)
            if path is not None:
                each.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            self._sockets[each.fileno()] = each
            self._poll.register(each, select.EPOLLIN)
        if path is not None:
            self.wait_for(b"event: snapshot")

    def wait_for(self, text: bytes) -> tuple[bytes, float]:
        """Wait until all have received an event with this text. Returns the last and its time."""
        received = dict.fromkeys(self._sockets, b"")
        missing = set(received)
        while missing:
            ready = self._poll.poll(30)
            assert ready, f"{len(missing)} subscribers received nothing"
            for number, _ in ready:
                received[number] += self._sockets[number].recv(1 << 16)
                if text in received[number] and received[number].endswith((b"\n\n", b"\n\n\r\n")):
                    missing.discard(number)
        return received[number], time.monotonic()

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()
        self._poll.close()


def latency_ms(event: bytes, arrived: float) -> float:
    """Milliseconds from the timestamp in an event to its arrival."""
    return (arrived - float(re.search(rb'"stamp":([0-9.]+)', event)[1])) * 1000


@contextmanager
def subscribed(port: int, count: int, path: str | None = None) -> Iterator[Subscribers]:
    subscribers = Subscribers(port, count, path)
    try:
        yield subscribers
    finally:
        subscribers.close()


class Changer:
    """Makes a module change a parameter, from a thread, as another client would."""

    def __init__(self, site: Site, port: int, path: str) -> None:
        uid = site.ask("pool", "add", type="polite")["uid"]
        packet = {"cmd": "tell_module", "args": {"uid": uid, "cmd": "stamp"}}
        self._body, self._ask = json.dumps(packet).encode(), Asker(port, path)
        self._uid = uid

    def begin(self) -> threading.Thread:
        time.sleep(PAUSE)
        thread = threading.Thread(target=self._tell)
        thread.start()
        return thread

    def _tell(self) -> None:
        self._ask.send(self._body)

    def tell_nothing_ms(self) -> float:
        """Milliseconds of a `tell_module` that changes nothing."""
        begin = time.monotonic()
        self._ask("tell_module", uid=self._uid, cmd="nothing")
        return (time.monotonic() - begin) * 1000


@row(
    "event",
    "from change to event at one subscriber, through the gateway, p50",
    versus="one `tell_module`",
    goal=2,
    better=LOWER,
    unit="ms",
    quick=True,
)
def event_versus_tell(lab: Lab) -> Iterator[tuple[float, float]]:
    with lab.ours("wsgi", "pool", polite=child("polite")) as site:
        port = site.ports["wsgi"]
        changer = Changer(site, port, "/pool")
        with subscribed(port, 1, "/pool/events") as subscribers:
            while True:
                latencies, commands = [], []
                for _ in range(CHANGES):
                    telling = changer.begin()
                    latencies.append(latency_ms(*subscribers.wait_for(b'"stamp"')))
                    telling.join()
                    commands.append(changer.tell_nothing_ms())
                yield statistics.median(latencies), statistics.median(commands)


def last_of_many_ms(changer: Changer, subscribers: Subscribers) -> float:
    times = []
    for _ in range(CHANGES // 3):
        telling = changer.begin()
        times.append(latency_ms(*subscribers.wait_for(b'"stamp"')))
        telling.join()
    return statistics.median(times)


@row(
    "subscribers",
    "from change to event at the last of 1,000 subscribers",
    versus="plain send to 1,000 sockets",
    goal=5,
    better=LOWER,
    unit="ms",
    quick=True,
)
def many_subscribers_versus_bare_sends(lab: Lab) -> Iterator[tuple[float, float]]:
    with (
        lab.ours("pool", polite=child("polite")) as site,
        process_of(child("bare_sender")) as sender,
    ):
        port = site.ports["pool"]
        changer = Changer(site, port, "/")
        with (
            subscribed(port, SUBSCRIBERS, "/events") as ours,
            subscribed(int(sender.stdout.readline()), SUBSCRIBERS) as bare,
        ):
            while True:
                yield last_of_many_ms(changer, ours), last_of_bare_ms(sender, bare)


def last_of_bare_ms(sender: subprocess.Popen[bytes], subscribers: Subscribers) -> float:
    times = []
    for _ in range(CHANGES // 3):
        time.sleep(PAUSE)
        sender.stdin.write(b"\n")
        times.append(latency_ms(*subscribers.wait_for(b'"stamp"')))
    return statistics.median(times)


@row(
    "event-of-many",
    "CPU of an event about one of 10,000 modules",
    versus="encoding it",
    goal=20,
    better=LOWER,
    unit="ms",
    quick=True,
    limit=0.5,
)
def event_of_many_versus_encoding(lab: Lab) -> Iterator[tuple[float, float]]:
    with process_of(child("crowded_pool")) as pool:
        while True:
            pool.stdin.write(b"\n")
            ours, theirs = map(float, pool.stdout.readline().split())
            yield ours, theirs


@growth(
    "grow-subscribers",
    "subscribers",
    "from change to event at the last subscriber of a service",
    "the same through the gateway",
)
def events_for_many(lab: Lab, numbers: tuple[int, ...]) -> Iterator[tuple[float, float]]:
    with lab.ours("wsgi", "pool", polite=child("polite")) as site:
        service, gateway = site.ports["pool"], site.ports["wsgi"]
        changer = Changer(site, service, "/")
        for number in numbers:
            with subscribed(service, number, "/events") as subscribers:
                direct = last_of_many_ms(changer, subscribers)
            with subscribed(gateway, number, "/pool/events") as subscribers:
                yield direct, last_of_many_ms(changer, subscribers)
