"""A module that sends exactly the bytes that it is told to, with any command, `init` included.

args: `up`: a Python expression for a list of pieces, each sent by itself up the update stream;
`back`: how many answers to read from it then, they are the result; `answer`: a Python expression
for the bytes with which to answer the command. It reads nothing from the update stream but that.
"""

import json
import socket
import sys
import time

host, command_port, update_port = sys.argv[-3:]
commands = socket.create_connection((host, int(command_port)))
updates = socket.create_connection((host, int(update_port)))
updates.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
answers = updates.makefile("rb")

for line in commands.makefile("rb"):
    args = json.loads(line).get("args", {})
    for piece in eval(args.get("up", "[]")):
        updates.sendall(piece)
        time.sleep(0.02)  # so that the pieces arrive one by one
    back = [json.loads(answers.readline()) for _ in range(args.get("back", 0))]
    good = json.dumps({"success": True, "result": back}).encode() + b"\n"
    commands.sendall(eval(args["answer"]) if "answer" in args else good)
