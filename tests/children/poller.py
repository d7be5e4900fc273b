"""A module on JSONParentPoller, run in one of several ways: `poller.py WAY HOST PORT PORT`.

`main`: commands are handled in the main thread; `thread`: in a thread; `gevent`: the same as main
in a script that gevent has patched; `greenlet`: in a greenlet of such a script.

What its `finally` and `atexit` say is written to HERE/last-words. Runs on Python 3.8 as well.
"""

import sys

way = sys.argv[1] if len(sys.argv) > 1 else "main"
if way in ("gevent", "greenlet"):
    from gevent import monkey

    monkey.patch_all()

import atexit
import json
import os
import threading
import time

from shmooze.errors import CommandError
from shmooze.modules import JSONParentPoller


def say(words):
    with open(os.path.join(os.environ["HERE"], "last-words"), "a") as out:
        out.write(words + "\n")


class Poller(JSONParentPoller):
    def cmd_init(self, **args):
        self.set_parameters({"way": way, "args": args})
        self.unset_parameters(("nothing",))

    def do_add(self, a, b):
        return a + b

    def do_fail(self, words, kind="RuntimeError"):
        kinds = {each.__name__: each for each in (RuntimeError, ValueError, TypeError)}
        raise {**kinds, "CommandError": CommandError}[kind](words)

    def do_parse(self, text):
        return json.loads(text)

    def do_result(self, kind):
        return {"object": object(), "nan": float("nan"), "bytes": b"x", "tuple": (1, "ü")}[kind]

    def do_nan(self):
        try:
            self.set_parameters({"fine": 1, "x": float("inf")})
        except ValueError as bad:
            return str(bad)

    def do_updates(self, threads, count, size):
        """From each of several threads, many updates."""

        def send(thread):
            for number in range(count):
                self.set_parameters({"thread": thread, "number": number, "ballast": "x" * size})

        for thread in range(threads):
            threading.Thread(target=send, args=(thread,)).start()

    def do_update(self):
        self.set_parameters({"a": 1})

    def do_close(self):
        """Close from a thread, a while after the next command is waited for."""
        threading.Timer(0.2, self.close).start()

    commands = {
        "init": cmd_init,
        "do_add": do_add,
        "do_fail": do_fail,
        "do_parse": do_parse,
        "do_result": do_result,
        "do_nan": do_nan,
        "do_updates": do_updates,
        "do_update": do_update,
        "do_close": do_close,
    }


def handle_commands(poller):
    try:
        while True:
            poller.handle_one_command()
    finally:
        say("finally")


if __name__ == "__main__":
    atexit.register(say, "atexit")
    poller = Poller()
    if way in ("thread", "greenlet"):
        thread = threading.Thread(target=handle_commands, args=(poller,))
        thread.start()
        while thread.is_alive():
            time.sleep(0.01)
        say("joined")
    else:
        handle_commands(poller)
