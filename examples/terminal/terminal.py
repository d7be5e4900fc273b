"""A terminal in the browser: runs a program on a pseudo-terminal, for pages that show it.

    python3 terminal.py PROGRAM [ARGUMENT...]

It serves a page, and a WebSocket for each page that is open, on the port that the environment
variable PORT names. All pages show the same terminal, and the program goes on while none is open.
When the program ends, so does this one.

A binary message is what was typed or printed. A text message from a page is its size:
`{"columns": 80, "rows": 24}`.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import struct
import sys
import termios
import threading
from http import HTTPStatus
from pathlib import Path

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

HERE = Path(__file__).resolve().parent
XTERM = HERE / "node_modules" / "@xterm"

#: Where each file of the page is, and what it is.
FILES = {
    "/": (HERE / "index.html", "text/html; charset=utf-8"),
    "/xterm.css": (XTERM / "xterm" / "css" / "xterm.css", "text/css; charset=utf-8"),
    "/xterm.mjs": (XTERM / "xterm" / "lib" / "xterm.mjs", "text/javascript; charset=utf-8"),
    "/fit.mjs": (XTERM / "addon-fit" / "lib" / "addon-fit.mjs", "text/javascript; charset=utf-8"),
}


class Terminal:
    """A program on a pseudo-terminal, and the pages that show it."""

    #: Bytes of output that a page gets when it is opened.
    max_history = 200_000
    #: Seconds that programs in the background may go on printing when the program has ended.
    linger = 1.0

    def __init__(self, argv: list[str]) -> None:
        self._pid, self._file = pty.fork()
        if self._pid == 0:
            os.execvp(argv[0], argv)
        self._pages: set[ServerConnection] = set()
        self._history = bytearray()
        #: Held while a page is added, so that it misses no output and gets none twice.
        self._lock = threading.Lock()

    def show(self, page: ServerConnection) -> None:
        """Connect a page until it leaves."""
        try:
            with self._lock:
                page.send(bytes(self._history))
                self._pages.add(page)
            for message in page:
                if isinstance(message, str):
                    self._resize(json.loads(message))
                else:
                    self._type(message)
        except (KeyError, TypeError, ValueError, struct.error):
            page.close(1003, "not a size")
        except ConnectionClosed:
            pass  # without a word
        finally:
            with self._lock:
                self._pages.discard(page)

    def run(self) -> None:
        """Send the program's output to all pages until it ends."""
        passing_on = threading.Thread(target=self._pass_output_on, daemon=True)
        passing_on.start()
        os.waitpid(self._pid, 0)
        passing_on.join(self.linger)

    def _pass_output_on(self) -> None:
        while True:
            try:
                output = os.read(self._file, 1 << 16)
            except OSError:
                return  # nobody has the terminal open any more
            with self._lock:
                self._history += output
                del self._history[: -self.max_history]
                pages = list(self._pages)
            for page in pages:  # a slow page slows the program down, as a slow terminal does
                try:
                    page.send(output)
                except ConnectionClosed:
                    pass  # `show` forgets it

    def _type(self, typed: bytes) -> None:
        while typed:
            typed = typed[os.write(self._file, typed) :]

    def _resize(self, size: dict[str, int]) -> None:
        packed = struct.pack("HHHH", size["rows"], size["columns"], 0, 0)
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, packed)


def answer(page: ServerConnection, request: Request) -> Response | None:
    """Answer a request for a file. None: it may become a WebSocket."""
    path = request.path.partition("?")[0]
    if path == "/socket":
        # Pages of other sites could open a WebSocket to this port. They cannot set headers.
        if "X-Forwarded-Prefix" in request.headers:
            return None
        return page.respond(HTTPStatus.FORBIDDEN, "Open this page through shmooze.\n")
    if path not in FILES:
        return page.respond(HTTPStatus.NOT_FOUND, "no such file\n")
    file, content_type = FILES[path]
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return page.respond(HTTPStatus.NOT_FOUND, f"{file.name} is missing: run `npm install`.\n")
    headers = Headers({"Content-Type": content_type, "Content-Length": str(len(content))})
    return Response(HTTPStatus.OK, HTTPStatus.OK.phrase, headers, content)


def main() -> None:
    argv = sys.argv[1:]
    if not argv or "PORT" not in os.environ:
        sys.exit("usage: PORT=NUMBER python3 terminal.py PROGRAM [ARGUMENT...]")
    if shutil.which(argv[0]) is None:
        sys.exit(f"terminal.py: there is no program {argv[0]!r}")
    port = int(os.environ.pop("PORT"))
    os.environ["TERM"] = "xterm-256color"
    terminal = Terminal(argv)
    server = serve(terminal.show, "127.0.0.1", port, process_request=answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    terminal.run()
    os._exit(0)  # at once: a shell's exit status, which is that of its last command, tells nothing


if __name__ == "__main__":
    main()
