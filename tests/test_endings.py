"""No process is ever left behind: every kind of stubborn child against every cause of an end.

Survivors are counted by what the children recorded themselves, without any help from shmooze.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from support import (
    AS_ORDINARY_USER,
    ROOT,
    Client,
    Refusal,
    Site,
    child,
    is_alive,
    suspend,
    wait_until,
)
from terminal import Terminal

#: Kinds with an adapter, of the same name.
ADAPTED = ("command", "stdio")

#: Kinds that reach the state `playing`.
PLAYING = (
    "ignores-rm",
    "ignores-sigterm",
    "stopped",
    "has-children",
    "has-daemon",
    "has-bare-daemon",
    "chain",
    "chain-of-sessions",
    *ADAPTED,
    "reused",
    "preloaded",
    "limited",
)

#: Each is three processes: itself, a child and a daemon.
WITH_COMPANY = (*ADAPTED, "reused", "preloaded", "limited")

#: Processes that are no item's, and end with the service only: one that waits for its next item,
#: and the template of `preloaded`.
KEPT = ("waits-for-next", "template")

#: Kinds that are still starting, or already being ended, when the cause of the end comes.
STARTING = ("never-connects", "connects-one-stream", "exits-before-init", "refuses-init")

#: Kinds that `add` refuses, and the refusal.
REFUSED = {
    "never-connects": "did not connect its command stream within 0.5 s",
    "connects-one-stream": "did not connect its update stream within 0.5 s",
    "exits-before-init": "exited with status 3 before `init`",
    "refuses-init": "refused `init`: I will not",
}

#: More than it uses.
LIMITS = {"memory_mb": 2000, "cpu": 2, "pids": 100, "nice": 1}

PATIENCE = {"natural_death_timeout": 0.4, "sigterm_timeout": 0.4}

#: Maximum number of seconds that the ladder takes on a busy machine.
LADDER = sum(PATIENCE.values()) + 20.0


def kinds(connect_timeout: float) -> dict[str, dict[str, Any]]:
    """All stubborn children as module types. `connect_timeout` is for those that never connect."""
    return {
        kind: {
            "process": child("stubborn", kind),
            "connect_timeout": connect_timeout if "connects" in kind else 30,
            "command_timeout": 30,
            **({"adapter": kind} if kind in ADAPTED else {}),
            **({"reuse": 2} if kind in ("reused", "waits-for-next") else {}),
            **({"preload": True} if kind == "preloaded" else {}),
            **({"limits": LIMITS} if kind == "limited" else {}),
            **PATIENCE,
        }
        for kind in (*PLAYING, *STARTING, "waits-for-next")
    }


class Endings:
    """A pool of stubborn children, and the list of all processes that they started."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.uids: dict[str, str] = {}
        self.adds: list[threading.Thread] = []
        #: Errors of failed adds by kind.
        self.refusals: dict[str, str] = {}
        #: Items that have ended while it was filled.
        self.earlier = 0
        #: Kinds of processes that may stay, since the service goes on.
        self.may_stay: tuple[str, ...] = ()

    def fill(self) -> None:
        """Add one of each kind. Those of STARTING are still starting when this returns."""
        for kind in PLAYING:
            if kind == "reused":
                self._add_done(kind)
            if kind == "preloaded":
                wait_until(self._is_forked, "its template is ready")
            self.uids[kind] = self.site.ask("pool", "add", type=kind)["uid"]
        if not self.may_stay:
            self._add_done("waits-for-next")
        for kind in STARTING:
            self.adds.append(threading.Thread(target=self._add, args=[kind]))
            self.adds[-1].start()
        for kind in STARTING:
            wait_until(lambda k=kind: self.recorded(k), f"{kind} runs")
        for kind in WITH_COMPANY:
            wait_until(lambda k=kind: len(self.recorded(k)) >= 3, f"{kind} has started all")
        self.hurry()

    def _add_done(self, kind: str) -> None:
        """Add one that is done at once, and whose process waits for the next item."""
        uid = self.site.ask("pool", "add", type=kind)["uid"]
        wait_until(lambda: uid in {e["uid"] for e in self.site.ask("pool", "gone")}, "it is done")
        self.earlier += 1

    def _is_forked(self) -> bool:
        """Whether one that is added and removed was forked from its template."""
        uid = self.site.ask("pool", "add", type="preloaded")["uid"]
        pid = self.recorded("preloaded")[-1][0]
        is_forked = "template_main.py" in Path(f"/proc/{pid}/cmdline").read_text()
        self.site.ask("pool", "rm", uids=[uid])
        self.earlier += 1
        return is_forked

    def forget(self) -> None:
        """Forget all that were there, of which none is left, so that it can be filled again."""
        for file in [*self.site.folder.glob("pids-*"), self.site.folder / "hurry"]:
            file.unlink()
        self.adds.clear()

    def hurry(self) -> None:
        """Let the chains fork as fast as they can, which they need not while others start."""
        chains = {kind: len(self.recorded(kind)) for kind in PLAYING if kind.startswith("chain")}
        (self.site.folder / "hurry").touch()
        for kind, links in chains.items():
            wait_until(lambda k=kind, n=links: len(self.recorded(k)) > n + 1, f"{kind} hurries")

    def _add(self, kind: str) -> None:
        try:
            self.site.ask("pool", "add", type=kind)
        except Refusal as refusal:
            self.refusals[kind] = str(refusal)
        except (OSError, HTTPException):
            pass  # the service was killed

    def recorded(self, kind: str) -> list[tuple[int, int]]:
        """Return pid and start time of all processes started by children of a kind."""
        listed = self.site.folder / f"pids-{kind}"
        lines = listed.read_text().splitlines() if listed.exists() else []
        return [(int(pid), int(started)) for pid, started in map(str.split, lines)]

    @property
    def guardian(self) -> int:
        return self.site.processes["pool"].pid

    @property
    def service(self) -> int:
        """The only child of the guardian."""
        (service,) = (pid for pid, parent in _parents().items() if parent == self.guardian)
        return service

    def survivors(self) -> list[str]:
        """Return kind and pid of every recorded process that is still alive, and the chains of
        which one is: the newest of a chain may not be recorded yet.
        """
        living = {(pid, _started(pid)) for pid in _parents()}
        recorded = [
            f"{kind} {pid}"
            for kind in (*PLAYING, *STARTING, *KEPT)
            if kind not in self.may_stay
            for pid, started in self.recorded(kind)
            if (pid, started) in living
        ]
        return recorded + [lock.name for lock in self.site.folder.glob("lock-*") if _is_held(lock)]

    def assert_none_left(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while self.survivors() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.survivors() == []

    def end_service(self, *pids: int, with_signal: signal.Signals) -> int:
        process = self.site.processes.pop("pool")
        for pid in pids:
            os.kill(pid, with_signal)
        return process.wait(LADDER)

    def join_adds(self) -> None:
        for add in self.adds:
            add.join(LADDER)
            assert not add.is_alive()


def _parents() -> dict[int, int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_alive(int(entry.name)):
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat[1])
    return parents


def _is_held(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _started(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None


def make_pool(make_site: Callable[..., Site], wrapper: Sequence[str] = ()) -> Endings:
    program = [*wrapper, sys.executable, "-m", "shmooze.pool"]
    settings = {"pool": {"modules": kinds(connect_timeout=1000)}}
    site = make_site(services=("pool",), settings=settings, programs={"pool": program})
    if wrapper == AS_ORDINARY_USER:
        os.chown(site.folder, 65534, 65534)
    return Endings(site.start())


#: The users as which a pool runs.
USERS = ["as the user of the tests", *(["as an ordinary user"] if os.getuid() == 0 else [])]


@pytest.fixture(params=USERS)
def pool(make_site: Callable[..., Site], request: pytest.FixtureRequest) -> Endings:
    return make_pool(make_site, AS_ORDINARY_USER if "ordinary" in request.param else ())


@pytest.fixture(scope="module")
def refusing_pool(make_shared_site: Callable[..., Site]) -> Endings:
    settings = {"pool": {"modules": kinds(connect_timeout=0.5)}}
    endings = Endings(make_shared_site(services=("pool",), settings=settings).start())
    endings.may_stay = KEPT
    return endings


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_add_says_why_and_leaves_nothing(refusing_pool: Endings, kind: str) -> None:
    pool = refusing_pool
    with pytest.raises(Refusal, match=REFUSED[kind].replace("(", r"\(")):
        pool.site.ask("pool", "add", type=kind)
    assert pool.recorded(kind)
    assert pool.survivors() == []
    assert pool.site.ask("pool", "pool") == []


def test_rm_leaves_nothing(pool: Endings) -> None:
    pool.may_stay = KEPT
    pool.fill()
    everyone = [module["uid"] for module in pool.site.ask("pool", "pool")]
    assert set(pool.uids.values()) < set(everyone), "those that are starting are listed too"
    service = pool.service
    pool.site.ask("pool", "rm", uids=everyone)
    pool.assert_none_left(LADDER)
    pool.join_adds()
    assert "was removed before it had started" in pool.refusals["never-connects"]
    wait_until(lambda: not zombies_of(service), "all are reaped")


def zombies_of(parent: int) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if stat[0] == "Z" and int(stat[1]) == parent:
                found.append(entry.name)
    return found


@pytest.mark.parametrize("how", ["exit", "crash"])
def test_the_childs_own_end_leaves_nothing(pool: Endings, how: str) -> None:
    pool.may_stay = KEPT
    pool.fill()
    pool.site.ask("pool", "rm", uids=[pool.uids.pop("stopped")])  # it cannot hear

    def tell_to_end(kind: str) -> None:
        if kind == "command":  # it cannot be told
            os.kill(pool.recorded(kind)[0][0], signal.SIGUSR1 if how == "exit" else signal.SIGSEGV)
            return
        with pytest.raises(Refusal):
            pool.site.ask("pool", "tell_module", uid=pool.uids[kind], cmd=how)

    with ThreadPoolExecutor(len(PLAYING)) as threads:  # each waits until one has ended
        assert [*threads.map(tell_to_end, pool.uids)]
    for kind in ("never-connects", "connects-one-stream"):
        ((pid, _started),) = pool.recorded(kind)
        os.kill(pid, signal.SIGKILL if how == "exit" else signal.SIGSEGV)
    pool.assert_none_left(LADDER)
    pool.join_adds()
    everyone = len(PLAYING) + len(STARTING) + pool.earlier
    gone = wait_until(
        lambda: len(g := pool.site.ask("pool", "gone")) == everyone and g, "all are gone"
    )
    ends = {death["uid"]: death for death in gone}
    for uid in pool.uids.values():
        reason = "ended by itself" if how == "exit" else "killed by SIGSEGV"
        assert ends[uid]["reason"] == reason
        assert ends[uid]["state_at_end"] == "playing"
    number = "SIGKILL" if how == "exit" else "SIGSEGV"
    assert pool.refusals["never-connects"] == f"never-connects killed by {number} before `init`"


#: One user for each signal but the first: what ends processes does not know which one came.
STOP_SIGNALS = [
    *((user, signal.SIGTERM) for user in USERS),
    *((USERS[-1], number) for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)),
]


@pytest.mark.parametrize(("pool", "number"), STOP_SIGNALS, indirect=["pool"])
def test_a_stop_signal_leaves_nothing_and_exits_with_status_0(
    pool: Endings, number: signal.Signals
) -> None:
    pool.fill()
    assert pool.end_service(pool.guardian, with_signal=number) == 0
    assert pool.survivors() == []
    pool.join_adds()
    assert pool.refusals["never-connects"].endswith(
        "was stopped with the service before it had started"
    )


def test_a_second_sigterm_changes_nothing(pool: Endings) -> None:
    pool.fill()
    guardian = pool.guardian
    assert pool.end_service(guardian, guardian, with_signal=signal.SIGTERM) == 0
    assert pool.survivors() == []


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGABRT])
def test_a_signal_to_the_process_group_leaves_nothing(
    make_site: Callable[..., Site], number: signal.Signals
) -> None:
    """Service and guardian both get it. SIGQUIT stops the service, SIGABRT kills it."""
    pool = make_pool(make_site, ["setsid"])
    pool.fill()
    process = pool.site.processes.pop("pool")
    os.killpg(process.pid, number)
    assert process.wait(LADDER) == (0 if number == signal.SIGQUIT else -number)
    assert pool.survivors() == []
    pool.join_adds()


