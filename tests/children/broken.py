"""A module that breaks the protocol in one way, and keeps to it otherwise: `broken.py FAULT …`.

It starts fast, since it imports next to nothing, not even `socket` and `json`.
"""

import _socket
import sys
import time

fault = sys.argv[1]
DESCRIPTION = {
    "args": {"properties": {"seconds": {"type": "integer", "default": 3}}},
    "commands": {"add": {"args": {"properties": {"seconds": {"type": "integer", "default": 1}}}}},
    "parameters": {"left": {"type": "integer"}},
}
if sys.argv[-1] == "--describe":
    if not fault.startswith(("describes", "prints")):
        sys.exit(2)
    if fault == "describes another type of parameter":
        DESCRIPTION["parameters"]["left"] = {"type": "string"}
    elif fault == "describes a command that it does not have":
        DESCRIPTION["commands"]["subtract"] = {}
    elif fault == "describes an argument as required that is not":
        DESCRIPTION["args"] = {
            "properties": {"seconds": {"type": "integer", "examples": [3]}},
            "required": ["seconds"],
        }
    elif fault == "describes itself with a schema that is not one":
        DESCRIPTION["args"]["properties"]["seconds"]["type"] = "seconds"
    import json

    text = json.dumps(DESCRIPTION)
    print(text[:-3] if fault == "prints half a description" else text)
    sys.exit()

host, command_port, update_port = sys.argv[-3:]


def connect(port):
    connection = _socket.socket()
    connection.connect((host, int(port)))
    connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    return connection


if fault == "connects in the wrong order":
    updates, commands = connect(update_port), connect(command_port)
else:
    commands = connect(command_port)
    if fault == "connects one stream only":
        time.sleep(1000)
    updates = connect(update_port)
if fault == "connects twice":
    more = connect(command_port)


def update(cmd, args="{}"):
    line = f'{{"cmd":"{cmd}","args":{args}}}'
    updates.sendall(line.encode() + (b"" if fault == "does not end a line" else b"\n"))


def lines():
    """Commands as they come; one fault is to take what is read at once for one command."""
    if fault == "takes what arrives together for one command":
        while data := commands.recv(1 << 20):
            yield data.partition(b"\n")[0]
        return
    buffer = b""
    while data := commands.recv(1 << 12):
        buffer += data
        if fault == "has a small buffer" and len(buffer) > 1 << 16:
            sys.exit("the command is too long")
        *complete, buffer = buffer.split(b"\n")
        if fault == "carries out the latest command first":
            complete.reverse()
        yield from complete


def accept():
    commands.sendall(b'{"success":true}\n')


def refuse(error):
    line = f'{{"success":false,"error":"{error}"}}\n'
    if fault == "answers with text":
        line = "I do not know that\n"
    elif fault == "answers with half a packet":
        line = '{"error": "unknown"}\n'
    commands.sendall(line.encode())


def leave_daemon():
    import os

    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "1000"])
        os._exit(0)
    os.wait()


if fault == "works before init":
    update("set_parameters", '{"parameters":{"left":3}}')

has_played = False
for line in lines():
    command = eval(line)
    cmd, args = command["cmd"], command.get("args", {})
    if cmd == "restore" and fault != "saves and cannot restore":
        accept()
    elif cmd == "init":
        unknown = args.keys() - {"seconds"}
        if unknown and fault == "refuses in the words of Python":
            words = f"init() got an unexpected keyword argument '{unknown.pop()}'"
            refuse(words)
        elif unknown:
            refuse(f"unknown argument `{unknown.pop()}`; known: `seconds`")
        elif not isinstance(args.get("seconds", 3), int):
            refuse("argument `seconds`: expected `int`")
        else:
            update("set_parameters", '{"parameters":{"left":3}}')
            if fault == "saves and cannot restore":
                update("save", '{"state":1}')
            if fault == "sends an unknown update":
                update("set_parameter")
            accept()
    elif cmd == "play":
        has_played = True
        accept()
        if fault == "answers twice":
            accept()
        if fault == "leaves a daemon":
            leave_daemon()
        if fault == "says that it leaves and stays":
            update("rm")
        if fault == "gives up":
            update("fail", '{"text":"there is no sound card"}')
        if fault == "leaves quickly":
            update("rm")
            break
    elif cmd == "suspend":
        if fault == "refuses to suspend":
            refuse("not now")
        else:
            accept()
    elif cmd == "do_add":
        accept()
    elif cmd == "rm":
        if fault == "ignores rm":
            continue
        accept()
        if fault == "cannot be removed before it plays" and not has_played:
            time.sleep(1000)
        if fault == "exits with status 1":
            sys.exit(1)
        if fault == "stays after rm":
            time.sleep(1000)
        break
    elif fault == "exits at an unknown command":
        sys.exit(3)
    elif fault != "does not answer an unknown command":
        refuse(f"unknown command `{cmd[3:]}`; known: `add`")
else:
    if fault == "ignores the end" or (fault == "says that it leaves and stays" and has_played):
        time.sleep(1000)
    if fault == "ends only while it plays":
        has_played or time.sleep(1000)
