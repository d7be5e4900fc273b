"""A service that can be put into every situation. It takes its name in `ports` as an argument.

Files in HERE are its signals: see `wait_for`.
"""

from gevent import monkey

monkey.patch_all()

import os
import sys
from pathlib import Path
from typing import Any

import gevent

from shmooze.errors import CommandError
from shmooze.lib.service import JSONCommandProcessor, Service
from shmooze.web.server import Server

#: Longer than a test waits for a stop: that of an idle connection has to come by itself.
Server.stop_timeout = 1000.0

HERE = Path(os.environ.get("HERE", "."))


class Probe(JSONCommandProcessor, Service):
    name = sys.argv[1]

    def echo(self, value: Any) -> Any:
        return value

    def typed(self, number: int, word: str = "", names: list[str] = []) -> list:
        return [number, word, names]

    def untyped(self, one, two=2):
        return [one, two]

    def anything(self, **others: Any) -> dict:
        return others

    def nothing(self) -> None:
        pass

    def refuse(self, words: str) -> None:
        raise CommandError(words)

    def crash(self) -> None:
        raise RuntimeError("a secret")

    def misuse(self) -> None:
        self.echo(1, 2, 3)

    def unspeakable(self) -> Any:
        return object()

    def blob(self) -> Any:
        return [{"data": b"abc"}]

    def time_out(self) -> None:
        with gevent.Timeout(0.01):
            gevent.sleep(10)

    def pid(self) -> int:
        return os.getpid()

    def wait_for(self, name: str) -> str:
        """Say that it has begun, by the file `begun-NAME`; answer once the file NAME is there."""
        (HERE / f"begun-{name}").touch()
        while not (HERE / name).exists():
            gevent.sleep(0.005)
        return "done"

    def die(self) -> None:
        os._exit(9)

    commands = {
        function.__name__: function
        for function in (
            echo,
            typed,
            untyped,
            anything,
            nothing,
            refuse,
            crash,
            misuse,
            unspeakable,
            blob,
            time_out,
            pid,
            wait_for,
            die,
        )
    }


if __name__ == "__main__":
    Probe().serve_forever()