#: What a service may inherit from whatever starts it.
INHERITED = {
    "SIGCHLD ignored": ["env", "--ignore-signal=CHLD"],
    "SIGCHLD blocked": ["env", "--block-signal=CHLD"],
    "standard output closed": ["sh", "-c", 'exec "$@" >&-', "sh"],
}


@pytest.mark.parametrize("state", INHERITED)
def test_rm_and_sigterm_leave_nothing_whatever_is_inherited(
    make_site: Callable[..., Site], state: str
) -> None:
    pool = make_pool(make_site, INHERITED[state])
    pool.fill()
    pool.site.ask("pool", "rm", uids=list(pool.uids.values()))
    assert pool.end_service(pool.guardian, with_signal=signal.SIGTERM) == 0
    assert pool.survivors() == []
    assert "Traceback" not in pool.site.log("pool")
    pool.join_adds()


@pytest.mark.parametrize("state", INHERITED)
def test_sigkill_of_the_service_leaves_nothing_whatever_is_inherited(
    make_site: Callable[..., Site], state: str
) -> None:
    pool = make_pool(make_site, INHERITED[state])
    pool.fill()
    status = pool.end_service(pool.service, with_signal=signal.SIGKILL)
    assert (status, pool.survivors()) == (-signal.SIGKILL, [])
    assert "Traceback" not in pool.site.log("pool")


