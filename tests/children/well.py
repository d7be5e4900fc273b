"""A well-behaved module. It writes every command that it hears to HERE/heard-NAME, if named, and
to HERE/stage, where all modules write.

args of `init`: `name` for that file; `refuse` makes it refuse with these words.
"""

import os

from shmooze.modules import JSONParentPoller


class Well(JSONParentPoller):
    heard = None

    def hear(self, cmd):
        if self.heard:
            with open(self.heard, "a") as out:
                out.write(cmd + "\n")
            with open(f"{os.environ['HERE']}/stage", "a") as out:
                out.write(f"{self.name} {cmd}\n")

    def cmd_init(self, name=None, refuse=None, **others):
        if refuse:
            raise ValueError(refuse)
        if name:
            self.name, self.heard = name, f"{os.environ['HERE']}/heard-{name}"
        self.hear("init")
        self.set_parameters({"name": name, "args": others, "pid": os.getpid()})

    def cmd_play(self):
        self.hear("play")
        self.set_parameters({"playing": True})

    def cmd_suspend(self):
        self.hear("suspend")
        self.set_parameters({"playing": False})

    def cmd_rm(self):
        self.hear("rm")

    def do_echo(self, **args):
        return args

    def do_fail(self, words="no"):
        raise ValueError(words)

    def do_set(self, **parameters):
        self.set_parameters(parameters)

    def do_unset(self, names):
        self.unset_parameters(names)

    def do_leave(self):
        """Say goodbye on the update stream, and end."""
        self.rm()

    def do_exit(self, status=0):
        """End without a word, and without an answer."""
        os._exit(status)

    def do_hang(self):
        """Never answer."""
        self.hear("hang")
        while True:
            self.connection.recv_cmd()

    def do_raw(self, line):
        """Send a line of one's own up the update stream."""
        self.connection.us.sendall(line.encode() + b"\n")

    commands = {
        "init": cmd_init,
        "play": cmd_play,
        "suspend": cmd_suspend,
        "rm": cmd_rm,
        "do_echo": do_echo,
        "do_fail": do_fail,
        "do_set": do_set,
        "do_unset": do_unset,
        "do_leave": do_leave,
        "do_exit": do_exit,
        "do_hang": do_hang,
        "do_raw": do_raw,
    }


if __name__ == "__main__":
    well = Well()
    while True:
        well.handle_one_command()
