"""Model servers behind one slot, driven by the official client of OpenAI. Real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import ROOT, Site, free_ports, http, is_alive, wait_until

openai = pytest.importorskip("openai", reason="the package `openai` is not installed")

pytestmark = pytest.mark.slow

SERVER = [sys.executable, "-S", str(ROOT / "examples" / "models" / "model.py")]


def model(name: str, *more: str, **keys: Any) -> dict[str, Any]:
    """A type whose modules are model servers."""
    argv = [*SERVER, "--port", "{port}", "--name", name, *more]
    return {"adapter": "command", "process": argv, "http": {"ready": "/health", **keys}}


#: A port that no module listens on.
(PORT,) = free_ports(1)
TYPES = {
    "elsewhere": {
        "adapter": "command",
        "process": ["sleep", "1000"],
        "http": {"port": PORT, "ready_timeout": 1},
    },
    "tiny": model("tiny", max_requests=1),
    "small": model("small", "--load", "0.2", "--pause", "0.02"),
    "large": model("large", "--load", "0.5"),
    "sleepy": model("sleepy", idle=0.3),
    "broken": {
        "adapter": "command",
        "process": ["sh", "-c", "echo no such file >&2; exit 3"],
        "http": {"ready": "/health"},
    },
}


@pytest.fixture(scope="module")
def models(make_shared_site: Callable[..., Site]) -> Iterator[Site]:
    section = {"slots": 1, "route_by": "json:model", "modules": TYPES}
    site = make_shared_site(services=("wsgi", "pool"), settings={"pool": section}).start()
    yield site


@pytest.fixture(scope="module")
def client(models: Site) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{models.url}pool/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(client: Any, model: str, question: str = "yes", stream: bool = False) -> Any:
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(model=model, messages=messages, stream=stream)


def text_of(answer: Any) -> str:
    return str(answer.choices[0].message.content)


def pid_of(answer: Any) -> int:
    return int(answer.system_fingerprint.removeprefix("pid "))


def shown(models: Site) -> dict[str, Any]:
    return {each["type"]: each.get("web") for each in models.ask("pool", "pool")}


def test_each_request_is_answered_by_the_model_that_it_names_and_one_runs_at_a_time(
    models: Site, client: Any
) -> None:
    pids: list[int] = []
    for name in ("tiny", "small", "large", "tiny"):
        answer = ask(client, name)
        assert text_of(answer) == f"{name} says: yes"
        assert [pid for pid in pids if is_alive(pid)] == []
        pids.append(pid_of(answer))
    assert shown(models) == {"tiny": "ready", "small": "resting", "large": "resting"}


def test_answers_are_streamed_word_by_word(client: Any) -> None:
    chunks = [each.choices[0].delta.content for each in ask(client, "small", "a b c", stream=True)]
    assert chunks == ["small ", "says: ", "a ", "b ", "c ", None]


def test_requests_beyond_the_limit_of_a_model_wait_in_line(models: Site, client: Any) -> None:
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(text_of(ask(client, "tiny", "a b c d"))))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["tiny says: a b c d"] * 5
    assert http(f"{models.url}pool/on/tiny/health").json["most_busy"] == 1


def test_model_is_not_swapped_while_it_answers(client: Any) -> None:
    stream = ask(client, "small", " ".join(["word"] * 20), stream=True)
    first = next(iter(stream))
    pid = int(first.system_fingerprint.removeprefix("pid "))
    answers: list[str] = []
    other = threading.Thread(target=lambda: answers.append(text_of(ask(client, "large"))))
    other.start()
    rest = list(stream)
    assert len(rest) == 22  # the last one says why it ends
    other.join()
    assert answers == ["large says: yes"]
    assert not is_alive(pid)


def test_idle_model_is_ended_and_started_again_by_the_next_request(
    models: Site, client: Any
) -> None:
    pid = pid_of(ask(client, "sleepy"))
    wait_until(lambda: shown(models)["sleepy"] == "resting", "it rests")
    wait_until(lambda: not is_alive(pid), "its process has gone")
    assert pid_of(ask(client, "sleepy")) != pid


def test_model_that_cannot_be_started_is_told_with_its_last_words(client: Any) -> None:
    with pytest.raises(openai.APIStatusError) as failed:
        ask(client, "broken")
    assert failed.value.status_code == 502
    error = json.loads(failed.value.response.text)["error"]
    assert error == "broken exited with status 3; last output: no such file"
    with pytest.raises(openai.NotFoundError) as unknown:
        ask(client, "none")
    assert "unknown module type 'none'; known: elsewhere, tiny" in unknown.value.response.text
    assert text_of(ask(client, "tiny")) == "tiny says: yes"


def test_model_that_dies_while_it_answers_ends_the_answer_and_is_started_anew(
    models: Site, client: Any
) -> None:
    stream = ask(client, "small", " ".join(["word"] * 1000), stream=True)
    pid = int(next(iter(stream)).system_fingerprint.removeprefix("pid "))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(openai.APIConnectionError):
        list(stream)
    wait_until(lambda: "small" not in shown(models), "the service has noticed")
    answer = ask(client, "small")
    assert text_of(answer) == "small says: yes"
    assert pid_of(answer) != pid


def test_program_of_somebody_else_at_the_port_of_a_module_is_never_asked(
    models: Site, client: Any
) -> None:
    uid = models.ask("pool", "add", type="elsewhere")["uid"]
    asking = threading.Thread(target=lambda: refused.append(http(f"{models.url}pool/at/{uid}/")))
    refused: list[Any] = []
    asking.start()
    wait_until(lambda: shown(models).get("elsewhere") == "loading", "it has a slot")
    with socket.create_server(("127.0.0.1", PORT)):
        asking.join()
    assert refused[0].status == 502
    words = f"was not ready within 1 s: its port {PORT} belongs to another process"
    assert words in refused[0].json["error"]
    with socket.create_server(("127.0.0.1", PORT)):
        taken = http(f"{models.url}pool/on/elsewhere/")
    assert f"its port {PORT}: Address already in use" in taken.json["error"]
