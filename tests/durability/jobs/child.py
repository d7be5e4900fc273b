"""A job that starts in no time. It appends its number to the file `runs` when it gets `init`, and
does what its args say when it plays:

- `result`: ends with its number as the result
- `fail`: fails
- `flaky`: fails the first time, and then ends as `result` does
- `stay`: plays on until it is removed
"""

import json
import os
import socket
import sys

FOLDER = os.environ["HERE"]
host, command_port, update_port = sys.argv[-3:]
commands = socket.create_connection((host, int(command_port)))
updates = socket.create_connection((host, int(update_port)))


def append(name, text):
    """Add a line to a file, in one write, which a SIGKILL cannot interrupt."""
    file = os.open(os.path.join(FOLDER, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (text + "\n").encode())
    os.close(file)


def is_first(number):
    try:
        open(os.path.join(FOLDER, f"tried-{number}"), "x").close()
    except FileExistsError:
        return False
    return True


def update(cmd, **args):
    updates.sendall(json.dumps({"cmd": cmd, "args": args}).encode() + b"\n")


def play(number, does):
    if does == "fail" or (does == "flaky" and is_first(number)):
        update("fail", error="as asked")
    elif does != "stay":
        update("result", value=number)


args = {}
for line in commands.makefile():
    command = json.loads(line)
    if command["cmd"] == "init":
        args = command["args"]
        append("runs", str(args["number"]))
    commands.sendall(b'{"success":true}\n')
    if command["cmd"] == "rm":
        break
    if command["cmd"] == "play":
        play(args["number"], args["does"])
