"""A program with two children, one of them in a session of its own.

    python tree.py FOLDER mcp        an MCP server on standard input and output
    python tree.py FOLDER web PORT   a web server, whose answer to /stream never ends

Each process notes itself in FOLDER/processes: pid and start time. The program ends at SIGTERM and
at the end of its standard input. Its children know nothing of that, and end after a while.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

#: Seconds after which a child ends if nobody has ended it.
LIFE = 300.0


def note(folder: Path) -> None:
    """Add this process to the list."""
    stat = Path("/proc/self/stat").read_text()
    started = stat.rpartition(")")[2].split()[19]
    with (folder / "processes").open("a") as file:
        file.write(f"{stat.split()[0]} {started}\n")


def start_children(folder: Path) -> None:
    """Start both children; returns when they have noted themselves."""
    before = (folder / "processes").read_text().count("\n")
    for has_session in (False, True):
        subprocess.Popen(
            [sys.executable, "-S", __file__, str(folder), "child"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=has_session,
        )
    while (folder / "processes").read_text().count("\n") < before + 2:
        time.sleep(0.01)


def result_of(request: dict[str, Any]) -> dict[str, Any] | None:
    """What an MCP client gets; None: it asks for something else."""
    if request["method"] == "initialize":
        return {
            "protocolVersion": request["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "tree", "version": "1"},
        }
    if request["method"] == "tools/list":
        return {"tools": [{"name": "hello", "inputSchema": {"type": "object"}}]}
    if request["method"] == "tools/call":
        return {"content": [{"type": "text", "text": "hello"}]}
    return {} if request["method"] == "ping" else None


def serve_mcp() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request or "method" not in request:
            continue
        answer = {"jsonrpc": "2.0", "id": request["id"]}
        result = result_of(request)
        if result is None:
            answer["error"] = {"code": -32601, "message": "unknown method"}
        else:
            answer["result"] = result
        print(json.dumps(answer), flush=True)


class Streaming(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        if not self.path.startswith("/stream"):
            return  # somebody asks whether it is ready
        try:
            while True:
                self.wfile.write(b"data: hello\n\n")
                time.sleep(0.1)
        except OSError:
            pass  # the client has left

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    folder, role = Path(sys.argv[1]), sys.argv[2]
    note(folder)
    if role == "child":
        time.sleep(LIFE)
        return
    start_children(folder)
    if role == "mcp":
        serve_mcp()
    else:
        ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Streaming).serve_forever()


if __name__ == "__main__":
    main()
