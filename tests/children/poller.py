"""A module based on JSONParentPoller: `poller.py WAY HOST PORT PORT`.

Ways to run it: `main`: commands are handled in the main thread; `thread`: in another thread;
`gevent`: like main, in a program that gevent has patched; `greenlet`: in a greenlet of such a
program; `hooked`: like main, with its own `threading.excepthook`.

`finally` and `atexit` write to HERE/last-words. Compatible with Python 3.8.
"""

import sys

way = sys.argv[1] if len(sys.argv) > 1 else "main"
if way in ("gevent", "greenlet"):
    from gevent import monkey

    monkey.patch_all()

import atexit
import io
import json
import os
import threading
import time
from typing import List, Optional

from shmooze.errors import CommandError
from shmooze.modules import JSONParentPoller


def say(words):
    with open(os.path.join(os.environ["HERE"], "last-words"), "a") as out:
        out.write(words + "\n")


def fail(words, kind="RuntimeError"):
    if kind == "mistake":
        words.play()  # which text cannot
    kinds = {each.__name__: each for each in (RuntimeError, ValueError, TypeError, SystemExit)}
    raise {**kinds, "CommandError": CommandError}[kind](words)


class Poller(JSONParentPoller):
    restored = None

    def cmd_restore(self, state):
        self.restored = state

    def cmd_init(self, fail_with=None, **args):
        if fail_with:
            fail(**fail_with)
        self.player = io.StringIO()
        self.set_parameters({"way": way, "args": args})
        self.unset_parameters(("nothing",))

    def do_add(self, a, b):
        return a + b

    def do_sum(self, numbers: List[int], name: Optional[str] = None):
        return sum(numbers)

    def nothing(self):
        pass

    def cmd_rm(self):
        self.player.close()  # which is there if `init` was accepted

    def do_fail(self, words, kind="RuntimeError"):
        fail(words, kind)

    def do_fail_in(self, what, words, kind="RuntimeError"):
        """Fail in a thread or greenlet; `awaited`: in a greenlet for which somebody waits."""
        if what == "thread":
            threading.Thread(target=fail, args=(words, kind)).start()
            return None
        import gevent

        greenlet = gevent.spawn(fail, words, kind)
        try:
            return greenlet.get() if what == "awaited" else None
        except RuntimeError:
            return "caught"

    def do_parse(self, text):
        return json.loads(text)

    def do_result(self, kind):
        return {"object": object(), "nan": float("nan"), "bytes": b"x", "tuple": (1, "ü")}[kind]

    def do_nan(self):
        try:
            self.set_parameters({"fine": 1, "x": float("inf")})
        except ValueError as bad:
            return str(bad)

    def do_save(self, state, in_vain=False):
        if in_vain:
            self.commands = {"do_update": Poller.do_update}
        self.save(state)

    def do_restored(self):
        return self.restored

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
        "restore": cmd_restore,
        "init": cmd_init,
        "play": nothing,
        "suspend": nothing,
        "rm": cmd_rm,
        "do_add": do_add,
        "do_sum": do_sum,
        "do_fail": do_fail,
        "do_fail_in": do_fail_in,
        "do_parse": do_parse,
        "do_result": do_result,
        "do_nan": do_nan,
        "do_save": do_save,
        "do_restored": do_restored,
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
    if way == "hooked":
        threading.excepthook = lambda args: say(str(args.exc_value))
    poller = Poller()
    if way in ("thread", "greenlet"):
        thread = threading.Thread(target=handle_commands, args=(poller,))
        thread.start()
        while thread.is_alive():
            time.sleep(0.01)
        say("joined")
    else:
        handle_commands(poller)
