"""Inherited streams and signals do not break a program; ignored terminal signals stay ignored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import PATIENCE, ROOT, Site, child, is_alive, wait_until

from shmooze.processes.tree import children

pytestmark = pytest.mark.slow

#: Runs a command with all standard streams closed.
CLOSED = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
#: Runs a command with all signals ignored and blocked.
DEAF = ["env", "--ignore-signal", "--block-signal"]
#: Runs a command like nohup, and like a background job of a script.
UNDISTURBED = ["env", "--ignore-signal=HUP", "--ignore-signal=INT", "--ignore-signal=QUIT"]


@pytest.fixture
def make_all(make_site: Callable[..., Site]) -> Callable[..., Site]:
    """A function that runs a pool and a gateway of two workers, each started by `wrapper`."""

    def make(*wrapper: str) -> Site:
        kinds = {"modules": {"well": {"process": child("well")}}}
        programs = {
            name: [*wrapper, sys.executable, "-m", f"shmooze.{name}"] for name in ("wsgi", "pool")
        }
        settings = {"wsgi_workers": 2, "pool": kinds}
        return make_site(services=("wsgi", "pool"), settings=settings, programs=programs).start()

    return make


def processes(site: Site) -> list[int]:
    """Supervisor and workers of the gateway; guardian and service of the pool."""
    found = []
    for name, count in (("wsgi", 2), ("pool", 1)):
        parent = site.processes[name].pid
        wait_until(lambda p=parent, n=count: len(children(p)) == n, f"{name} is complete")
        found += [parent, *children(parent)]
    return found


def mask(pid: int, name: str) -> set[int]:
    """Signals that a process blocks (SigBlk) or ignores (SigIgn)."""
    status = Path(f"/proc/{pid}/status").read_text()
    lines = dict(line.split(":", 1) for line in status.splitlines())
    bits = int(lines[name], 16)
    return {number for number in signal.valid_signals() if bits >> number - 1 & 1}


def test_programs_started_with_all_signals_ignored_notice_exits_of_children_and_stop(
    make_all: Callable[..., Site],
) -> None:
    site = make_all(*DEAF)
    before = processes(site)
    *_, worker, guardian, service = before
    assert mask(service, "SigBlk") == set()
    wait_until(lambda: mask(worker, "SigBlk") == set(), "it handles signals")
    meant = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT}
    assert {signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD} & mask(service, "SigIgn") == set()
    assert meant < mask(service, "SigIgn")
    os.kill(worker, signal.SIGKILL)
    wait_until(
        lambda: worker not in (now := processes(site)) and len(now) == len(before),
        "another worker has taken its place",
    )
    uid = site.post("pool", {"cmd": "add", "args": {"type": "well"}}).json["result"]["uid"]
    site.ask("pool", "rm", uids=[uid])
    wait_until(lambda: len(children(service)) == 0, "the child is reaped")
    assert is_alive(guardian)
    assert site.stop() == {"wsgi": 0, "pool": 0}


def test_terminal_signals_that_were_ignored_at_the_start_stay_ignored(
    make_all: Callable[..., Site],
) -> None:
    site = make_all(*UNDISTURBED)
    everyone = processes(site)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        for pid in everyone:
            os.kill(pid, number)
    assert site.post("pool", {"cmd": "pool"}).json["success"]
    assert processes(site) == everyone, site.log("wsgi")
    for name in ("wsgi", "pool"):
        assert "stopping" not in site.log(name)
    assert site.stop() == {"wsgi": 0, "pool": 0}


def test_closed_standard_streams_become_dev_null(
    make_all: Callable[..., Site],
) -> None:
    site = make_all(*CLOSED)
    for pid in processes(site):
        streams = [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)]
        assert streams == ["/dev/null"] * 3
    assert site.post("pool", {"cmd": "add", "args": {"type": "well"}}).json["success"]
    assert site.stop() == {"wsgi": 0, "pool": 0}


def run(code: str, site: Site, wrapper: list[str] = []) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*wrapper, sys.executable, "-c", code],
        env={**site.environ, "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


SERVICE = """
from gevent import monkey; monkey.patch_all()
import os
{before}
from shmooze.pool import Pool
class Brief(Pool):
    def start(self):
        super().start()
        {started}
{later}
Brief([], name="pool").serve_forever()
"""
#: Stops the service as soon as it has started.
END = "os.kill(os.getpid(), 15)"


def test_the_log_never_goes_into_a_file_that_the_program_has_opened_before(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(services=("pool",))
    mine = site.folder / "mine"
    before = f"file = open({str(mine)!r}, 'w'); assert file.fileno() == 2"
    code = SERVICE.format(before=before, started=END, later="file.write('mine'); file.flush()")
    program = run(code, site, ["sh", "-c", 'exec "$@" 2>&-', "sh"])
    program.communicate(timeout=PATIENCE)
    assert (program.returncode, mine.read_text()) == (0, "mine")


def test_output_printed_before_serving_appears_once(
    make_site: Callable[..., Site],
) -> None:
    """Although the program forks, with that output in its buffer."""
    site = make_site(services=("pool",))
    program = run(SERVICE.format(before="print('hello')", started=END, later=""), site)
    out, _ = program.communicate(timeout=PATIENCE)
    assert (program.returncode, out.count("hello")) == (0, 1), out


def test_a_signal_that_the_program_itself_ignores_stays_ignored(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(services=("pool",))
    later = "import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN)"
    # Without a guardian, our own process would get the signal.
    started = f"os.getppid() == {os.getpid()} and os._exit(1); "
    started += "os.kill(os.getpid(), 10); os.kill(os.getppid(), 10); os.kill(os.getpid(), 15)"
    program = run(SERVICE.format(before="", started=started, later=later), site)
    out, _ = program.communicate(timeout=PATIENCE)
    assert (program.returncode, "stopping" in out) == (0, True), out


#: A guardian and a process in place of the service, with a child that blocks all signals.
GUARDED = """
from gevent import monkey; monkey.patch_all()
import os, signal, sys, time
from shmooze.processes.guardian import fork_guardian
fork_guardian()
child = os.fork()
if child == 0:
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    time.sleep(1000)
print(child, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("number", ["SIGUSR1", "SIGALRM", "SIGSEGV", "SIGXCPU", "SIGRTMIN"])
def test_the_guardian_outlives_any_signal_to_the_group_and_ends_as_the_service_has(
    number: str,
) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", GUARDED],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert program.stdout is not None
    deaf = int(program.stdout.readline())
    os.killpg(program.pid, getattr(signal, number))
    program.communicate(timeout=PATIENCE)
    assert program.returncode == -getattr(signal, number)
    assert not is_alive(deaf)


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        ([ROOT / "scripts" / "shmz", "-e", "http://127.0.0.1:1/queue", "queue"], 3),
        ([ROOT / "scripts" / "shmz", "--help"], 0),
        ([ROOT / "scripts" / "shmz-watch", "-e", "http://127.0.0.1:1/queue"], 3),
        (["-m", "shmooze.tokens", "--file", "tokens.json", "add", "ada"], 0),
        (["-m", "shmooze.tokens", "--file", "/nowhere/tokens.json", "list"], 2),
        (["-m", "shmooze.pool"], 2),
        (["-m", "shmooze.wsgi"], 2),
    ],
)
def test_short_programs_with_closed_streams_have_the_same_status(
    argv: list[str], status: int, tmp_path: Path
) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "SHMOOZE_SETTINGS": "/nowhere/settings.json"}
    whole = [*CLOSED, sys.executable, *argv]
    assert subprocess.run(whole, env=environ, cwd=tmp_path, timeout=PATIENCE).returncode == status
