"""Prints whether each connection was made by a given process: judge.py HOST [unreadable].

The process is this one; with `unreadable`, it is a child of the same user whose open files only
root may see. Prints the port first, then True or False for each connection.
"""

import ctypes
import os
import signal
import socket
import sys
import time

from shmooze.processes.peer import belongs_to

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4

host, *unreadable = sys.argv[1:]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
server = socket.create_server((host, 0), family=family)
pid = os.getpid()
if unreadable:
    hidden, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        os.write(told, b"!")
        time.sleep(1000)
    os.read(hidden, 1)
print(server.getsockname()[1], flush=True)
while True:
    connection, _ = server.accept()
    print(belongs_to([pid], connection), flush=True)
    connection.close()
