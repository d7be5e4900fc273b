"""Several gateway processes on one port: they share its connections, are restarted, and stop."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from events import Watcher
from raw_service import RawService, ok
from support import (
    PATIENCE,
    ROOT,
    Client,
    Site,
    child,
    is_alive,
    keep_alive,
    refusals,
    suspend,
    wait_until,
)
from terminal import Terminal, Window

from shmooze.errors import SettingsError
from shmooze.processes.tree import children
from shmooze.runtime import heartbeats
from shmooze.runtime.heartbeats import Heartbeats
from shmooze.runtime.workers import Supervisor
from shmooze.settings import Settings
from shmooze.wsgi import Gateway

JSON = {"Content-Type": "application/json"}
#: Enough connections for each worker to get some.
MANY = 64
GATEWAY = [sys.executable, "-m", "shmooze.wsgi"]


def gateways(make_site: Callable[..., Site]) -> Callable[..., Site]:
    def make(workers: int, *services: str, condition: str = "", **settings: Any) -> Site:
        programs = {"probe": child("svc_probe", "probe")}
        if condition:
            programs["wsgi"] = child("svc_workers", condition)
        settings["wsgi_workers"] = workers
        return make_site(services=("wsgi", *services), settings=settings, programs=programs)

    return make


@pytest.fixture
def make_gateway(make_site: Callable[..., Site]) -> Callable[..., Site]:
    """A function that makes a gateway with a number of workers, and services; not yet started.

    `condition`: see children/svc_workers.py.
    """
    return gateways(make_site)


@pytest.fixture(scope="module")
def site(make_shared_site: Callable[..., Site]) -> Site:
    """A gateway of two workers with a probe, running. Tests of this file share it."""
    site = gateways(make_shared_site)(2, "probe").start()
    workers_of(site)
    return site


def supervisor_of(site: Site) -> int:
    return site.processes["wsgi"].pid


def workers_of(site: Site, besides: Collection[int] = ()) -> list[int]:
    """The pids of the gateway's workers, once all are there and none of `besides`."""

    def all_of_them() -> list[int]:
        found = children(supervisor_of(site))
        return (
            found
            if len(found) == site.settings["wsgi_workers"] and not {*besides} & {*found}
            else []
        )

    return wait_until(all_of_them, "all workers are there")


def spread(site: Site) -> Counter[int]:
    """The number of client connections of each worker."""
    here = f"0100007F:{site.ports['wsgi']:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = {f"socket:[{line[9]}]" for line in lines if line[1] == here and line[3] == "01"}
    found: Counter[int] = Counter()
    for worker in children(supervisor_of(site)):
        for each in Path(f"/proc/{worker}/fd").iterdir():
            try:
                found[worker] += os.readlink(each) in ours
            except FileNotFoundError:
                pass  # closed meanwhile
    return found


def echoes(client: HTTPConnection, value: Any) -> bool:
    """Whether the probe answers correctly over this connection."""
    client.request("POST", "/probe", json.dumps({"cmd": "echo", "args": {"value": value}}), JSON)
    return json.load(client.getresponse()) == {"success": True, "result": value}


@contextmanager
def connections(site: Site) -> Iterator[list[HTTPConnection]]:
    """Many connections to the gateway, after one command over each."""
    with ExitStack() as stack:
        clients = [keep_alive(site.ports["wsgi"]) for _ in range(MANY)]
        for number, client in enumerate(clients):
            stack.callback(client.close)
            assert echoes(client, number)
        yield clients


def assert_gone(site: Site, pids: list[int]) -> None:
    """Nothing of the gateway is there in a moment, and somebody else can have its port."""
    wait_until(lambda: not any(map(is_alive, pids)), "the workers are gone")
    wait_until(lambda: is_free(site.ports["wsgi"]), "the port is free")


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


# Sharing connections.


def test_connections_are_spread_over_all_workers(site: Site) -> None:
    with connections(site) as clients:
        found = spread(site)
        assert sum(found.values()) == MANY
        assert set(found) == set(workers_of(site))
        assert min(found.values()) > MANY / 5
        assert all(echoes(client, "again") for client in clients)


def test_concurrent_commands_get_their_own_answers(site: Site) -> None:
    def ask(number: int) -> bool:
        return all(
            site.post("probe", {"cmd": "echo", "args": {"value": [number, each]}}).json["result"]
            == [number, each]
            for each in range(20)
        )

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(16)))


