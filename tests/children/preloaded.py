"""Reports what its process is like: preloaded.py [ARGUMENTS] HOST PORT PORT, or over stdio.

Each time that it is loaded, it adds a line to HERE/loaded-NAME. HERE/extra_NAME.py is loaded too.
"""

import ctypes
import os
import resource
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from shmooze.modules.pymodule import JSONParentPoller

HERE, NAME = os.environ["HERE"], os.environ["NAME"]
with open(f"{HERE}/loaded-{NAME}", "a") as file:
    file.write(f"{os.getpid()}\n")
sys.path.insert(0, HERE)
extra = import_module(f"extra_{NAME}")


def parent_death_signal():
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(number))  # PR_GET_PDEATHSIG
    return number.value


class Preloaded(JSONParentPoller):
    def ignore(self):
        pass

    def facts(self):
        return {
            "parent": os.getppid(),
            "has its own session": os.getsid(0) == os.getpid(),
            "parent-death signal": parent_death_signal(),
            "is marked": resource.getrlimit(resource.RLIMIT_RTTIME)[0] > 1 << 62,
            "folder": os.getcwd(),
            "arguments": [word for word in sys.argv[1:] if not word.isdigit()],
            "environment": {name: os.environ[name] for name in ("HERE", "COLOUR")},
            "open files": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1],
            "input": os.readlink("/proc/self/fd/0").partition(":")[0],
            "main": [__name__, sys.modules["__main__"].__file__, __file__],
            "path": sys.path[2:],
        }

    commands = {
        **dict.fromkeys(("init", "play", "suspend", "rm"), ignore),
        "do_facts": facts,
        "do_version": lambda self: extra.VERSION,
        "do_pid": lambda self: os.getpid(),
        "do_exit": lambda self, status: os._exit(status),
    }


def main():
    module = Preloaded()
    while True:
        module.handle_one_command()


if __name__ == "__main__":
    main()
