"""Prints its port, then sends one event to all connections for each line of standard input."""

import select
import socket
import sys
import time

EVENT = b'id: 0123abcd-1\nevent: change\ndata: {"modules":{"%s":{"set":{"stamp":%.9f}}}}\n\n'

listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listener.getsockname()[1], flush=True)
connections = []
while True:
    for ready in select.select([listener, sys.stdin], [], [])[0]:
        if ready is listener:
            connections.append(listener.accept()[0])
            continue
        if not sys.stdin.readline():
            sys.exit()
        event = EVENT % (36 * b"u", time.monotonic())
        for connection in connections:
            connection.sendall(event)