@pytest.fixture
def watch() -> Iterator[Callable[..., Watcher]]:
    """A function that begins to watch the queue of a site through its gateway."""
    made: list[Watcher] = []

    def begin(site: Site, **keywords: Any) -> Watcher:
        made.append(Watcher(site.ports["wsgi"], "/queue/events", **keywords))
        return made[-1]

    yield begin
    for watcher in made:
        watcher.close()


def test_events_come_over_any_worker_and_continue_over_another(
    make_gateway: Callable[..., Site], watch: Callable[..., Watcher]
) -> None:
    kinds = {"well": {"process": child("well")}}
    site = make_gateway(2, "queue", queue={"modules": kinds, "backgrounds": {}}).start()
    queue = Client(site, "queue")
    watchers = [watch(site) for _ in range(24)]
    found = spread(site)
    assert len(found) == 2
    assert min(found.values()) > 0
    queue.add(name="first")
    for watcher in watchers:
        watcher.wait_for(queue)
    os.kill(workers_of(site)[0], signal.SIGKILL)
    wait_until(lambda: any(each.ended.is_set() for each in watchers), "some have ended")
    queue.add(name="second")
    for lost in watchers:
        if lost.ended.wait(0):
            again = watch(site, after=lost)
            again.wait_for(queue)
            assert "snapshot" not in [kind for kind, _ in again.events]
        else:
            lost.wait_for(queue)


# Restarts.


def test_a_killed_worker_is_restarted_and_the_others_are_undisturbed(site: Site) -> None:
    killed, other = workers_of(site)
    with connections(site) as clients:
        before = spread(site)
        os.kill(killed, signal.SIGKILL)
        assert other in workers_of(site, besides={killed})
        alive = [client for client in clients if is_answered(client)]
        assert len(alive) == before[other]
    with connections(site):
        assert set(spread(site)) == set(workers_of(site))
    assert re.search(
        rf"worker [12] \(pid {killed}\) was killed by signal 9; restarting it in 0.25 s",
        site.log("wsgi"),
    )


def is_answered(client: HTTPConnection) -> bool:
    client.auto_open = False
    try:
        return echoes(client, 1)
    except OSError:
        return False


def test_a_worker_that_dies_young_is_restarted_later_each_time(
    make_gateway: Callable[..., Site],
) -> None:
    site = make_gateway(2, condition="hasty").start()
    _, other = workers_of(site)
    for _ in range(3):
        killed, other = sorted(workers_of(site), key=lambda pid: pid == other)
        os.kill(killed, signal.SIGKILL)
        workers_of(site, besides={killed})
    delays = re.findall(r"worker [12] .* restarting it in ([\d.]+) s", site.log("wsgi"))
    assert delays == ["0.05", "0.1", "0.2"]


def test_the_other_workers_get_all_connections_until_a_restart(
    make_gateway: Callable[..., Site],
) -> None:
    site = make_gateway(2, "probe", condition="slow").start()
    killed, other = workers_of(site)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: "restarting it in 1000 s" in site.log("wsgi"), "the restart is scheduled")
    with connections(site):
        assert spread(site)[other] == MANY


def test_a_worker_that_gets_sigterm_is_restarted_as_well(site: Site) -> None:
    told, other = workers_of(site)
    os.kill(told, signal.SIGTERM)
    assert other in workers_of(site, besides={told})
    assert f"(pid {told}) ended with status 0; restarting it " in site.log("wsgi")


def test_pending_connections_of_a_dead_worker_are_served_after_its_restart(
    make_gateway: Callable[..., Site],
) -> None:
    site = make_gateway(2, "probe", condition="healthy").start()
    killed, _ = workers_of(site)
    suspend(killed)  # so that it accepts none of them
    clients = [keep_alive(site.ports["wsgi"]) for _ in range(MANY)]
    for client in clients:
        client.request("POST", "/probe", '{"cmd": "pid"}', JSON)
    os.kill(killed, signal.SIGKILL)
    for client in clients:
        assert json.load(client.getresponse())["success"]
        client.close()
    assert "killed by signal 9; restarting it now" in site.log("wsgi")


def test_a_worker_that_hangs_is_killed_and_restarted(make_gateway: Callable[..., Site]) -> None:
    site = make_gateway(2, "probe", condition="strict").start()
    hung, other = workers_of(site)
    suspend(hung)
    assert other in workers_of(site, besides={hung})
    with connections(site):
        assert set(spread(site)) == set(workers_of(site))
    log = site.log("wsgi")
    assert re.search(rf"worker [12] \(pid {hung}\) has not responded for [\d.]+ s: killing", log)
    assert f"(pid {hung}) was killed by signal 9; restarting it now" in log
    assert log.count("has not responded") == 1


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The supervisor's time, in a list of one."""
    times = [1000.0]
    monkeypatch.setattr(heartbeats, "time", SimpleNamespace(monotonic=lambda: times[0]))
    yield times


