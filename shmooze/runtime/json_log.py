"""Lines of a log as JSON objects, for programs that collect logs.

    {"time": "…Z", "level": "WARNING", "logger": "shmooze.…", "program": "queue", "message": "…"}

`worker` is the number of one of several processes, `traceback` that of an exception. Lines of the
access log have their parts too.
"""

from __future__ import annotations

import logging

import msgspec

from shmooze.runtime import clock

_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonFormatter(logging.Formatter):
    """Formats each record as a line of JSON. `program` and `worker` are in each of them."""

    def __init__(self, program: str | None = None, worker: str | None = None) -> None:
        super().__init__()
        self.program = program
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": clock.iso8601(record.created),
            "level": record.levelname,
            "logger": record.name,
            "program": self.program,
            "worker": self._worker,
            "message": _text(record.getMessage()),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = _text(self.formatException(record.exc_info))
        return _encode({key: value for key, value in entry.items() if value is not None}).decode()


def _text(text: str) -> str:
    """A text that can be encoded."""
    return text.encode("utf-8", "backslashreplace").decode()
