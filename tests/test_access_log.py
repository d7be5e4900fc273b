"""The access log, and logs as JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support import Site, child, http, refusals, wait_until

from shmooze.access.scopes import READ_ONLY
from shmooze.access.token_file import Holder
from shmooze.runtime.json_log import JsonFormatter
from shmooze.web import access_log
from shmooze.web.environ import CLIENT, HOLDER

QUEUE = {"modules": {"well": {"process": child("well")}}}


class Response:
    code, sent, successor = 200, 57, None


def record(**known: Any) -> logging.LogRecord:
    values = {"name": "shmooze.x", "levelname": "WARNING", "msg": "%s is slow", "args": ("it",)}
    return logging.makeLogRecord({**values, "created": 0.0, **known})


def test_a_line_has_client_token_request_status_bytes_and_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "shmooze.access_log")
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/que\x1bue/" + "ü".encode().decode("latin-1"),
        "QUERY_STRING": "token=secret",
        CLIENT: "192.0.2.7",
        HOLDER: Holder("kitchen", READ_ONLY),
    }
    access_log.write(environ, Response(), 0.0031)
    [written] = caplog.records
    line = r'192.0.2.7 kitchen "POST /que\x1bue/ü" 200 57 bytes 3.1 ms'
    assert written.getMessage() == line
    entry = json.loads(JsonFormatter("wsgi", "2").format(written))
    assert (entry["by"], entry["status"], entry["ms"]) == ("kitchen", 200, 3.1)
    assert (entry["program"], entry["worker"], entry["message"]) == ("wsgi", "2", line)


def test_a_json_line_has_time_level_logger_message_and_traceback() -> None:
    entry = json.loads(JsonFormatter("queue").format(record()))
    assert entry == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "WARNING",
        "logger": "shmooze.x",
        "program": "queue",
        "message": "it is slow",
    }
    try:
        raise KeyError("\udcff\nnot text")
    except KeyError:
        line = JsonFormatter().format(record(exc_info=sys.exc_info(), msg="\udcff", args=()))
    assert "\n" not in line
    assert "KeyError" in json.loads(line)["traceback"]
    assert json.loads(line)["message"] == "\\udcff"


@pytest.mark.parametrize("workers", [1, 2])
def test_gateway_and_service_log_each_request_as_json(
    make_site: Callable[..., Site], workers: int
) -> None:
    site = make_site(
        services=("wsgi", "queue"),
        settings={
            "queue": QUEUE,
            "access_log": True,
            "log_format": "json",
            "wsgi_workers": workers,
        },
    ).start()
    site.post("queue", {"cmd": "queue"})
    http(f"{site.url}nowhere?token=secret")

    def lines(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in site.log(name).splitlines()]

    def requests(name: str) -> list[tuple[str, str, int]]:
        logged = [line for line in lines(name) if line["logger"] == "shmooze.access_log"]
        return [(line["method"], line["path"], line["status"]) for line in logged]

    wanted = [("POST", "/queue", 200), ("GET", "/nowhere", 404)]
    wait_until(lambda: set(wanted) <= set(requests("wsgi")), "the gateway has logged them")
    wait_until(lambda: ("POST", "/", 200) in requests("queue"), "the service has logged its one")
    assert all(line["program"] == "queue" for line in lines("queue"))
    assert any(line.get("worker") for line in lines("wsgi")) == (workers > 1)
    assert "secret" not in site.log("wsgi")


def test_a_format_that_nobody_knows_is_refused(make_site: Callable[..., Site]) -> None:
    site = make_site(services=("queue",), settings={"log_format": "xml", "queue": QUEUE})
    argv = [sys.executable, "-m", "shmooze.queue"]
    [refusal] = refusals(argv, settings_file=site.settings_file)
    assert refusal.endswith('`log_format` must be one of "text", "json", not "xml"')