def beat(beats: Heartbeats, worker: int) -> None:
    greenlet = gevent.spawn(beats.beat_forever, worker)
    gevent.sleep(0)
    greenlet.kill()


def test_silence_grows_with_each_check_until_a_beat(now: list[float]) -> None:
    beats = Heartbeats(2)
    for _ in range(4):
        beat(beats, 0)
        beats.check()
        beats.check()  # too early
        now[0] += beats.check_interval
    assert (beats.silence(0), beats.silence(1)) == (0, 4 * beats.check_interval)
    beat(beats, 1)
    beats.check()
    assert beats.silence(1) == 0
    assert beats.silence(0) == beats.check_interval
    beats.reset(0)
    assert beats.silence(0) == 0


def test_time_in_which_all_processes_were_stopped_is_not_silence(now: list[float]) -> None:
    beats = Heartbeats(1)
    beat(beats, 0)
    beats.check()
    now[0] += 3600
    beats.check()
    assert beats.silence(0) < Supervisor.hang_timeout / 2
    beat(beats, 0)
    now[0] += beats.check_interval
    beats.check()
    assert beats.silence(0) == 0


def test_a_worker_is_restarted_while_the_log_is_not_read(
    make_gateway: Callable[..., Site],
) -> None:
    site = make_gateway(2)
    unread, output = os.pipe()
    os.set_blocking(output, False)
    with suppress(BlockingIOError):
        while True:
            os.write(output, b"." * 4096)
    os.set_blocking(output, True)
    site.processes["wsgi"] = subprocess.Popen(GATEWAY, env=site.environ, stderr=output)
    os.close(output)
    try:
        killed, other = workers_of(site)
        os.kill(killed, signal.SIGKILL)
        assert other in workers_of(site, besides={killed})
        assert site.stop("wsgi") == {"wsgi": 0}
    finally:
        os.close(unread)


# Stopping.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
def test_answers_in_progress_are_finished_before_the_end(
    make_gateway: Callable[..., Site], number: signal.Signals
) -> None:
    site = make_gateway(2, "raw").start("wsgi")
    workers = workers_of(site)
    asked, release = threading.Barrier(9), threading.Event()

    def dawdle(body: bytes) -> bytes:
        asked.wait(PATIENCE)
        release.wait(PATIENCE)
        return ok(body)

    with RawService(site.ports["raw"], dawdle), ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(site.post, "raw", number) for number in range(8)]
        asked.wait(PATIENCE)
        gateway = site.processes.pop("wsgi")
        gateway.send_signal(number)
        wait_until(lambda: site.log("wsgi").count("wsgi: stopping") == 2, "both are stopping")
        release.set()
        assert [answer.result().json for answer in answers] == [*range(8)]
    assert gateway.wait(PATIENCE) == 0
    assert_gone(site, workers)


def test_lines_of_the_log_name_the_worker(make_gateway: Callable[..., Site]) -> None:
    site = make_gateway(2).start()
    workers_of(site)
    assert site.stop("wsgi") == {"wsgi": 0}
    stopping = re.findall(r"INFO (.*)shmooze.runtime.program: wsgi: stopping", site.log("wsgi"))
    assert sorted(stopping) == ["worker 1: ", "worker 2: "]
    assert site.log("wsgi").count("gateway: http://") == 1


@pytest.mark.parametrize("condition", ["", "piped"])
def test_sigkill_of_the_supervisor_leaves_no_process(
    make_gateway: Callable[..., Site], condition: str
) -> None:
    site = make_gateway(2, "probe", condition=condition).start()
    workers = workers_of(site)
    with connections(site):
        gateway = site.processes.pop("wsgi")
        gateway.kill()
        gateway.wait(PATIENCE)
        assert_gone(site, workers)


def test_a_worker_that_does_not_stop_is_killed(make_gateway: Callable[..., Site]) -> None:
    site = make_gateway(2, condition="hasty").start()
    workers = workers_of(site)
    suspend(workers[0])
    assert site.stop("wsgi") == {"wsgi": 0}
    assert_gone(site, workers)


def test_ctrl_c_in_a_terminal_stops_all(make_gateway: Callable[..., Site]) -> None:
    site = make_gateway(3)
    window = Window([*GATEWAY], site.environ)
    try:
        wait_until(lambda: window.text.count("has pid") == 3, "all workers are there")
        assert window.press_ctrl_c() == 0
        assert "Traceback" not in window.text
        assert site.survivors() == []
    finally:
        window.close()


