"""A module like `well` that is slow, refuses, or hangs, as the args of `init` say.

`delays`: {command: seconds that it takes}; `gates`: [commands that it answers when there is a
file HERE/go-NAME]; `refuses`: {command: its words}; `hangs`: [commands that it never answers].
Its parameter `hears` says what it is busy with. It writes "COMMAND BEGIN END", in seconds of the
monotonic clock, for each command that it answers, or hangs in, to HERE/times-NAME.
"""

import os
import time

from well import Well


class Moody(Well):
    delays, gates, refuses, hangs = {}, [], {}, []
    times = gate = None

    def cmd_init(self, delays={}, gates=[], refuses={}, hangs=[], **others):
        self.delays, self.gates, self.refuses, self.hangs = delays, gates, refuses, hangs
        if "name" in others:
            here = os.environ["HERE"]
            self.times, self.gate = f"{here}/times-{others['name']}", f"{here}/go-{others['name']}"
        super().cmd_init(**others)

    def with_moods(self, cmd, function, args):
        begin = time.monotonic()
        if cmd in ("play", "suspend", "rm") or cmd.startswith("do_"):
            self.set_parameters({"hears": cmd})
        result = function(self, **args)
        time.sleep(self.delays.get(cmd, 0))
        while cmd in self.gates and not os.path.exists(self.gate):
            time.sleep(0.01)
        if cmd in self.hangs:
            self.write_times(cmd, begin)
            self.do_hang()
        if cmd in self.refuses:
            raise ValueError(self.refuses[cmd])
        self.write_times(cmd, begin)
        return result

    def write_times(self, cmd, begin):
        if self.times:
            with open(self.times, "a") as out:
                out.write(f"{cmd} {begin} {time.monotonic()}\n")


def moody(cmd, function):
    return lambda self, **args: self.with_moods(cmd, function, args)


Moody.commands = {
    cmd: moody(cmd, function) for cmd, function in {**Well.commands, "init": Moody.cmd_init}.items()
}


if __name__ == "__main__":
    module = Moody()
    while True:
        module.handle_one_command()
