"""A service of an application's own that ends badly: svc_obstinate.py.

It ignores SIGTERM, and has a child and a daemon that do so too. Each writes its pid to
HERE/pids-own.
"""

import os
import signal
import time


def live():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with open(f"{os.environ['HERE']}/pids-own", "a") as out:
        out.write(f"{os.getpid()}\n")
    while True:
        time.sleep(1000)


if os.fork() == 0:
    live()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        live()
    os._exit(0)
os.wait()
live()
