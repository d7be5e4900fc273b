"""A pool that can tell what it holds: open files, greenlets, threads, listening sockets."""

from gevent import monkey

monkey.patch_all()

import gc
import os
import socket
import sys
from pathlib import Path

import greenlet

from shmooze.modules import Module
from shmooze.pool import Pool


class Quick(Module):
    TYPE_STRING = "quick"
    process = ["bash", str(Path(__file__).parent / "quick.sh")]


class Faulty(Quick):
    TYPE_STRING = "faulty"

    def start(self, args: dict) -> None:
        self._connect()
        raise RuntimeError("a fault in the application")


class CountingPool(Pool):
    def holdings(self) -> dict[str, int]:
        gc.collect()
        living = [each for each in gc.get_objects() if isinstance(each, greenlet.greenlet)]
        sockets = [each for each in gc.get_objects() if isinstance(each, socket.socket)]
        return {
            "files": len(os.listdir("/proc/self/fd")),
            "greenlets": sum(1 for each in living if not each.dead),
            "threads": len(os.listdir("/proc/self/task")),
            "sockets": sum(1 for each in sockets if each.fileno() >= 0),
            "modules": sum(1 for each in gc.get_objects() if isinstance(each, Module)),
        }

    commands = {**Pool.commands, "holdings": holdings}


if __name__ == "__main__":
    sys.exit(CountingPool([Quick, Faulty]).serve_forever())
