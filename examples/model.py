"""A stand-in for a model server such as llama.cpp's, with the HTTP API that OpenAI's clients use.

    python3 model.py --port PORT --name NAME --load SECONDS

It loads for a while, as a model does, and then answers each question with the question itself, word
by word. It knows nothing of shmooze.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Model:
    """Answers with what it is asked. It counts how many questions it answers at the same time."""

    def __init__(self, name: str, pause: float) -> None:
        self.name, self.pause = name, pause
        self.busy = self.most_busy = 0
        self._lock = threading.Lock()

    def words(self, question: str) -> Iterator[str]:
        with self._lock:
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
        try:
            for word in f"{self.name} says: {question}".split(" "):
                time.sleep(self.pause)
                yield word + " "
        finally:
            with self._lock:
                self.busy -= 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200, {"status": "ok", "most_busy": self.model.most_busy})
        elif self.path == "/v1/models":
            self._answer(200, {"object": "list", "data": [{"id": self.model.name}]})
        else:
            self._answer(404, {"error": {"message": "no such path"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self._answer(404, {"error": {"message": "no such path"}})
            return
        words = self.model.words(body["messages"][-1]["content"])
        if body.get("stream"):
            self._stream(words)
        else:
            message = {"role": "assistant", "content": "".join(words).rstrip()}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._answer(200, self._completion("chat.completion", choice))

    def _stream(self, words: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in words:
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            chunk = self._completion("chat.completion.chunk", choice)
            self._send_event(json.dumps(chunk))
        self._send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _send_event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))

    def _completion(self, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": "answer",
            "object": kind,
            "created": int(time.time()),
            "model": self.model.name,
            "system_fingerprint": f"pid {os.getpid()}",
            "choices": [choice],
        }

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--load", type=float, default=0.0, help="seconds")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two words")
    chosen = parser.parse_args()
    time.sleep(chosen.load)
    Handler.model = Model(chosen.name, chosen.pause)
    print(f"{chosen.name} is loaded", flush=True)
    ThreadingHTTPServer(("127.0.0.1", chosen.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
