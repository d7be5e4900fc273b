"""A module that changes three parameters so many times a second, and nothing else.

Argument of the program, before those of every module: how often.
"""

import select
import socket
import sys
import time

interval = 1 / float(sys.argv[1])
host, ports = sys.argv[2], [int(port) for port in sys.argv[3:]]
commands, updates = (socket.create_connection((host, port)) for port in ports)

started, beats, next_beat = time.monotonic(), 0, float("inf")
while True:
    wait = max(0, min(60, next_beat - time.monotonic()))
    readable, _, _ = select.select([commands, updates], [], [], wait)
    if commands in readable:
        line = commands.recv(65536)
        if not line:
            break
        commands.sendall(b'{"success": true}\n')
        if b'"play"' in line:
            next_beat = time.monotonic()
    if updates in readable:
        updates.recv(65536)
    if time.monotonic() >= next_beat:
        beats += 1
        next_beat += interval
        progress, left = beats % 100 / 100, 100 - beats % 100
        updates.sendall(
            b'{"cmd": "set_parameters", "args": {"parameters": '
            b'{"progress": %.2f, "left": %d, "beats": %d}}}\n' % (progress, left, beats)
        )
