"""A module that starts in no time. With `{"short": true}` it leaves as soon as it plays."""

import json
import socket
import sys

host, command_port, update_port = sys.argv[-3:]
commands = socket.create_connection((host, int(command_port)))
updates = socket.create_connection((host, int(update_port)))
is_short = False
for line in commands.makefile():
    command = json.loads(line)
    if command["cmd"] == "init":
        is_short = command["args"].get("short", False)
    commands.sendall(b'{"success":true}\n')
    if command["cmd"] == "rm":
        break
    if command["cmd"] == "play" and is_short:
        updates.sendall(b'{"cmd":"rm"}\n')