def test_sigkill_of_the_service_leaves_nothing(pool: Endings) -> None:
    pool.fill()
    pool.end_service(pool.service, with_signal=signal.SIGKILL)
    assert pool.survivors() == []


def test_sigkill_of_the_guardian_leaves_nothing(pool: Endings) -> None:
    pool.fill()
    service = pool.service
    pool.end_service(pool.guardian, with_signal=signal.SIGKILL)
    pool.assert_none_left(LADDER)
    wait_until(lambda: not is_alive(service), "the service has ended too")


def test_the_next_start_ends_what_sigkill_of_both_left_behind(pool: Endings) -> None:
    pool.fill()
    suspend(pool.guardian)  # or it would see the service die first
    pool.end_service(pool.service, pool.guardian, with_signal=signal.SIGKILL)
    assert any("daemon" in left for left in pool.survivors()), "the test tests nothing"
    templates = pool.recorded("template")
    pool.site.start("pool")
    pool.may_stay = ("template",)  # it has one of its own
    pool.assert_none_left(LADDER)
    assert not [pid for pid, began in templates if is_alive(pid) and _started(pid) == began]
    said = "that an earlier crash had left"
    wait_until(lambda: said in pool.site.log("pool"), "the log says it")


@pytest.fixture
def in_a_terminal(make_site: Callable[..., Site]) -> Iterator[tuple[Endings, Terminal]]:
    """The same pool, run by scripts/run_shmooze.sh with the project's supervisord.conf."""
    site = make_site(services=("wsgi", "queue", "pool"))
    types = kinds(connect_timeout=1000)
    # A template of the queue, which goes on, would be taken for one of the pool.
    plain = {name: kind for name, kind in types.items() if "preload" not in kind}
    site.settings |= {"pool": {"modules": types}, "queue": {"modules": plain}}
    site.settings_file.write_text(json.dumps(site.settings))
    conf = (ROOT / "supervisord.conf").read_text()
    for name in ("queue", "pool"):
        conf = conf.replace(f"python examples/example_{name}.py", f"python -m shmooze.{name}")
    (site.folder / "supervisord.conf").write_text(conf)
    terminal = Terminal(site, site.folder / "supervisord.conf")
    yield Endings(site), terminal
    terminal.close()


