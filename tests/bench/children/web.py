"""A minimal web server as a module: `/` answers `ok`, `/tokens/N` streams, `/socket` echoes.

Its argument is its port. Each token is an event with the time at which it was sent.
"""

import sys
import time

import gevent
from gevent import socket
from gevent.server import StreamServer

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
SOCKET = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#: Seconds between two tokens.
PAUSE = 0.002


def handle(connection, _):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received = b""
    while data := connection.recv(1 << 16):
        received += data
        while b"\r\n\r\n" in received:
            head, _, received = received.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            if path == b"/socket":
                connection.sendall(SOCKET)
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
                return
            if path.startswith(b"/tokens/"):
                connection.sendall(EVENTS)
                for _ in range(int(path.rpartition(b"/")[2])):
                    gevent.sleep(PAUSE)
                    connection.sendall(b"data: %d\n\n" % time.monotonic_ns())
                return
            connection.sendall(OK)


StreamServer(("127.0.0.1", int(sys.argv[1])), handle, backlog=1000).serve_forever()
