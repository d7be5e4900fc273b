"""The program's log: nobody waits for those who read it."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import termios
from collections.abc import Callable

from support import CHILDREN, PATIENCE, Site, is_listening, wait_until

#: A module that never stops to print.
LOUD = f'while :; do echo hello; done & exec bash {CHILDREN / "quick.sh"} "$@"'


def unread(pipe: int) -> int:
    """Bytes that wait in a pipe."""
    count = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
    return int(struct.unpack("i", count)[0])


def test_service_whose_output_nobody_reads_goes_on_and_ends(make_site: Callable[..., Site]) -> None:
    kinds = {
        "loud": {"process": ["bash", "-c", LOUD, "loud"]},
        "quick": {"process": ["bash", str(CHILDREN / "quick.sh")]},
    }
    site = make_site(services=("pool",), settings={"pool": {"modules": kinds}})
    screen, output = os.pipe()
    argv = [sys.executable, "-m", "shmooze.pool"]
    pool = subprocess.Popen(argv, env=site.environ, stdout=output, stderr=output)
    site.processes["pool"] = pool
    capacity = fcntl.fcntl(output, fcntl.F_GETPIPE_SZ)
    os.close(output)
    try:
        wait_until(lambda: is_listening(site.ports["pool"]), "it listens")
        site.ask("pool", "add", type="loud")
        wait_until(lambda: unread(screen) > capacity - 8192, "nothing more can be printed")
        uid = site.ask("pool", "add", type="quick")["uid"]
        site.ask("pool", "rm", uids=[uid])
        assert site.stop() == {"pool": 0}
    finally:
        os.close(screen)


def test_lines_come_in_order_and_those_that_do_not_fit_are_counted() -> None:
    code = """
from gevent import monkey; monkey.patch_all()
import logging
from shmooze.lib.stderr import StderrHandler
StderrHandler.max_lines = 3
logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[StderrHandler()])
for number in range(10):
    logging.info("line %d", number)
logging.getLogger().handlers[0].flush()
logging.info("later")
"""
    environ = {**os.environ, "PYTHONPATH": str(CHILDREN.parent.parent)}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    expected = ["line 0", "line 1", "line 2", "(7 lines of the log left out)", "later"]
    assert ended.stderr.splitlines() == expected
