"""A module's web server, made of sockets and threads: it does what the path says. See `answer`.

Its argument is its port. It writes one line to HERE/ended for each request that ended early.
"""

import hashlib
import json
import os
import socketserver
import sys
import time


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        try:
            while line := self.rfile.readline():
                self.answer(line.decode())
        except OSError as gone:
            self.note(f"{type(gone).__name__}")

    def answer(self, first):
        method, target, _ = first.split()
        self.headers = []
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(": ")
            self.headers.append((name.lower(), value))
        getattr(self, target.split("/")[1].partition("?")[0] or "root")(method, target)

    def root(self, method, target):
        """What arrived: target, headers in order, and the digest of the body."""
        digest, size = hashlib.sha256(), 0
        for piece in self.body():
            digest.update(piece)
            size += len(piece)
        said = {"method": method, "target": target, "headers": self.headers}
        said |= {"size": size, "sha256": digest.hexdigest()}
        self.send(json.dumps(said).encode(), "Content-Type: application/json")

    #: How the whole path begins, where it is kept.
    pool = root

    def own(self, method, target):
        """An answer with headers that a gateway may add as well."""
        self.send(
            b"own",
            *("X-Content-Type-Options: nosniff", "Content-Security-Policy: default-src 'self'"),
            *("Access-Control-Allow-Origin: *", "Set-Cookie: a=b", "Set-Cookie: c=d"),
        )

    def large(self, method, target):
        """Zeros, as many MiB as the path says."""
        count = int(target.rpartition("/")[2])
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (count << 20))
        for _ in range(count):
            self.wfile.write(bytes(1 << 20))

    def events(self, method, target):
        """Events, one for each line that is written to HERE/events."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        self.wfile.write(b"data: first\n\n")
        self.rfile.read(1)
        self.note("events")

    def socket(self, method, target):
        """A WebSocket, as far as anybody between can see: its bytes come back."""
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        self.wfile.write(json.dumps(self.headers).encode() + b"\n")
        while data := self.connection.recv(1 << 16):
            self.wfile.write(data)
        self.note("socket")

    def die(self, method, target):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        os._exit(3)

    def later(self, method, target):
        """Answer once there is a file HERE/go."""
        self.note("later")
        while not os.path.exists(f"{os.environ['HERE']}/go"):
            time.sleep(0.01)
        self.send(b"later")

    def perish(self, method, target):
        """End without an answer, and say why on standard error."""
        os.write(2, b"out of memory\n")
        os._exit(3)

    def wait(self, method, target):
        """Answer nothing until the client has gone."""
        self.note("waiting")
        self.rfile.read(1)
        self.note("wait")

    def body(self):
        headers = dict(self.headers)
        if headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(headers.get("content-length", 0))
        while left and (piece := self.rfile.read(min(left, 1 << 16))):
            left -= len(piece)
            yield piece

    def send(self, body, *lines):
        head = "".join(f"{line}\r\n" for line in [*lines, f"Content-Length: {len(body)}"])
        self.wfile.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body)

    def note(self, word):
        with open(f"{os.environ['HERE']}/ended", "a") as out:
            out.write(f"{word}\n")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
    request_queue_size = 1000


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