def test_a_signal_may_come_at_any_moment_of_the_start(make_gateway: Callable[..., Site]) -> None:
    """Also before the workers can handle it."""
    site = make_gateway(4)
    for number in (signal.SIGTERM, signal.SIGINT):
        gateway = subprocess.Popen(
            GATEWAY, env=site.environ, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert gateway.stderr is not None
        said = gateway.stderr.readline() + gateway.stderr.readline()
        assert "has pid" in said
        gateway.send_signal(number)
        said += gateway.communicate(timeout=PATIENCE)[1]
        assert gateway.returncode == 0
        assert "Traceback" not in said
        assert site.survivors() == []


def test_under_supervisord_it_starts_stops_and_leaves_no_process(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(settings={"wsgi_workers": 2})
    conf = site.folder / "supervisord.conf"  # a socket of its own: other tests run supervisord too
    text = (ROOT / "supervisord.conf").read_text()
    conf.write_text(text.replace("directory=%(here)s", f"directory={ROOT}"))
    terminal = Terminal(site, conf)
    try:
        terminal.wait_running()
        wait_until(lambda: terminal.text.count("has pid") == 2, "both workers are there")
        site.wait_for_descriptions()
        before = len(site.survivors())
        control = Path(sys.executable).with_name("supervisorctl")
        argv = [control, "-c", conf]
        for order, words, gone in (("stop", "gateway: stopped", 3), ("start", "started", 0)):
            done = subprocess.run(
                [*argv, order, "gateway"], capture_output=True, text=True, timeout=PATIENCE
            )
            assert words in done.stdout
            wait_until(lambda gone=gone: len(site.survivors()) == before - gone, order)
        assert terminal.press_ctrl_c() == 0
        assert site.survivors() == []
    finally:
        terminal.close()


# The settings.


def settings_of(folder: Path, **values: Any) -> Settings:
    file = folder / "settings.json"
    file.write_text(json.dumps(values))
    return Settings.load({"SHMOOZE_SETTINGS": str(file)})


@pytest.mark.parametrize("value", [-1, 1.5, "2", True, None, 101])
def test_an_invalid_number_of_workers_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(SettingsError) as refusal:
        Gateway(settings_of(tmp_path, wsgi_workers=value))
    said = str(refusal.value)
    assert said.endswith(f"must be a whole number from 1 to 100, not {json.dumps(value)}")


def test_an_invalid_number_of_workers_is_a_one_line_error(
    make_gateway: Callable[..., Site],
) -> None:
    file = make_gateway(0).settings_file
    assert refusals(GATEWAY, settings_file=file) == [
        f"shmooze: settings file {file}: `wsgi_workers` must be a whole number from 1 to 100, not 0"
    ]


def test_a_port_in_use_is_a_one_line_error(make_gateway: Callable[..., Site]) -> None:
    site = make_gateway(3)
    port = site.ports["wsgi"]
    with socket.create_server(("127.0.0.1", port)):
        (line,) = refusals(GATEWAY, settings_file=site.settings_file)
    assert line == f"shmooze: cannot listen on 127.0.0.1:{port}: Address already in use"


def test_a_second_gateway_does_not_share_the_port_of_the_first(site: Site) -> None:
    (line,) = refusals(GATEWAY, settings_file=site.settings_file)
    assert line.endswith("Address already in use")


@pytest.mark.parametrize(
    ("key", "value"),
    [("wsgi_timeout", 0), ("max_connections", "many"), ("tokens_path", "/nowhere/tokens.json")],
)
def test_other_mistakes_are_one_line_errors_too(
    make_gateway: Callable[..., Site], key: str, value: Any
) -> None:
    file = make_gateway(3, **{key: value}).settings_file
    (line,) = refusals(GATEWAY, settings_file=file)
    assert str(value) in line


def test_warnings_are_logged_once(make_gateway: Callable[..., Site]) -> None:
    site = make_gateway(2, static_path="/nowhere").start()
    workers_of(site)
    site.stop()
    assert site.log("wsgi").count("is not a folder") == 1


def test_one_worker_is_one_process(make_gateway: Callable[..., Site]) -> None:
    site = make_gateway(1).start()
    assert children(supervisor_of(site)) == []
    assert "worker" not in site.log("wsgi")


def test_workers_share_the_limit_of_connections(tmp_path: Path) -> None:
    source = settings_of(tmp_path, max_connections=10)
    each = {workers: Gateway(source, workers).limits.max_connections for workers in (1, 2, 4, 20)}
    assert each == {1: 10, 2: 5, 4: 3, 20: 1}
