"""A module that, told `spray`, sends so many updates as fast as it can, and reads no answer."""

import json
import socket
import sys

host, command_port, update_port = sys.argv[-3:]
commands = socket.create_connection((host, int(command_port)))
updates = socket.create_connection((host, int(update_port)))

LINE = b'{"cmd":"set_parameters","args":{"parameters":{"count":%d}}}\n'
BLOCK = 500
#: Made before, so that a blow costs the sender as good as nothing.
block = b"".join(LINE % number for number in range(BLOCK))

for line in commands.makefile():
    commands.sendall(b'{"success":true}\n')
    told = json.loads(line)
    if told["cmd"] == "do_spray":
        for _ in range(told["args"]["count"] // BLOCK):
            updates.sendall(block)
        updates.sendall(LINE % -told["args"]["number"])
