"""The engine Dask: guards run as tasks of Dask workers. Launcher `dask`.

Dask's own client runs in a process of its own, `dask_client`. If it dies, hangs or loses the
scheduler, another one is started and gets all jobs again. The door lets only the first guard of a
job in, so that this starts nothing twice.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import gevent
import msgspec
from gevent import subprocess
from gevent.event import AsyncResult
from gevent.queue import Queue

from shmooze.cluster.dask_settings import DaskCluster, expanded, find_scheduler
from shmooze.cluster.declared import read
from shmooze.cluster.engine import Job
from shmooze.cluster.launcher import ClusterLauncher
from shmooze.errors import ModuleError, ShmoozeError
from shmooze.processes.contract import Launcher
from shmooze.runtime.backoff import Backoff
from shmooze.runtime.printable import printable
from shmooze.settings import Settings

log = logging.getLogger(__name__)


class DaskEngine:
    """See Engine of engine.py."""

    #: Seconds between the beats of the client, and without one until it is replaced.
    beat, beat_timeout = 2.0, 20.0
    #: Seconds that the client may take longer than its timeout for the connection: Dask is large.
    import_timeout = 20.0
    #: Until another client is started, after one has died.
    backoff = Backoff(first=0.2, longest=10.0)
    #: Seconds that the client may take to cancel what is left.
    close_timeout = 5.0

    def __init__(self, options: DaskCluster) -> None:
        self._options = options
        #: Those that are not over, by key.
        self._live: dict[str, DaskSubmission] = {}
        self._client: _Client | None = None
        self._keeper: gevent.Greenlet | None = None

    def prepare(self) -> None:
        if importlib.util.find_spec("distributed") is None:
            raise ShmoozeError('the launcher dask needs Dask: pip install "shmooze[cluster]"')
        self._keeper = gevent.spawn(self._keep, self._start_client())

    def submit(self, job: Job) -> DaskSubmission:
        if self._keeper is None:
            raise ModuleError("cannot be started: the client of Dask is not running")
        submission = DaskSubmission(job, self._options, self._forget)
        self._live[submission.key] = submission
        if self._client is not None:
            self._client.send(submission.order)
        return submission

    def close(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        if self._client is not None:
            self._client.cancel_all()
            keeper.join(self.close_timeout)
        keeper.kill()

    def _forget(self, submission: DaskSubmission) -> None:
        """Cancel a job, wherever it is."""
        if self._live.pop(submission.key, None) is not None and self._client is not None:
            self._client.send({"cancel": submission.key})

    def _keep(self, client: _Client | None) -> None:
        """Give the client what there is to do; replace it when it is gone."""
        failures = 0
        while True:
            try:
                client = client or self._start_client()
                self._serve(client)
                failures, problem = 1, client.problem
            except ShmoozeError as bad:
                failures, problem = failures + 1, str(bad)
            client = None
            if self._keeper is None:
                return
            delay = self.backoff.delay(failures)
            log.warning("%s; trying again in %.1f s", problem, delay)
            gevent.sleep(delay)

    def _serve(self, client: _Client) -> None:
        """Work with a client until it is gone."""
        log.info("connected to the scheduler of Dask at %s", client.address)
        self._client = client
        try:
            for submission in self._live.values():
                client.send(submission.order)
            while (answer := client.read(self.beat_timeout)) is not None:
                if over := self._live.pop(answer.get("over", ""), None):
                    over.set_over(answer["why"])
        finally:
            self._client = None
            client.kill()

    def _start_client(self) -> _Client:
        """Start a client that has reached the scheduler. Raises ShmoozeError."""
        options = self._options
        security = {
            "tls_ca_file": options.ca_path,
            "tls_client_cert": options.certificate_path,
            "tls_client_key": options.key_path,
        }
        client = _Client(
            {
                "scheduler": find_scheduler(options),
                "security": {name: expanded(path) for name, path in security.items() if path},
                "connect_timeout": options.connect_timeout,
                "beat": self.beat,
            }
        )
        try:
            client.wait_ready(options.connect_timeout + self.import_timeout)
        except BaseException:
            client.kill()
            raise
        return client


class DaskSubmission:
    """See Submission of engine.py."""

    def __init__(
        self, job: Job, options: DaskCluster, forget: Callable[[DaskSubmission], None]
    ) -> None:
        # Dask shows the first word, and keeps it: it must not be another one for each module.
        kind = "".join(each for each in job.label.split(" ")[0] if each.isalnum()) or "module"
        self.key = f"{kind}-{uuid.uuid4().hex}"
        names = options.resources
        python, *argv = job.argv
        self.order = {
            "submit": self.key,
            # Without a setting, the worker's own interpreter is the right one.
            "python": None if options.python is None else python,
            "argv": argv,
            "ticket": job.ticket,
            "resources": {
                resource: amount
                for name, amount in job.needs.items()
                if (resource := names.get(name, name)) is not None
            },
            "hosts": list(job.hosts),
        }
        self._forget = forget
        self._over: AsyncResult[str | None] = AsyncResult()

    def cancel(self) -> None:
        self._forget(self)

    def when_over(self, call: Callable[[str | None], None]) -> None:
        self._over.rawlink(lambda over: gevent.spawn(call, over.get()))

    def set_over(self, why: str | None) -> None:
        """Dask says that the job has ended."""
        self._over.set(why)


def make_launcher(source: Settings, service: str) -> Launcher:
    """The launcher `dask`. Raises SettingsError for a mistake in `cluster`."""
    options = read(source, service, DaskCluster)
    if options.scheduler is None:
        words = "is missing; it must say where the scheduler of Dask is"
        raise source.error("cluster.scheduler", words)
    return ClusterLauncher("dask", DaskEngine(options), options)


class _Client:
    """One process of dask_client, and the lines that it reads and writes."""

    #: Characters of what went wrong that people see.
    max_problem = 500

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.address = ""
        #: Why it is gone.
        self.problem = "the client of Dask has died"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "shmooze.cluster.dask_client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        #: Lines that wait: a client that does not read must not block anybody.
        self._orders: Queue[Mapping[str, Any]] = Queue()
        self._orders.put(settings)
        self._helpers = [gevent.spawn(self._write), gevent.spawn(self._log_errors)]

    def send(self, order: Mapping[str, Any]) -> None:
        """Give it an order. Does not wait."""
        self._orders.put(order)

    def wait_ready(self, timeout: float) -> None:
        """Wait until it has reached the scheduler. Raises ShmoozeError with its reason."""
        while not self.address:
            answer = self.read(timeout)
            if answer is None:
                raise ShmoozeError(self.problem)
            self.address = answer.get("ready", "")

    def read(self, timeout: float) -> dict[str, Any] | None:
        """Return its next line, or None if there is none, for the reason `problem`."""
        with gevent.Timeout(timeout, False):
            try:
                line = self._process.stdout.readline()
                answer: dict[str, Any] = msgspec.json.decode(line) if line else {"problem": ""}
            except (OSError, ValueError) as bad:
                answer = {"problem": f"the client of Dask has written something else: {bad}"}
            if "problem" not in answer:
                return answer
            self.problem = printable(answer["problem"])[: self.max_problem] or self.problem
            return None
        self.problem = f"the client of Dask has said nothing for {timeout:g} s"
        return None

    def cancel_all(self) -> None:
        """Let it cancel what is left, and exit. Does not wait."""
        self._orders.put({})

    def kill(self) -> None:
        """End it at once, and release what is held for it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        gevent.killall(self._helpers)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            try:
                stream.close()
            except OSError:  # what could not be written any more
                log.debug("the client of Dask was gone before it had read everything")

    def _write(self) -> None:
        try:
            while order := self._orders.get():
                self._process.stdin.write(msgspec.json.encode(order) + b"\n")
                self._process.stdin.flush()
            self._process.stdin.close()
        except OSError:  # it has died; whoever reads from it notices
            return

    def _log_errors(self) -> None:
        for line in self._process.stderr:
            log.warning("dask: %s", printable(line.decode(errors="replace").rstrip()))
