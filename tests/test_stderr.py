"""The program's log: nothing waits for its readers."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import CHILDREN, PATIENCE, Site, is_listening, wait_until

pytestmark = pytest.mark.slow

#: A module that never stops printing.
LOUD = f'while :; do echo hello; done & exec bash {CHILDREN / "quick.sh"} "$@"'


def is_full(pipe: int) -> bool:
    """Whether a pipe takes nothing more. It may hold fewer bytes than it could: pieces that do not
    fit into the rest of a page begin another one.
    """
    return not select.select([], [pipe], [], 0)[1]


def test_a_service_works_and_stops_while_its_output_is_not_read(
    make_site: Callable[..., Site],
) -> None:
    kinds = {
        "loud": {"process": ["bash", "-c", LOUD, "loud"]},
        "quick": {"process": ["bash", str(CHILDREN / "quick.sh")]},
    }
    site = make_site(services=("pool",), settings={"pool": {"modules": kinds}})
    screen, output = os.pipe()
    argv = [sys.executable, "-m", "shmooze.pool"]
    pool = subprocess.Popen(argv, env=site.environ, stdout=output, stderr=output)
    site.processes["pool"] = pool
    try:
        wait_until(lambda: is_listening(site.ports["pool"]), "it listens")
        site.ask("pool", "add", type="loud")
        wait_until(lambda: is_full(output), "nothing more can be printed")
        uid = site.ask("pool", "add", type="quick")["uid"]
        site.ask("pool", "rm", uids=[uid])
        assert site.stop() == {"pool": 0}
    finally:
        os.close(screen)
        os.close(output)


#: The beginning of a program that logs; code of the test follows.
LOGGING = """
from gevent import monkey; monkey.patch_all()
import logging, sys, gevent
from shmooze.runtime.logs import LineQueue, PlainStderrHandler, StderrHandler
StderrHandler.flush_timeout = 30
LineQueue.max_lines = 100
handler = {handler}()
logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
def go_on(): return sys.stdin.readline()
def tell(what): print(what, flush=True)
"""

#: More lines than a pipe holds.
FLOOD = 900


class Logger:
    """A program that logs to a pipe. `go_on` and `told` synchronize with it."""

    def __init__(self, code: str, handler: str = "StderrHandler", blocks: bool = True) -> None:
        self._output, output = os.pipe()
        os.set_blocking(output, blocks)
        self._process = subprocess.Popen(
            [sys.executable, "-c", LOGGING.format(handler=handler) + code],
            env={**os.environ, "PYTHONPATH": str(CHILDREN.parent.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
        os.close(output)
        self._data = b""

    def told(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def read_until(self, words: bytes) -> None:
        while words not in self._data:
            self._data += os.read(self._output, 1 << 16)

    def end(self) -> list[str]:
        """Wait for its end. Returns all lines of the log."""
        while more := os.read(self._output, 1 << 16):
            self._data += more
        os.close(self._output)
        self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0, self._data
        return self._data.decode().splitlines()


def lost_in(lines: list[str]) -> int:
    """How many lines were lost, according to the log itself."""
    found = [re.fullmatch(r"\((\d+) lines of the log were lost\)", line) for line in lines]
    return sum(int(each[1]) for each in found if each)


@pytest.mark.parametrize("blocks", [True, False], ids=["blocks", "does not block"])
def test_lines_are_whole_and_in_order_and_lost_ones_are_counted(blocks: bool) -> None:
    code = f"""
for number in range({FLOOD}):
    logging.info("line %d %s", number, "x" * 200)
    gevent.sleep(0)
tell("done")
go_on()
handler.flush()
logging.info("later")
"""
    logger = Logger(code, blocks=blocks)
    assert logger.told() == "done"
    # Reported as soon as there is room, not only with the next line.
    logger.read_until(b"lines of the log were lost)\n")
    logger.go_on()
    lines = logger.end()
    numbers = [int(line.split()[1]) for line in lines if line.startswith("line")]
    assert {line for line in lines if line.startswith("line")} == {
        f"line {number} {'x' * 200}" for number in numbers
    }
    assert numbers == sorted(numbers)
    assert 0 < lost_in(lines) == FLOOD - len(numbers)
    assert lines[-1] == "later"


@pytest.mark.parametrize("blocks", [True, False], ids=["blocks", "does not block"])
def test_a_process_without_threads_counts_the_lines_that_it_cannot_write(blocks: bool) -> None:
    code = f"""
for number in range({FLOOD}):
    logging.info("line %d %s", number, "x" * 200)
tell("done")
go_on()
logging.info("later")
"""
    logger = Logger(code, "PlainStderrHandler", blocks)
    assert logger.told() == "done"
    logger.read_until(b"line 0 ")
    logger.read_until(b"line 200 ")
    logger.go_on()
    *lines, told, last = logger.end()
    assert lines == [f"line {number} {'x' * 200}" for number in range(len(lines))]
    assert lost_in([told]) == FLOOD - len(lines)
    assert last == "later"


def test_native_threads_may_log() -> None:
    code = """
LineQueue.max_lines = 10_000
start = monkey.get_original("_thread", "start_new_thread")
lock = monkey.get_original("_thread", "allocate_lock")
ended = []
def log_much(name, done):
    for number in range(100):
        logging.info("%s %d", name, number)
    done.release()
for name in "abcdefgh":
    ended.append(lock())
    ended[-1].acquire()
    start(log_much, (name, ended[-1]))
for number in range(100):
    logging.info("loop %d", number)
    gevent.sleep(0)
for each in ended:
    each.acquire()
logging.info("later")
"""
    *lines, last = Logger(code).end()
    expected = {f"{name} {number}" for name in (*"abcdefgh", "loop") for number in range(100)}
    assert (len(lines), set(lines)) == (900, expected)
    assert last == "later"


def test_a_fork_writes_and_counts_its_own_lines_only(tmp_path: Path) -> None:
    own = tmp_path / "own"
    code = f"""
import os
for number in range({FLOOD}):
    logging.info("line %d %s", number, "x" * 200)
    gevent.sleep(0)
if os.fork() == 0:
    os.dup2(os.open({str(own)!r}, os.O_CREAT | os.O_WRONLY), 2)
    logging.info("child")
    handler.flush()
    tell("done")
    os._exit(0)
os.wait()
"""
    logger = Logger(code)
    assert logger.told() == "done"
    assert own.read_text() == "child\n"
    lines = logger.end()
    assert lost_in(lines) == FLOOD - sum(line.startswith("line") for line in lines)


def test_lines_lost_by_a_full_disk_are_counted(tmp_path: Path) -> None:
    code = """
import resource
for limit in (100, resource.RLIM_INFINITY):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for number in range(100):
        logging.info("line %d of %d", number, limit)
        handler.flush()
"""
    log = tmp_path / "log"
    with log.open("ab") as file:
        subprocess.run(
            [sys.executable, "-c", LOGGING.format(handler="StderrHandler") + code],
            env={**os.environ, "PYTHONPATH": str(CHILDREN.parent.parent)},
            stdout=subprocess.DEVNULL,
            stderr=file,
            check=True,
            timeout=PATIENCE,
        )
    lines = log.read_text().splitlines()
    whole = [line for line in lines if re.fullmatch(r"line \d+ of -?\d+", line)]
    assert lost_in(lines) == 200 - len(whole)
    assert len(lines) == len(whole) + 1
