"""A well-behaved module that reports what it was started with; see born.sh."""

import ctypes
import os
import resource

from well import Well

death = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(death), 0, 0, 0)  # PR_GET_PDEATHSIG

well = Well()
well.set_parameters(
    {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "ignored": int(os.environ["IGNORED"], 16),
        "blocked": int(os.environ["BLOCKED"], 16),
        "input": os.readlink("/proc/self/fd/0"),
        "unbuffered": os.environ["PYTHONUNBUFFERED"],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "realtime": resource.getrlimit(resource.RLIMIT_RTTIME),
        "at_parents_death": death.value,
    }
)
while True:
    well.handle_one_command()
