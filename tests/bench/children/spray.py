"""A module whose command `spray` sends many updates as fast as it can and reads no answers."""

import json
import socket
import sys

host, command_port, update_port = sys.argv[-3:]
commands = socket.create_connection((host, int(command_port)))
updates = socket.create_connection((host, int(update_port)))

LINE = b'{"cmd":"set_parameters","args":{"parameters":{"count":%d}}}\n'
BLOCK = 500
#: Made in advance, so that sending costs almost no CPU time.
block = b"".join(LINE % number for number in range(BLOCK))

for line in commands.makefile():
    commands.sendall(b'{"success":true}\n')
    command = json.loads(line)
    if command["cmd"] == "do_spray":
        for _ in range(command["args"]["count"] // BLOCK):
            updates.sendall(block)
        updates.sendall(LINE % -command["args"]["number"])
