"""Modules that clean up when they are removed, as programs for shmooze 1.2.4 do.

`tidy.py SHAPE HOST PORT PORT`, where SHAPE is an arrangement of threads:

- `player`: a daemon thread reads the commands, the main thread stops the player;
- `download`: the main thread reads the commands, a daemon thread deletes the download;
- `joined`: a thread reads the commands, the main thread has ended, and a daemon thread deletes
  the download;
- `screen`: the program's own Thread reads the commands, and the main thread, which paints, closes
  the streams and joins it;
- `greenlet`: the main greenlet of a program that gevent has patched reads the commands, another
  greenlet deletes the download; `reader`: the other way round;
- `endless`, `endless-reader`: one thread reads the commands (with `endless-reader` not the main
  one); the other thread never ends, and nothing tells it to.

Cleaning up means deleting HERE/download once HERE/go exists. HERE/last-words records what was
done: "hung-up", when the reader ends; "tidied"; "atexit".
"""

import sys

shape = sys.argv[1]
if shape in ("greenlet", "reader"):
    from gevent import monkey

    monkey.patch_all()

import atexit
import os
import pathlib
import queue
import threading
import time

from shmooze.modules import JSONParentPoller

here = pathlib.Path(os.environ["HERE"])


def say(words):
    with (here / "last-words").open("a") as out:
        out.write(words + "\n")


class Tidy(JSONParentPoller):
    def __init__(self):
        self.messages = queue.Queue()
        super().__init__()

    def cmd_init(self):
        (here / "download").touch()
        self.set_parameters({"pid": os.getpid()})

    def cmd_rm(self):
        self.messages.put("rm")

    def nothing(self):
        pass

    def do_end(self):
        """End by itself, as if all were played."""
        self.messages.put("end")

    def work(self):
        """What takes time: to play, and to tidy up."""
        if self.messages.get() == "rm":
            while not (here / "go").exists():
                time.sleep(0.01)
        (here / "download").unlink()
        self.rm()
        say("tidied")

    def serve(self):
        try:
            while True:
                self.handle_one_command()
        finally:
            say("hung-up")

    commands = {
        "init": cmd_init,
        "play": nothing,
        "suspend": nothing,
        "rm": nothing if shape.startswith("endless") else cmd_rm,
        "do_end": do_end,
    }


class Screen(Tidy, threading.Thread):
    def __init__(self):
        super().__init__()
        self.daemon = self.running = True
        self.start()
        self.work()
        self.running = False
        self.close()
        self.join()

    def cmd_rm(self):
        self.messages.put("rm")
        self.running = False

    def run(self):
        while self.running:
            self.handle_one_command()

    commands = {**Tidy.commands, "rm": cmd_rm}


if __name__ == "__main__":
    atexit.register(say, "atexit")
    if shape == "screen":
        Screen()
        sys.exit()
    module = Tidy()
    if shape == "greenlet":
        import gevent

        gevent.spawn(module.work)
        module.serve()
    elif shape == "reader":
        import gevent

        gevent.spawn(module.serve)
        module.work()
        module.close()
    elif shape in ("download", "endless"):
        threading.Thread(target=module.work, daemon=True).start()
        module.serve()
    elif shape == "joined":
        threading.Thread(target=module.work, daemon=True).start()
        threading.Thread(target=module.serve).start()  # the program's end waits for it
    else:
        threading.Thread(target=module.serve, daemon=True).start()
        module.work()
        module.close()