def test_closing_the_terminal_leaves_nothing(in_a_terminal: tuple[Endings, Terminal]) -> None:
    pool, terminal = in_a_terminal
    terminal.wait_running()
    pool.fill()
    status = terminal.close_window()
    assert pool.survivors() == []
    assert pool.site.survivors() == []
    assert status == 0
    pool.join_adds()


def test_supervisorctl_stop_and_ctrl_c_leave_nothing(
    in_a_terminal: tuple[Endings, Terminal],
) -> None:
    pool, terminal = in_a_terminal
    terminal.wait_running()
    pool.fill()
    control = Path(sys.executable).with_name("supervisorctl")

    def order(word: str) -> str:
        argv = [control, "-c", pool.site.folder / "supervisord.conf", word, "pool"]
        return subprocess.run(argv, capture_output=True, text=True, timeout=30).stdout

    stopped = order("stop")
    assert pool.survivors() == []
    assert "pool: stopped" in stopped
    pool.join_adds()
    pool.forget()
    assert "pool: started" in order("start")
    terminal.wait_running()
    pool.fill()
    assert terminal.press_ctrl_c() == 0
    assert pool.survivors() == []
    assert pool.site.survivors() == []
    pool.join_adds()


class Hanging:
    """A queue with a module that never answers one command, and a client that waits for it."""

    def __init__(self, make_site: Callable[..., Site]) -> None:
        kind = {"process": child("moody"), "command_timeout": 1000, **PATIENCE}
        kinds = {"moody": kind, "well": {"process": child("well")}}
        self.site = make_site(services=("queue",), settings={"queue": {"modules": kinds}}).start()
        self.client = Client(self.site, "queue")
        self.outcome = ""

    def hang(self, cmd: str) -> str:
        """Let a module hang in `cmd`. Returns its uid."""
        self.waiting = threading.Thread(target=self._hang, args=[cmd])
        self.waiting.start()
        heard = self.site.folder / f"times-hung-{cmd}"
        wait_until(lambda: f"{cmd} " in _read(heard), "it hangs")
        return next(each["uid"] for each in self.client("queue") if each["type"] == "moody")

    def _hang(self, cmd: str) -> None:
        try:
            uid = self.client.add("moody", name=f"hung-{cmd}", hangs=[cmd])
            if cmd == "suspend":
                self.client("mv", uids=[self.client.add("well")])
            elif cmd.startswith("do_"):
                self.client.tell(uid, cmd.removeprefix("do_"))
            self.outcome = "done"
        except Refusal as refusal:
            self.outcome = str(refusal)


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


