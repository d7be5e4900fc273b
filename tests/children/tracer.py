"""A debugger that stops a process and then does nothing more: tracer.py PID.

Prints a line once it is attached. Exits with status 77 if tracing is not permitted.
"""

import ctypes
import os
import sys
import time

PTRACE_ATTACH = 16

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
pid = int(sys.argv[1])
if libc.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
    sys.exit(77)
os.waitpid(pid, 0)
print("traced", flush=True)
time.sleep(1000)
