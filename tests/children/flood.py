"""A module that sends updates as fast as it can while it plays, and never reads an answer."""

import socket
import sys
import threading

host, command_port, update_port = sys.argv[-3:]
commands = socket.create_connection((host, int(command_port)))
updates = socket.create_connection((host, int(update_port)))


def flood():
    count = 0
    while True:
        lines = []
        for _ in range(500):
            count += 1
            lines.append(b'{"cmd":"set_parameters","args":{"parameters":{"count":%d}}}\n' % count)
        updates.sendall(b"".join(lines))


for line in commands.makefile():
    commands.sendall(b'{"success":true}\n')
    if '"play"' in line:
        threading.Thread(target=flood, daemon=True).start()