@pytest.fixture(scope="module")
def shared_hanging(make_shared_site: Callable[..., Site]) -> Hanging:
    return Hanging(make_shared_site)


@pytest.fixture
def hanging(shared_hanging: Hanging) -> Iterator[Hanging]:
    yield shared_hanging
    shared_hanging.client.clear()


#: Commands in which a module may hang, and the outcome for the waiting client on removal.
HANGS = {
    "init": "moody was removed before it had started",
    "play": "done",
    "suspend": "done",
    "do_echo": "moody UID was removed",
}


@pytest.mark.parametrize("cmd", HANGS)
def test_rm_does_not_wait_for_a_command_that_hangs(hanging: Hanging, cmd: str) -> None:
    uid = hanging.hang(cmd)
    hanging.client("rm", uids=[uid])
    hanging.waiting.join(LADDER)
    assert hanging.outcome == HANGS[cmd].replace("UID", uid)
    assert uid not in hanging.client.uids()
    end = wait_until(lambda: [each for each in hanging.client("gone") if each["uid"] == uid], "end")
    assert end[0]["reason"].startswith("was removed")


@pytest.mark.parametrize("cmd", HANGS)
def test_stop_does_not_wait_for_a_command_that_hangs(
    make_site: Callable[..., Site], cmd: str
) -> None:
    hanging = Hanging(make_site)
    hanging.hang(cmd)
    process = hanging.site.processes.pop("queue")
    process.terminate()
    assert process.wait(LADDER) == 0
    assert hanging.site.survivors() == []
    hanging.waiting.join(LADDER)


