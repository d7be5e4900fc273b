"""A pool on a cluster of Dask over TLS, and what becomes of its modules when something fails."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import certificate
from dask_cluster import DaskCluster, children_of, start_proxy
from support import (
    Client,
    Refusal,
    Site,
    child,
    free_ports,
    is_alive,
    is_listening,
    paused,
    refusals,
    wait_until,
)

pytestmark = pytest.mark.slow

#: Seconds.
LEASE = 2
#: The address at which nodes find the door: behind a proxy that can be cut.
LINK = "127.0.0.9"
#: The addresses at which a worker and the client find the scheduler, likewise.
LINK_OF_WORKER, LINK_OF_CLIENT = "127.0.0.8", "127.0.0.7"
#: More than the worker has.
GPUS = {"process": child("well"), "needs": {"gpu": 2}}


class Application:
    """A pool, its cluster, and a proxy between the nodes and the door of the pool."""

    def __init__(self, folder: Path, make_site: Callable[..., Site]) -> None:
        files = certificate()
        tls = ["--tls-ca-file", files.certificate, "--tls-cert", files.certificate]
        scheduler, door = free_ports(2)
        self.cluster = DaskCluster(folder / "dask", scheduler, *tls, "--tls-key", files.key)
        self.links = {
            host: start_proxy(host, scheduler) for host in (LINK_OF_WORKER, LINK_OF_CLIENT)
        }
        for host in self.links:
            wait_until(lambda host=host: is_listening(scheduler, host), "the proxy listens")
        self.worker = self._start_worker()
        self.proxy = start_proxy(LINK, door)
        well = {"process": child("well"), "after_crash": "drop"}
        settings = {
            "cluster": {
                "scheduler": f"tls://{LINK_OF_CLIENT}:{scheduler}",
                "ca_path": files.certificate,
                "certificate_path": files.certificate,
                "key_path": files.key,
                "lease": LEASE,
                "start_timeout": 6,
                "door_port": door,
                "door_addresses": [LINK],
            },
            "pool": {"launcher": "dask", "modules": {"well": well, "gpus": GPUS}},
        }
        self.site = make_site(services=("pool",), settings=settings)
        self.pool = Client(self.site.start(), "pool")

    def _start_worker(self, nanny: bool = False) -> subprocess.Popen[bytes]:
        address = f"tls://{LINK_OF_WORKER}:{self.cluster.port}"
        resources = ("--resources", "gpu=1")
        # Names differ, since the scheduler may not have noticed yet that the last one has gone.
        name = f"two-{self.cluster.workers_so_far()}"
        return self.cluster.start_worker(
            "127.0.0.2", name, *resources, address=address, nanny=nanny
        )

    def replace_worker(self, nanny: bool = False) -> None:
        """Start the worker again, with its resources."""
        self.worker.kill()
        self.worker.wait()
        before = self.cluster.workers_so_far()
        self.worker = self._start_worker(nanny)
        wait_until(lambda: self.cluster.workers_so_far() > before, "the scheduler has the worker")

    def add(self) -> tuple[str, int]:
        """Add a module. Returns its uid and its pid."""
        uid = self.pool.add_settled()
        return uid, self.pool.parameters(uid)["pid"]

    def end_of(self, uid: str) -> dict[str, Any]:
        """Wait until a module has ended, and return what is reported of it."""
        return wait_until(
            lambda: next((each for each in self.pool("gone") if each["uid"] == uid), None),
            "the service knows that it has ended",
        )

    def wait_for_guards(self, count: int) -> None:
        """Wait until so many guards run. One without children was only started ahead."""

        def running() -> int:
            return sum(bool(children_of(guard)) for guard in children_of(self.worker.pid))

        wait_until(lambda: running() == count, f"{count} guards run")

    def client(self) -> int:
        """The client of Dask, which the service has started."""
        command = b"shmooze.cluster.dask_client"
        return wait_until(
            lambda: next(
                (pid for pid in children_of(self.pool.service) if command in command_line(pid)), 0
            ),
            "the client of Dask runs",
        )

    def close(self) -> None:
        self.site.close()
        for proxy in [self.proxy, *self.links.values()]:
            proxy.kill()
            proxy.wait()
        self.cluster.close()


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def application(
    tmp_path_factory: pytest.TempPathFactory, make_shared_site: Callable[..., Site]
) -> Iterator[Application]:
    application = Application(tmp_path_factory.mktemp("cluster"), make_shared_site)
    yield application
    application.close()


def test_a_module_on_a_worker_is_spoken_to_as_one_at_home(application: Application) -> None:
    uid, pid = application.add()
    assert application.pool.tell(uid, "echo", a=1) == {"a": 1}
    (shown,) = application.pool("pool")
    assert shown["host"] == socket.gethostname()
    application.pool("rm", uids=[uid])
    wait_until(lambda: not is_alive(pid), "the module ends")
    assert application.end_of(uid)["reason"] == "was removed"
    application.wait_for_guards(0)


def test_more_than_any_worker_has_is_refused_after_a_while(application: Application) -> None:
    with pytest.raises(Refusal, match="no node with gpu 2 within 6 s"):
        application.pool.add("gpus")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_module_ends_with_its_worker(application: Application, number: int) -> None:
    uid, pid = application.add()
    application.worker.send_signal(number)
    wait_until(lambda: not is_alive(pid), "the module ends")
    application.replace_worker()
    assert "had started it is gone" in application.end_of(uid)["reason"]


def test_no_module_notices_the_death_of_the_client(application: Application) -> None:
    uid, _ = application.add()
    client = application.client()
    os.kill(client, signal.SIGKILL)
    wait_until(lambda: application.client() != client, "it is replaced")
    assert application.pool.tell(uid, "echo", a=1) == {"a": 1}
    other, pid = application.add()
    application.pool("rm", uids=[uid, other])
    wait_until(lambda: not is_alive(pid), "the module ends")
    application.wait_for_guards(0)


def test_no_module_notices_a_worker_that_is_stopped(application: Application) -> None:
    uid, _ = application.add()
    with paused(application.worker.pid):
        assert application.pool.tell(uid, "echo", a=1) == {"a": 1}
        application.pool("rm", uids=[uid])
    application.wait_for_guards(0)


@pytest.mark.parametrize("host", [LINK_OF_WORKER, LINK_OF_CLIENT])
def test_no_module_notices_that_the_scheduler_is_cut_off(
    application: Application, host: str
) -> None:
    uid, pid = application.add()
    with paused(application.links[host].pid):
        assert application.pool.tell(uid, "echo", a=1) == {"a": 1}
        application.pool("rm", uids=[uid])
        wait_until(lambda: not is_alive(pid), "the module ends")
    application.wait_for_guards(0)
    other, _ = application.add()
    application.pool("rm", uids=[other])


def test_a_module_ends_with_its_nanny(application: Application) -> None:
    application.replace_worker(nanny=True)
    uid, pid = application.add()
    application.worker.kill()
    wait_until(lambda: not is_alive(pid), "the module ends")
    application.replace_worker()
    assert "had started it is gone" in application.end_of(uid)["reason"]


def test_a_module_that_is_cut_off_ends_and_is_lost(application: Application) -> None:
    uid, pid = application.add()
    with paused(application.proxy.pid):
        wait_until(lambda: not is_alive(pid), "the module ends on its node")
        assert "lost" in application.end_of(uid)["reason"]
        application.wait_for_guards(0)


def test_a_module_survives_a_link_that_is_cut_for_less_than_the_lease(
    application: Application,
) -> None:
    uid, pid = application.add()
    with paused(application.proxy.pid):
        waiting = threading.Timer(LEASE / 4, os.kill, (application.proxy.pid, signal.SIGCONT))
        waiting.start()
        assert application.pool.tell(uid, "echo", a=1) == {"a": 1}
    assert is_alive(pid)
    application.pool("rm", uids=[uid])


def test_a_module_ends_with_its_scheduler_and_the_next_one_starts(
    application: Application,
) -> None:
    uid, pid = application.add()
    application.cluster.restart_scheduler()
    wait_until(lambda: not is_alive(pid), "the module ends, as its worker does")
    assert "had started it is gone" in application.end_of(uid)["reason"]
    application.replace_worker()
    other, _ = application.add()
    application.pool("rm", uids=[other])


def test_nothing_is_left_of_a_service_that_is_killed(application: Application) -> None:
    _, pid = application.add()
    os.kill(application.pool.service, signal.SIGKILL)
    application.site.processes.pop("pool").wait()
    wait_until(lambda: not is_alive(pid), "the module ends")
    application.wait_for_guards(0)
    wait_until(lambda: not application.site.survivors(), "the client of Dask ends")


def test_a_service_does_not_start_whose_scheduler_has_an_unknown_certificate(
    application: Application, tmp_path: Path
) -> None:
    stranger = certificate("stranger")
    cluster = {
        **application.site.settings["cluster"],
        "ca_path": stranger.certificate,
        "connect_timeout": 2,
        "door_port": free_ports(1)[0],
    }
    settings = {**application.site.settings, "cluster": cluster}
    settings["ports"] = {"pool": free_ports(1)[0]}
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(settings))
    program = [sys.executable, "-m", "shmooze.pool"]
    [refusal] = refusals(program, settings_file=file)
    scheduler = cluster["scheduler"]
    words = f"cannot reach the scheduler of Dask at {scheduler}: TLS certificate does not match"
    assert words in refusal
