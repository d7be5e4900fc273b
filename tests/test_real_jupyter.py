"""Jupyter Server through the gateway, with a kernel that executes code over its WebSocket."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from recipes import recipe
from support import PATIENCE, Client, Reply, Site, http, is_alive, wait_until

from shmooze.access.token_file import TokenFile

MISSING = [name for name in ("jupyter_server", "ipykernel", "websockets") if not find_spec(name)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]

#: The type, as the page shows it.
POOL = recipe("notebook")
SECRET = POOL["modules"]["notebook"]["environment"]["JUPYTER_TOKEN"]


def make_notebooks(make_site: Callable[..., Site], **http: Any) -> Site:
    """The recipe, for a user who has nothing else of Jupyter; root must ask for it."""
    pool = json.loads(json.dumps(POOL))
    kind = pool["modules"]["notebook"]
    kind["cwd"] = "$HERE"
    kind["http"] |= http
    if os.getuid() == 0:
        kind["process"].append("--allow-root")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    site = make_site(services=("wsgi", "pool"), settings={"pool": pool}, environ={"PATH": path})
    site.environ["HOME"] = str(site.folder)
    return site


class Notebook:
    """One Jupyter Server, as a client of the gateway. `token` is the gateway's, if it has any."""

    def __init__(self, site: Site, token: str | None = None) -> None:
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.uid = site.post("pool", ADD, headers=self.headers).json["result"]["uid"]
        self.url = f"{site.url}pool/at/{self.uid}/"

    def ask(self, path: str, body: Any = None, secret: str = SECRET, **keywords: Any) -> Reply:
        return http(f"{self.url}{path}?token={secret}", body, headers=self.headers, **keywords)

    def start_kernel(self) -> str:
        answer = self.ask("api/kernels", {"name": "python3"})
        assert answer.status == 201, answer.body
        return answer.json["id"]

    def connect(self, kernel: str) -> Any:
        from websockets.sync.client import connect

        url = f"{self.url}api/kernels/{kernel}/channels?token={SECRET}"
        return connect(url.replace("http", "ws", 1), additional_headers=self.headers, proxy=None)

    def execute(self, kernel: str, code: str) -> str:
        """The value of an expression, over a WebSocket of its own."""
        with self.connect(kernel) as socket:
            request = execute_request(code)
            socket.send(json.dumps(request))
            deadline = time.monotonic() + PATIENCE
            while True:
                message = json.loads(socket.recv(timeout=deadline - time.monotonic()))
                is_answer = message["parent_header"].get("msg_id") == request["header"]["msg_id"]
                if is_answer and message["msg_type"] == "execute_result":
                    return message["content"]["data"]["text/plain"]
                assert message["msg_type"] != "error", message["content"]


ADD = {"cmd": "add", "args": {"type": "notebook"}}


def execute_request(code: str) -> dict[str, Any]:
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "session": uuid.uuid4().hex,
        "username": "ada",
        "version": "5.3",
        "date": "2026-01-01T00:00:00Z",
    }
    content = {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
    }
    rest = {"parent_header": {}, "metadata": {}, "buffers": [], "channel": "shell"}
    return {"header": header, "content": content, **rest}


def test_a_kernel_executes_code_and_is_restarted_and_ends_with_its_module(
    make_site: Callable[..., Site],
) -> None:
    site = make_notebooks(make_site).start()
    pool = Client(site, "pool")
    notebook = Notebook(site)
    kernel = notebook.start_kernel()
    assert notebook.execute(kernel, "6 * 7") == "42"
    assert notebook.execute(kernel, "x = 1; __import__('os').getcwd()") == repr(str(site.folder))
    assert notebook.ask(f"api/kernels/{kernel}/restart", {}).status == 200
    assert notebook.execute(kernel, "'x' in globals()") == "False"
    assert len(set(site.survivors()) - pool.own_processes) > 1
    pool("rm", uids=[notebook.uid])
    pool.expect_no_children()


def test_lists_that_pages_ask_for_do_not_keep_it_running_and_a_request_starts_it_again(
    make_site: Callable[..., Site],
) -> None:
    site = make_notebooks(make_site, idle=1).start()
    notebook = Notebook(site)
    pid = int(notebook.execute(notebook.start_kernel(), "__import__('os').getpid()"))

    def is_ended_while_it_is_asked() -> bool:
        notebook.ask("api/kernels")
        return not is_alive(pid)

    wait_until(is_ended_while_it_is_asked, "it is ended, with its kernel")
    assert notebook.ask("").status == 200
    assert notebook.execute(notebook.start_kernel(), "6 * 7") == "42"


def test_with_tokens_both_are_needed_and_the_kernel_ends_when_the_service_is_killed(
    make_site: Callable[..., Site],
) -> None:
    site = make_notebooks(make_site)
    tokens = TokenFile(str(site.folder / "tokens.json"))
    token = tokens.add("ada", "control")
    site.settings["tokens_path"] = str(tokens.path)
    site.settings_file.write_text(json.dumps(site.settings))
    site.start()
    pool = Client(site, "pool")
    notebook = Notebook(site, token)
    kernel = notebook.start_kernel()
    assert notebook.execute(kernel, "6 * 7") == "42"
    assert notebook.ask("api/kernels", secret="guessed").status == 403
    without = http(f"{notebook.url}api/kernels?token={SECRET}")
    assert without.status == 401
    assert "a token is needed" in without.json["error"]
    service, guardian = pool.service, site.processes.pop("pool")
    os.kill(service, signal.SIGKILL)
    guardian.wait(PATIENCE)
    left = pool.own_processes - {guardian.pid}
    wait_until(lambda: set(site.survivors()) <= left, "everything has ended")