@pytest.mark.skipif(os.getuid() != 0, reason="a pid namespace of one's own needs root here")
def test_pid_1_of_a_container_leaves_nothing(make_site: Callable[..., Site]) -> None:
    """The pool is pid 1 of its namespace: nothing else reaps or ends processes."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    pool = make_pool(make_site, unshare)
    site = pool.site
    for kind in PLAYING:
        site.ask("pool", "add", type=kind)
    pool.hurry()
    site.ask("pool", "rm", uids=[module["uid"] for module in site.ask("pool", "pool")])
    wait_until(lambda: len(site.ask("pool", "gone")) == len(PLAYING), "all are gone", LADDER)
    unshared = site.processes.pop("pool")
    (guardian,) = (pid for pid, parent in _parents().items() if parent == unshared.pid)
    (service,) = (pid for pid, parent in _parents().items() if parent == guardian)
    # What is kept is a template, and a process that waits for its next item.
    kept = [pid for pid, parent in _parents().items() if parent == service]
    argvs = [Path(f"/proc/{pid}/cmdline").read_text() for pid in kept]
    assert all("template_main.py" in argv or "reused" in argv for argv in argvs)
    os.kill(guardian, signal.SIGTERM)
    assert unshared.wait(LADDER) == 0
    assert site.survivors() == []


#: A pool that soon logs what keeps a process alive, and soon gives up.
HASTY_POOL = child(
    "svc_adjusted",
    "shmooze.pool",
    "shmooze.processes.guardian.KILL_TIMEOUT=0.5",
    "shmooze.processes.local_process.LocalProcess.survivor_log_interval=0.1",
    "shmooze.processes.local_process.LocalProcess.survivor_timeout=0.5",
)


def test_a_debugger_that_holds_a_module_is_named_and_does_not_delay_the_stop(
    make_site: Callable[..., Site],
) -> None:
    types = {"well": {"process": child("well"), **PATIENCE}}
    settings = {"pool": {"modules": types}}
    site = make_site(services=("pool",), settings=settings, programs={"pool": HASTY_POOL}).start()
    pool = Client(site, "pool")
    pid = pool.parameters(pool.add_settled())["pid"]
    tracer = subprocess.Popen(child("tracer", str(pid)), stdout=subprocess.PIPE)
    with tracer:
        assert tracer.stdout
        try:
            if tracer.stdout.readline() != b"traced\n":
                pytest.skip("tracing is not permitted here")
            assert site.stop() == {"pool": 0}
        finally:
            tracer.kill()
    log = site.log("pool")
    survivor = f"pid {pid}, state "
    assert log.index("is still there after SIGKILL: " + survivor) < log.index("survived SIGKILL")
    assert f"is traced by pid {tracer.pid} (python" in log


@pytest.mark.skipif(os.getuid() != 0, reason="a pid namespace of one's own needs root here")
def test_with_a_foreign_proc_modules_play_and_end_with_one_warning(
    make_site: Callable[..., Site],
) -> None:
    """As in a container without a /proc of its own."""
    site = make_pool(make_site, ["unshare", "--pid", "--fork", "--kill-child"]).site
    pool = Client(site, "pool")
    for kind in ("ignores-rm", "ignores-sigterm", "stopped", "has-children"):
        pool.add(kind)
    with pytest.raises(Refusal, match="usage is not known here"):
        pool("usage")
    pool.clear()
    warnings = [line for line in site.log("pool").splitlines() if "shows another pid" in line]
    assert len(warnings) == 1
    assert "any process of this user may connect in the place of a module" in warnings[0]
    unshared = site.processes.pop("pool")
    (service,) = (pid for pid, parent in _parents().items() if parent == unshared.pid)
    os.kill(service, signal.SIGTERM)
    assert unshared.wait(LADDER) == 0


def test_without_pidfds_process_groups_are_ended_and_a_warning_is_logged(
    make_site: Callable[..., Site],
) -> None:
    code = (
        "import os, runpy; del os.pidfd_open; runpy.run_module('shmooze.pool', run_name='__main__')"
    )
    settings = {"pool": {"modules": kinds(connect_timeout=1000)}}
    programs = {"pool": [sys.executable, "-c", code]}
    pool = Endings(make_site(services=("pool",), settings=settings, programs=programs).start())
    wait_until(lambda: "may be left behind" in pool.site.log("pool"), "it says so")
    for kind in ("ignores-rm", "ignores-sigterm", "stopped", "has-children"):
        pool.uids[kind] = pool.site.ask("pool", "add", type=kind)["uid"]
    with pytest.raises(Refusal):  # its children are left behind at first
        pool.site.ask("pool", "tell_module", uid=pool.uids["has-children"], cmd="crash")
    pool.site.ask("pool", "rm", uids=list(pool.uids.values()))
    pool.assert_none_left(LADDER)
    wait_until(lambda: len(pool.site.ask("pool", "gone")) == 4, "all are gone")


def test_if_realtime_is_limited_daemons_end_with_the_service_and_a_warning_is_logged(
    make_site: Callable[..., Site],
) -> None:
    pool = make_pool(make_site, ["prlimit", "--rttime=3600000000:3600000000"])
    wait_until(lambda: "RLIMIT_RTTIME is already limited" in pool.site.log("pool"), "it says so")
    uid = pool.site.ask("pool", "add", type="has-daemon")["uid"]
    pool.site.ask("pool", "rm", uids=[uid])
    wait_until(lambda: pool.site.ask("pool", "gone"), "it is gone")
    pool.may_stay = KEPT
    (daemon,) = pool.survivors()
    assert "has-daemon" in daemon
    pool.may_stay = ()
    assert pool.end_service(pool.guardian, with_signal=signal.SIGTERM) == 0
    assert pool.survivors() == []
