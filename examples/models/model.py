"""A stand-in for a model server such as llama.cpp's, with the HTTP API that OpenAI's clients use.

    python3 model.py --port PORT --name NAME --load SECONDS

It loads for a while, as a model does, and then answers each question with the question itself, word
by word. It knows nothing of shmooze.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Bytes that a request may have.
MAX_BODY = 1 << 20


class Invalid(Exception):
    """What is wrong with a request, in one line."""


class Model:
    """Answers with what it is asked. It counts how many questions it answers at the same time."""

    def __init__(self, name: str, pause: float) -> None:
        self.name, self.pause = name, pause
        self.busy = self.most_busy = 0
        self._lock = threading.Lock()

    def words(self, question: str) -> Generator[str, None, None]:
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


def question_in(body: Any) -> str:
    """The text of the last message of a request. Raises Invalid."""
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        raise Invalid("`messages` must be a list of messages")
    content = messages[-1].get("content")
    if isinstance(content, list):  # of parts, some of which may be pictures
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = " ".join(str(part.get("text")) for part in parts)
    if not isinstance(content, str):
        raise Invalid("`content` of the last message must be text")
    return content


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model
    numbers = itertools.count(1)

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200, {"status": "ok", "most_busy": self.model.most_busy})
        elif self.path == "/v1/models":
            shown = {"id": self.model.name, "object": "model", "created": 0, "owned_by": "you"}
            self._answer(200, {"object": "list", "data": [shown]})
        else:
            self._refuse(404, f"there is no path {self.path}")

    def do_POST(self) -> None:
        try:
            body = self._body()
            if self.path != "/v1/chat/completions":
                self._refuse(404, f"there is no path {self.path}")
                return
            words = self.model.words(question_in(body))
        except Invalid as bad:
            self._refuse(400, str(bad))
            return
        try:
            if body.get("stream"):
                self._stream(words)
            else:
                self._complete(words)
        except ConnectionError:
            self.close_connection = True  # the client has hung up
        finally:
            words.close()

    def _body(self) -> Any:
        """The JSON of the request. Raises Invalid."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True  # what follows cannot be told from another request
            raise Invalid(f"needs a `Content-Length` of at most {MAX_BODY}")
        try:
            return json.loads(self.rfile.read(int(length)))
        except ValueError:
            raise Invalid("the body is not JSON") from None

    def _complete(self, words: Iterator[str]) -> None:
        message = {"role": "assistant", "content": "".join(words).rstrip()}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._answer(200, self._completion(self._new_id(), "chat.completion", choice))

    def _stream(self, words: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        name = self._new_id()
        for word in itertools.chain(words, [None]):
            delta = {} if word is None else {"role": "assistant", "content": word}
            reason = "stop" if word is None else None
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            self._send_event(json.dumps(self._completion(name, "chat.completion.chunk", choice)))
        self._send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _send_event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))

    def _new_id(self) -> str:
        return f"{self.model.name}-{next(self.numbers)}"

    def _completion(self, name: str, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": name,
            "object": kind,
            "created": int(time.time()),
            "model": self.model.name,
            "system_fingerprint": f"pid {os.getpid()}",
            "choices": [choice],
        }

    def _refuse(self, status: int, why: str) -> None:
        self._answer(status, {"error": {"message": why, "type": "invalid_request_error"}})

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
    print(f"{chosen.name} is loading", flush=True)
    time.sleep(chosen.load)
    Handler.model = Model(chosen.name, chosen.pause)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", chosen.port), Handler)
    except (OSError, OverflowError) as bad:
        sys.exit(f"model: cannot listen on port {chosen.port}: {bad}")
    print(f"{chosen.name} is loaded", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
