"""Rows: a program that is started and stopped on command, beside supervisors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from support import wait_until

from bench import others, start_stop
from bench.lab import Asker, Lab
from bench.row import LOWER, row

#: Starts and stops on each side for one measurement.
COUNT = 30

#: The median milliseconds of so many starts and stops.
Medians = Callable[[int], list[float]]

SUPERVISORD = """
[supervisord]
nodaemon = true
logfile = {folder}/supervisord.log
pidfile = {folder}/supervisord.pid
childlogdir = {folder}
[unix_http_server]
file = {folder}/socket
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:program]
command = {program}
autostart = false
autorestart = false
startsecs = 0
"""
CIRCUS = """
[circus]
endpoint = ipc://{folder}/endpoint
pubsub_endpoint = ipc://{folder}/events
statsd = false
[watcher:program]
cmd = {program}
autostart = false
"""


@contextmanager
def ours(lab: Lab, through_gateway: bool) -> Iterator[Medians]:
    program = {"adapter": "command", "process": start_stop.PROGRAM}
    with lab.ours("wsgi", "pool", program=program) as site:
        ports = site.ports
        ask = Asker(ports["wsgi"], "/pool") if through_gateway else Asker(ports["pool"])
        uids: list[str] = []
        yield lambda count: start_stop.medians(
            lambda: uids.append(ask("add", type="program")["uid"]),
            lambda: ask("rm", uids=[uids.pop()]),
            count,
        )


@contextmanager
def supervisord(lab: Lab) -> Iterator[Medians]:
    folder = lab.new_folder()
    file = folder / "supervisord.conf"
    file.write_text(SUPERVISORD.format(folder=folder, program=" ".join(start_stop.PROGRAM)))
    argv = [str(others.folder() / "supervisord"), "-c", str(file)]
    with others.running(argv, folder):
        wait_until((folder / "socket").exists, "supervisord listens")
        with others.client("supervisord_client", str(folder / "socket")) as client:
            yield client


@contextmanager
def circus(lab: Lab) -> Iterator[Medians]:
    folder = lab.new_folder()
    file = folder / "circus.ini"
    file.write_text(CIRCUS.format(folder=folder, program=" ".join(start_stop.PROGRAM)))
    with others.running([str(others.folder() / "circusd"), str(file)], folder):
        wait_until((folder / "endpoint").exists, "circusd listens")
        with others.client("circus_client", f"ipc://{folder}/endpoint") as client:
            yield client


#: A supervisor of others, while it runs.
Other = Callable[[Lab], AbstractContextManager[Medians]]


def add_row(
    other: Other, versus: str, index: int, words: str, goal: float, through_gateway: bool
) -> None:
    def measure(lab: Lab) -> Iterator[tuple[float, float]]:
        with other(lab) as theirs, ours(lab, through_gateway) as mine:
            for each in (mine, theirs):
                each(3)
            while True:
                yield mine(COUNT)[index], theirs(COUNT)[index]

    way = " through the gateway" if through_gateway else ""
    row(
        f"{('start', 'stop')[index]}-{other.__name__}{'' if through_gateway else '-direct'}",
        f"{words}{way}, p50",
        versus=versus,
        goal=goal,
        better=LOWER,
        unit="ms",
    )(measure)


START, STOP = "starting a program by `add` until answered", "stopping it by `rm` until it has ended"
for through_gateway in (True, False):
    for other, versus in (
        (supervisord, "supervisord, by XML-RPC over its Unix socket"),
        (circus, "Circus, by its client"),
    ):
        add_row(other, versus, 0, START, 1.5, through_gateway)
        add_row(other, versus, 1, STOP, 1.5, through_gateway)
