"""Metrics: what queues, pools and gateway count, and what a Prometheus reads of it."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import gevent
import pytest
from fake_types import AfterFailure, Ahead, Plain
from fakes import FakeClock, FakeLauncher, open_with, run_until_idle
from greenlets import run_until
from prometheus_client.parser import text_string_to_metric_families
from raw_service import RawService, ok
from support import CHILDREN, ROOT, Reply, Site, http, paused, wait_until

from shmooze.access.token_file import TokenFile
from shmooze.broker.supervision import STOPPED
from shmooze.errors import CommandError, SettingsError
from shmooze.gateway.counting import BUCKETS, Counting
from shmooze.lib.backlog import Backlog
from shmooze.metrics import reasons
from shmooze.metrics.rising import Rising
from shmooze.metrics.table import Metrics
from shmooze.metrics.usage import UsageByType
from shmooze.modules.exit import EndCause, ExitRecord, OwnWords
from shmooze.processes.limits import out_of_memory
from shmooze.processes.tree import children
from shmooze.queue import Queue
from shmooze.runtime import extras
from shmooze.settings import Settings
from shmooze.web.server import Traffic
from shmooze.wsgi import Gateway


class Samples:
    """Samples by name and labels."""

    def __init__(self, samples: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> None:
        self.values = samples

    def __call__(self, name: str, **labels: str) -> float:
        return self.values[f"shmooze_{name}", frozenset(labels.items())]


def shown_by(metrics: Metrics) -> Samples:
    return Samples(
        {
            (name, frozenset(labels.items())): value
            for family in metrics.metrics()
            for name, labels, value in family["samples"]
        }
    )


def parsed(text: str) -> Samples:
    """What the parser of the client library finds."""
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for each in family.samples:
            key = each.name, frozenset(each.labels.items())
            assert key not in samples, f"{each} is there twice"
            samples[key] = each.value
    return Samples(samples)


# What a queue counts.


class Counted:
    """A queue in memory, and its metrics."""

    def __init__(self, launcher: FakeLauncher, clock: FakeClock) -> None:
        self.launcher, self.clock = launcher, clock
        self.queue = Queue([Plain, AfterFailure, Ahead])
        self.metrics = Metrics(self.queue)
        open_with(self.queue, launcher)
        clock.advance(1)

    def shown(self) -> Samples:
        return shown_by(self.metrics)

    def add(self, type: str = "plain") -> str:
        uid: str = self.queue.add(type)["uid"]
        run_until_idle()
        return uid

    def rm(self, uid: str) -> None:
        self.queue.rm([uid])
        self.clock.advance(5)


@pytest.fixture
def counted(launcher: FakeLauncher, clock: FakeClock) -> Iterator[Counted]:
    counted = Counted(launcher, clock)
    yield counted
    stopping = gevent.spawn(counted.queue.stop)
    clock.advance(60)
    stopping.get()


def test_modules_are_counted_by_type_and_state(counted: Counted) -> None:
    counted.add()
    counted.add()
    shown = counted.shown()
    assert shown("modules", type="plain", state="playing") == 1
    assert shown("modules", type="plain", state="suspended") == 1
    assert shown("modules", type="ahead", state="standby") == 1
    assert shown("modules", type="after-failure", state="playing") == 0


def test_the_wait_of_an_item_ends_when_it_plays_for_the_first_time(counted: Counted) -> None:
    first, second = counted.add(), counted.add()
    counted.clock.advance(7)
    assert counted.shown()("module_wait_seconds_count", type="plain") == 1
    counted.rm(first)
    shown = counted.shown()
    assert shown("module_wait_seconds_count", type="plain") == 2
    assert shown("module_wait_seconds_sum", type="plain") == pytest.approx(7)
    counted.queue.hold([second])
    counted.queue.release([second])
    run_until_idle()
    assert counted.shown()("module_wait_seconds_count", type="plain") == 2


def test_starts_are_timed_until_init_is_accepted(counted: Counted) -> None:
    counted.launcher.may_go_on.clear()
    adding = gevent.spawn(counted.add)
    counted.clock.advance(3)
    counted.launcher.may_go_on.set()
    adding.get(timeout=5)
    shown = counted.shown()
    assert shown("module_start_seconds_count", type="plain") == 1
    assert shown("module_start_seconds_sum", type="plain") == pytest.approx(3)


def test_a_module_that_is_started_again_counts_as_two_ends_and_one_restart(
    counted: Counted,
) -> None:
    uid = counted.add("after-failure")
    counted.launcher.living[-1].exit(3)
    counted.clock.advance(30)
    counted.rm(uid)
    shown = counted.shown()
    assert shown("module_restarts_total", type="after-failure") == 1
    assert shown("module_ends_total", type="after-failure", reason="exited") == 1
    assert shown("module_ends_total", type="after-failure", reason="removed") == 1
    assert shown("module_start_seconds_count", type="after-failure") == 2
    assert shown("module_wait_seconds_count", type="after-failure") == 1
    assert shown("module_run_seconds_count", type="after-failure") == 2


def test_a_process_on_standby_is_no_item_that_ends(counted: Counted) -> None:
    (waiting,) = counted.queue.roster.everyone
    waiting.cancel()
    counted.clock.advance(5)
    shown = counted.shown()
    assert sum(shown("module_ends_total", type="ahead", reason=each) for each in reasons.ALL) == 0
    assert shown("standby_misses_total", type="ahead") == 0


def test_nothing_is_kept_of_items_that_have_ended(counted: Counted) -> None:
    for uid in [counted.add(), counted.add()]:
        counted.rm(uid)
    assert len(counted.metrics.lives) == 0


def test_a_stream_of_events_is_behind_by_what_it_has_not_taken(counted: Counted) -> None:
    stream = counted.queue.events.watch(None)
    assert counted.shown()("watchers") == 0  # it has not begun
    next(stream)
    next(stream)
    assert counted.shown()("watcher_lag_events") == 0

    def is_behind(least: int) -> bool:
        return counted.shown()("watcher_lag_events") >= least

    for number in range(1, 4):
        counted.add()
        run_until(partial(is_behind, number), "it is told")
    shown = counted.shown()
    assert shown("watchers") == 1
    behind = shown("watcher_lag_events")
    assert behind >= 3
    next(stream)
    assert counted.shown()("watcher_lag_events") == behind - 1
    stream.close()  # type: ignore[attr-defined]
    assert counted.shown()("watchers") == 0


def test_rows_that_the_log_has_lost_are_counted_for_ever() -> None:
    backlog = Backlog("log", max_rows=2, max_bytes=1000)
    for _ in range(5):
        backlog.add(None, "client", {}, {})
    backlog.encode()
    backlog.take()
    backlog.written()
    assert (backlog.dropped, backlog.lost) == (0, 3)


# Why modules end.

OUT_OF_MEMORY = out_of_memory(used=5 << 20, limit=5 << 20)


def ended(cause: EndCause, status: int | None = 0, state: str = "playing") -> ExitRecord:
    return ExitRecord(cause, state, status=status)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (ended(EndCause.finished(b"1")), reasons.DONE),
        (ended(EndCause.left()), reasons.DONE),
        (ended(EndCause("ended by itself", failed=False, by_exit=True)), reasons.DONE),
        (ended(EndCause.removed("was removed")), reasons.REMOVED),
        (ended(EndCause.removed(STOPPED)), reasons.STOPPED_WITH_SERVICE),
        (ended(EndCause.rested("was idle")), reasons.RESTED),
        (ended(EndCause.exceeded(OUT_OF_MEMORY)), reasons.OUT_OF_MEMORY),
        (ended(EndCause.fault(OwnWords(OUT_OF_MEMORY))), reasons.REFUSED),
        (ended(EndCause.lost("was lost with its machine")), reasons.LOST),
        (ended(EndCause.given_up("took longer than 5 s")), reasons.GIVEN_UP),
        (ended(EndCause.fault(OwnWords("no such file"))), reasons.REFUSED),
        (ended(EndCause("exited with status 3", by_exit=True), 3), reasons.EXITED),
        (ended(EndCause("killed by SIGKILL", by_exit=True), -9), reasons.KILLED),
        (ended(EndCause("did not answer `play` within 5 s"), None), reasons.FAULT),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_end_has_one_of_a_few_reasons(record: ExitRecord, reason: str) -> None:
    assert reasons.kind_of(record) == reason
    assert reason in reasons.ALL


# What modules use.


def test_a_sum_does_not_fall_when_sources_leave_or_begin_anew() -> None:
    rising = Rising()
    rising.read({1: ("a", 5.0), 2: ("a", 1.0)})
    rising.read({1: ("a", 7.0)})
    rising.read({1: ("a", 2.0), 3: ("b", 1.0)})
    rising.read({1: ("a", 4.0)})
    assert rising.sums == {"a": 10.0, "b": 1.0}


class Module:
    TYPE_STRING = "player"

    def __init__(self, uid: str) -> None:
        self.uid = uid


def test_usage_is_measured_at_intervals_and_its_cpu_time_never_falls(clock: FakeClock) -> None:
    living: list[Any] = [Module("1"), Module("2")]
    measured: list[dict[str, Any]] = []

    def usage() -> dict[str, Any]:
        used = {"cpu": 3.0, "memory": 100, "processes": 2}
        measured.append({"modules": {each.uid: used for each in living}})
        return measured[-1]

    by_type = UsageByType(usage, lambda: living)

    def shown() -> list[float]:
        return [each.samples[0].value for each in by_type.collect(["player"])]

    assert shown() == [6.0, 200, 4]
    del living[0]
    assert shown() == [6.0, 200, 4]
    assert len(measured) == 1
    clock.advance(by_type.interval)
    assert shown() == [6.0, 100, 2]
    living.clear()
    clock.advance(by_type.interval)
    assert shown() == [6.0, 0, 0]


def test_usage_is_left_out_where_it_is_not_known() -> None:
    def unknown() -> dict[str, Any]:
        raise CommandError("usage is not known here")

    assert list(UsageByType(unknown, list).collect(["player"])) == []


# What the gateway counts.


def test_a_worker_goes_on_with_the_numbers_of_the_one_before() -> None:
    counting = Counting(["queue"], "/", workers=2)

    def begin(index: int, connections: int, rejected: int) -> None:
        """A process of a worker, with what its server has counted at its end."""
        throttled = {"connections": rejected, "token": 1}
        counting._is_shared = False
        counting.start(index, lambda: Traffic(connections, throttled))
        counting.count({"PATH_INFO": "/queue"}, "200 OK", 0.02)
        counting.connections()

    begin(0, connections=5, rejected=2)
    begin(1, connections=3, rejected=0)
    begin(0, connections=1, rejected=1)  # the first was killed
    assert counting.connections() == 4
    assert dict(counting.throttled()) == {"connections": 3, "token": 3}
    assert dict(counting.requests("queue"))["2xx"] == 3
    counts, seconds = counting.times("queue")
    assert counts[BUCKETS.index(0.025)] == sum(counts) == 3
    assert seconds == pytest.approx(0.06)


@pytest.mark.parametrize("path", ["/nobody", "/", "/queue2", "/console/x", ""])
def test_paths_of_no_service_count_for_the_gateway_itself(path: str) -> None:
    counting = Counting(["queue"], "/", workers=1)
    counting.count({"PATH_INFO": path}, "404 Not Found", None)
    assert dict(counting.requests("wsgi"))["4xx"] == 1
    assert not any(dict(counting.requests("queue")).values())


def settings(folder: Path, **more: Any) -> Settings:
    file = folder / "settings.json"
    file.write_text(json.dumps({"ports": {"wsgi": 1, "queue": 2}, **more}))
    return Settings.load({"SHMOOZE_SETTINGS": str(file)})


def test_a_missing_package_is_named_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"`metrics` needs a package: pip install 'shmooze\[me"):
        Gateway(settings(tmp_path, metrics=True))
    Gateway(settings(tmp_path))


# A whole application.

TYPES = {"quick": {"process": ["bash", str(CHILDREN / "quick.sh")]}}
SCRAPES = 20


class Scraped:
    """Two workers, a queue and a pool; `raw` is for a RawService, and nobody listens at `away`."""

    def __init__(self, make_site: Callable[..., Site], folder: Path) -> None:
        tokens = TokenFile(str(folder / "tokens.json"))
        self.tokens = {
            "admin": tokens.add("admin", "control"),
            "reader": tokens.add("reader", "read"),
            "narrow": tokens.add("narrow", scopes=["read", "service:queue"]),
        }
        settings = {
            "metrics": True,
            "wsgi_workers": 2,
            "tokens_path": str(tokens.path),
            "queue": {"modules": TYPES},
            "pool": {"modules": {"quick": {**TYPES["quick"], "standby": 1}}},
        }
        self.site = make_site(services=("wsgi", "queue", "pool", "raw", "away"), settings=settings)
        self.site.start("wsgi", "queue", "pool")
        wait_until(lambda: len(self.workers) == 2, "both workers are there")

    @property
    def workers(self) -> list[int]:
        return children(self.site.processes["wsgi"].pid)

    def kill_worker(self) -> None:
        """Kill one, and wait until it was started again."""
        killed = self.workers[0]
        os.kill(killed, signal.SIGKILL)
        wait_until(
            lambda: len(found := self.workers) == 2 and killed not in found, "another is there"
        )

    def get(self, path: str = "metrics", token: str | None = "reader", **headers: str) -> Reply:
        if token is not None:
            headers["Authorization"] = f"Bearer {self.tokens.get(token, token)}"
        return http(f"{self.site.url}{path}", headers=headers)

    def text(self, token: str = "reader") -> str:
        reply = self.get(token=token)
        assert reply.status == 200, reply.body
        return reply.body.decode()

    def ask(self, service: str, cmd: str, **args: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"}
        answer = self.site.post(service, {"cmd": cmd, "args": args}, headers=headers).json
        assert answer["success"], answer
        return answer["result"]


@pytest.fixture(scope="module")
def app(make_shared_site: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory) -> Scraped:
    return Scraped(make_shared_site, tmp_path_factory.mktemp("tokens"))


def falls(earlier: Samples, later: Samples) -> list[Any]:
    """Counters that have gone back."""
    counters = ("_total", "_count", "_sum", "_bucket")
    return [
        key
        for key, value in earlier.values.items()
        if key[0].endswith(counters) and later.values[key] < value
    ]


def test_under_load_and_with_a_killed_worker_no_counter_goes_back(app: Scraped) -> None:
    uid = app.ask("pool", "add", type="quick")["uid"]
    before = parsed(app.text())
    first = before
    with ThreadPoolExecutor(8) as clients:
        for number in range(SCRAPES):
            asked = [clients.submit(app.ask, "queue", "queue") for _ in range(20)]
            later = parsed(app.text())
            assert not falls(before, later)
            before = later
            for each in asked:
                each.result()
            if number == SCRAPES // 2:
                app.kill_worker()

    def grown(name: str, **labels: str) -> float:
        return parsed(app.text())(name, **labels) - first(name, **labels)

    assert grown("gateway_requests_total", service="queue", status="2xx") == 20 * SCRAPES
    assert grown("gateway_request_seconds_count", service="queue") == 20 * SCRAPES
    assert before("modules", service="pool", type="quick", state="playing") == 1
    app.ask("pool", "rm", uids=[uid])


def test_services_that_are_away_are_down_and_the_others_are_there(app: Scraped) -> None:
    shown = parsed(app.text())
    assert shown("up", service="queue") == shown("up", service="pool") == 1
    assert shown("up", service="away") == shown("up", service="raw") == 0


def test_a_service_that_hangs_is_down_and_counts_on_afterwards(app: Scraped) -> None:
    before = parsed(app.text())
    with paused(*children(app.site.processes["pool"].pid)):
        hung = parsed(app.text())
    assert hung("up", service="pool") == 0
    assert hung("up", service="queue") == 1
    assert ("shmooze_connections", frozenset({("service", "pool")})) not in hung.values
    after = parsed(app.text())
    assert after("up", service="pool") == 1
    assert not falls(before, after)


def test_a_reload_changes_no_number_of_gateway_and_services(app: Scraped) -> None:
    assert app.get(token="wrong").status == 401

    def delayed() -> float:
        return parsed(app.text())("throttled_total", service="wsgi", reason="token")

    wait_until(lambda: delayed() >= 1, "the other worker knows of it")
    before = parsed(app.text())
    app.ask("wsgi", "reload")
    after = parsed(app.text())
    assert not falls(before, after)


NO_METRICS = [
    b'{"success": false, "error": "unknown command"}',
    b"[1]",
    b"\xff",
    b'{"success": true, "result": [{"name": "a b", "type": "gauge", "help": "", "samples": []}]}',
]


@pytest.mark.parametrize("body", NO_METRICS)
def test_a_service_of_another_kind_is_up_and_has_no_metrics(app: Scraped, body: bytes) -> None:
    with RawService(app.site.ports["raw"], lambda _: ok(body)):
        shown = parsed(app.text())
    assert shown("up", service="raw") == 1
    names = {name for name, labels in shown.values if ("service", "raw") in labels}
    assert {name for name in names if not name.startswith("shmooze_gateway_")} == {"shmooze_up"}


def test_a_service_cannot_speak_for_another_one(app: Scraped) -> None:
    forged = {
        "name": "shmooze_connections",
        "type": "gauge",
        "help": "x",
        "samples": [["shmooze_connections", {"service": "queue"}, 99]],
    }
    other_type = {**forged, "name": "shmooze_modules", "type": "counter"}
    body = json.dumps({"success": True, "result": [forged, other_type]}).encode()
    with RawService(app.site.ports["raw"], lambda _: ok(body)):
        shown = parsed(app.text())
    assert shown("connections", service="raw") == 99
    assert shown("connections", service="queue") < 99


def test_only_names_of_the_settings_and_a_few_words_are_labels(app: Scraped) -> None:
    uid = app.ask("queue", "add", type="quick", args={"secret": "s3cr3t"}, label="my label")["uid"]
    text = app.text()
    app.ask("queue", "rm", uids=[uid])
    for word in (uid, "s3cr3t", "my label"):
        assert word not in text
    labels = {(name, value) for key in parsed(text).values for name, value in key[1]}
    assert {name for name, _ in labels} == {"service", "type", "state", "reason", "status"} | {
        "le",
        "version",
    }
    assert {value for name, value in labels if name == "service"} == {*app.site.ports}
    assert {value for name, value in labels if name == "type"} == {"quick"}


def test_every_token_may_read_and_sees_the_services_that_it_may_use(app: Scraped) -> None:
    assert app.get(token=None).status == 401
    narrow = parsed(app.text("narrow"))
    services = {value for key in narrow.values for name, value in key[1] if name == "service"}
    assert services == {"queue"}


def test_a_prometheus_that_prefers_openmetrics_gets_it(app: Scraped) -> None:
    reply = app.get(Accept="application/openmetrics-text; version=1.0.0")
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert reply.body.endswith(b"# EOF\n")


def test_the_dashboard_uses_metrics_that_there_are(app: Scraped) -> None:
    names = {name for name, _ in parsed(app.text()).values}
    dashboard = json.loads((ROOT / "examples" / "grafana" / "shmooze.json").read_text())
    expressions = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())
    ]
    used = {name for text in expressions for name in re.findall(r"shmooze_\w+", text)}
    assert used <= names
    page = (ROOT / "docs" / "how-to" / "operations.md").read_text()
    assert {*re.findall(r"\bshmooze_\w+", page)} <= names | {
        name.removesuffix(end) for name in names for end in ("_bucket", "_total")
    }
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}
    assert {name for name in shown if f"`{name}`" not in page} == set()


def test_without_the_setting_there_are_no_metrics(tmp_path: Path) -> None:
    gateway = Gateway(settings(tmp_path))
    environ: dict[str, Any] = {"PATH_INFO": "/metrics", "HTTP_HOST": "localhost"}
    setup_testing_defaults(environ)
    begun: list[Any] = []
    body = b"".join(gateway.app(environ, lambda *args: begun.extend(args)))
    assert begun[0].startswith("404")
    assert json.loads(body)["error"] == "metrics needs `metrics` in the settings"
    answer = Queue([Plain]).command({"cmd": "metrics"})
    assert answer["error"] == "metrics needs `metrics` in the settings"
