"""MCP servers as modules: tools as commands, and clients over HTTP."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mcp_client import McpClient
from support import Client, Refusal, Reply, Site, child, connections_to, http, is_alive, wait_until


def mcp(*options: str, **keys: Any) -> dict[str, Any]:
    return {"process": child("mcp_server", *options), "adapter": "mcp", **keys}


TYPES = {
    "tools": mcp(),
    "described": mcp(describe=True),
    "old": mcp("version=2025-03-26"),
    "ancient": mcp("version=1999-01-01"),
    "noisy": mcp("noise=20"),
    "garbage": mcp("noise=2000"),
    "silent": {"process": ["sleep", "1000"], "adapter": "mcp", "command_timeout": 0.2},
    "hasty": mcp(command_timeout=1, natural_death_timeout=0.1),
    "stops": mcp(suspend="stop"),
    "ends": mcp(suspend="end"),
    "named": {"process": child("mcp_server", "pids={file}"), "adapter": "mcp"},
    "plain": mcp("no-tools"),
}


@pytest.fixture(scope="module")
def running(make_shared_site: Callable[..., Site]) -> Client:
    site = make_shared_site(services=("wsgi", "pool"), settings={"pool": {"modules": TYPES}})
    site.start().wait_for_descriptions()
    return Client(site, "pool")


@pytest.fixture
def uid(client: Client) -> str:
    return client.add("tools")


@pytest.fixture
def one(client: Client, uid: str) -> McpClient:
    """A client of the server of `uid`, which has a session."""
    return connect(client, uid)


def door(client: Client, uid: str) -> str:
    return f"{client.site.url}pool/at/{uid}/mcp"


def connect(client: Client, uid: str, version: str = "2025-11-25") -> McpClient:
    other = McpClient(door(client, uid), version)
    other.initialize()
    return other


def wait_until_held(client: Client, uid: str, *names: str) -> None:
    """Wait until calls of `hold` with these names are under way."""
    wait_until(lambda: client.tell(uid, "held")["names"] == [*names], "the calls are under way")


# Tools as commands.


def test_a_tool_is_a_command(client: Client, uid: str) -> None:
    assert client.tell(uid, "add", a=2, b=3) == [{"type": "text", "text": "5"}]
    assert client.tell(uid, "structured") == {"answer": 42}


def test_a_tool_that_fails_refuses_the_command_in_its_own_words(client: Client, uid: str) -> None:
    with pytest.raises(Refusal, match=r"^I will not$"):
        client.tell(uid, "fail")
    assert client.uids() == [uid]


def test_arguments_are_checked_against_the_schema_of_the_tool(client: Client, uid: str) -> None:
    with pytest.raises(Refusal, match="add: argument `b` is missing"):
        client.tell(uid, "add", a=2)
    with pytest.raises(Refusal, match="add: argument `a`: expected `int`, got `str`"):
        client.tell(uid, "add", a="x", b=3)
    with pytest.raises(Refusal, match="unknown command `nothing`; known: `add`, "):
        client.tell(uid, "nothing")


def test_a_tool_whose_schema_cannot_be_used_is_called_all_the_same(
    client: Client, uid: str
) -> None:
    assert client.tell(uid, "odd", x=1)[0]["text"] == "called odd"
    assert "arguments of `odd` are not checked here" in client.site.log("pool")


def test_the_description_of_the_type_follows_the_tools(client: Client, uid: str) -> None:
    def commands() -> dict[str, Any]:
        return client("describe", type="tools")["commands"]

    assert commands()["add"]["description"] == "The tool add."
    assert commands()["structured"]["result"]["properties"] == {"answer": {"type": "integer"}}
    assert "new" not in commands()
    client.tell(uid, "learn", name="new")
    wait_until(lambda: "new" in commands(), "the tools are listed again")
    assert client.tell(uid, "new")[0]["text"] == "called new"


def test_a_type_can_be_described_before_anything_is_added(client: Client) -> None:
    described = client("describe", type="described")
    assert described["title"] == "A test"
    assert described["description"] == "Test it."
    assert {"add", "odd"} <= described["commands"].keys()
    client.expect_no_children()


def test_a_tool_that_takes_too_long_is_cancelled_and_the_server_goes_on(client: Client) -> None:
    uid = client.add("hasty")
    with pytest.raises(Refusal, match="`hold` took over 1 s and was cancelled"):
        client.tell(uid, "hold", name="x")
    assert client.tell(uid, "cancelled") == {"names": ["x"]}


def test_calls_do_not_wait_for_each_other(client: Client, uid: str) -> None:
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(client.tell(uid, "hold", name="x")), daemon=True
    )
    thread.start()
    wait_until_held(client, uid, "x")
    client.tell(uid, "let_go", name="x")
    thread.join()
    assert found == [[{"type": "text", "text": "held x"}]]


def test_log_entries_and_other_lines_are_output(client: Client, uid: str) -> None:
    client.tell(uid, "log", level="warning", data="hot")
    client.tell(uid, "print", lines=["not a message", "[1, 2"])
    assert client("output", uid=uid) == ["warning: test: hot", "not a message", "[1, 2"]
    warning = "prints lines that are not messages"
    wait_until(lambda: warning in client.site.log("pool"), "it is logged")
    assert client.site.log("pool").count(warning) == 1


def test_a_server_may_print_something_else_first(client: Client) -> None:
    assert client.tell(client.add("noisy"), "structured") == {"answer": 42}


def test_requests_of_the_server_are_refused_but_for_ping(client: Client, uid: str) -> None:
    client.tell(uid, "ask", method="ping")
    client.tell(uid, "ask", method="sampling/createMessage")
    answers = client.tell(uid, "answers")["answers"]
    assert answers[0] == {"jsonrpc": "2.0", "id": "own-0", "result": {}}
    assert answers[1]["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("silent", "did not answer `initialize` within 0.2 s"),
        ("garbage", "is not an MCP server: it prints lines such as 'line 1000'"),
        ("ancient", "uses MCP version '1999-01-01', which is not supported"),
    ],
)
def test_what_is_not_a_server_that_we_know_cannot_be_added(
    client: Client, kind: str, words: str
) -> None:
    with pytest.raises(Refusal, match=words):
        client.add(kind)


def test_a_server_that_crashes_has_failed_with_its_last_words(client: Client, uid: str) -> None:
    with pytest.raises(Refusal, match="exited with status 7"):
        client.tell(uid, "crash")
    report = wait_until(
        lambda: [each for each in client("gone") if each["uid"] == uid], "it is gone"
    )[0]
    assert (report["state"], report["exit_status"]) == ("failed", 7)


def test_a_message_over_the_limit_ends_the_server(client: Client, uid: str) -> None:
    with pytest.raises(Refusal, match="sent a line over 8 MiB on its standard output"):
        client.tell(uid, "big", size=9 << 20)


def test_a_server_without_tools_has_no_commands(client: Client) -> None:
    uid = client.add("plain")
    with pytest.raises(Refusal, match="unknown command `add`; known: none"):
        client.tell(uid, "add")


def test_arguments_of_add_replace_placeholders(client: Client, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="argument `file` is missing"):
        client.add("named")
    client.add("named", file=str(tmp_path / "pids"))
    assert is_alive(int((tmp_path / "pids").read_text()))


def test_its_standard_input_is_closed_to_end_it(client: Client, uid: str) -> None:
    client("rm", uids=[uid])
    report = wait_until(
        lambda: [each for each in client("gone") if each["uid"] == uid], "it is gone"
    )[0]
    assert (report["ladder"], report["exit_status"]) == ("rm", 0)


def test_a_stopped_server_is_not_asked(client: Client) -> None:
    uid = client.add("stops")
    web = connect(client, uid)
    client("hold", uids=[uid])
    with pytest.raises(Refusal, match="suspended"):
        client.tell(uid, "structured")
    assert web.post(web.request("ping")).status == 503
    client("release", uids=[uid])
    assert client.tell(uid, "structured") == web.call("structured") == {"answer": 42}
    client("hold", uids=[uid])


def test_a_server_that_is_ended_to_suspend_it_is_another_one_afterwards(client: Client) -> None:
    uid = client.add("ends")
    web = connect(client, uid)
    client("hold", uids=[uid])
    client.expect_no_children()
    client("release", uids=[uid])
    assert client.tell(uid, "structured") == {"answer": 42}
    assert web.post(web.request("ping")).status == 404
    web.session = None
    web.initialize()
    assert web.call("structured") == {"answer": 42}


# Clients over HTTP.


def test_initialize_is_answered_from_what_the_server_has_said(client: Client, uid: str) -> None:
    found = McpClient(door(client, uid)).initialize()
    assert found["serverInfo"]["name"] == "test"
    assert found["instructions"] == "Test it."
    assert found["capabilities"].keys() == {"tools", "resources", "logging", "prompts"}
    assert client.tell(uid, "heard")["heard"].count("initialize") == 1


@pytest.mark.parametrize(
    ("kind", "wanted", "agreed"),
    [
        ("tools", "2024-11-05", "2024-11-05"),
        ("tools", "2099-01-01", "2025-11-25"),
        ("old", "2025-11-25", "2025-03-26"),
    ],
)
def test_versions_are_agreed_on(client: Client, kind: str, wanted: str, agreed: str) -> None:
    web = McpClient(door(client, client.add(kind)), wanted)
    assert web.initialize()["protocolVersion"] == agreed
    assert web.call("structured") == {"answer": 42}


def test_any_module_of_a_type_can_be_asked_for(client: Client) -> None:
    web = McpClient(f"{client.site.url}pool/on/tools/mcp")
    web.initialize()
    assert web.call("add", a=1, b=1) == "2"
    assert len(client.uids()) == 1


def test_clients_may_use_the_same_ids_at_the_same_time(client: Client, uid: str) -> None:
    clients = [connect(client, uid) for _ in range(3)]
    found: dict[int, Reply] = {}

    def hold(number: int) -> None:
        web = clients[number]
        params = {"name": "hold", "arguments": {"name": str(number)}}
        found[number] = web.post(web.request("tools/call", params, id="same"))

    threads = [threading.Thread(target=hold, args=[each]) for each in range(3)]
    for thread in threads:
        thread.start()

    wait_until_held(client, uid, "0", "1", "2")
    for number in (2, 0, 1):
        client.tell(uid, "let_go", name=str(number))
    for number, thread in enumerate(threads):
        thread.join()
        answer = found[number].json
        assert answer["id"] == "same"
        assert answer["result"]["content"][0]["text"] == f"held {number}"


def test_progress_comes_ahead_of_the_answer_with_the_token_of_the_client(one: McpClient) -> None:
    params = {"name": "steps", "arguments": {"count": 3}, "_meta": {"progressToken": "mine"}}
    with one.stream(one.request("tools/call", params, id=77)) as events:
        *reports, answer = events
    assert [each["params"]["progress"] for each in reports] == [1, 2, 3]
    assert {each["params"]["progressToken"] for each in reports} == {"mine"}
    assert answer["id"] == 77
    assert answer["result"]["content"][0]["text"] == "done"


def test_entries_of_the_log_come_with_the_request_during_which_they_were_made(
    one: McpClient,
) -> None:
    params = {"name": "log", "arguments": {"level": "error", "data": "hot"}}
    with one.stream(one.request("tools/call", params)) as events:
        entry, answer = events
    assert entry["params"]["data"] == "hot"
    assert answer["result"]["content"][0]["text"] == "logged"


def test_each_client_has_its_own_level_of_the_log(client: Client, uid: str, one: McpClient) -> None:
    other = connect(client, uid)
    assert one.ask("logging/setLevel", {"level": "error"}) == {}
    assert other.ask("logging/setLevel", {"level": "debug"}) == {}
    assert one.ask("logging/setLevel", {"level": "alert"}) == {}
    assert one.call("heard")["level"] == "debug"
    quiet = {"name": "log", "arguments": {"level": "error", "data": "x"}}
    assert one.ask("tools/call", quiet)  # as JSON, since there is nothing else
    with other.stream(other.request("tools/call", quiet)) as events:
        assert len([*events]) == 2


def test_a_client_cancels_its_request(client: Client, uid: str, one: McpClient) -> None:
    params = {"name": "hold", "arguments": {"name": "x"}, "_meta": {"progressToken": 1}}
    found: list[Any] = []

    def hold() -> None:
        with one.stream(one.request("tools/call", params, id=5)) as events:
            found.extend(events)

    thread = threading.Thread(target=hold)
    thread.start()
    wait_until_held(client, uid, "x")
    one.notify("notifications/cancelled", {"requestId": 5})
    thread.join()
    assert found == []
    assert client.tell(uid, "cancelled") == {"names": ["x"]}


def test_a_client_that_leaves_cancels_its_request(client: Client, uid: str, one: McpClient) -> None:
    at = urlsplit(one.url)
    connection = HTTPConnection(at.hostname or "", at.port or 0)
    params = {"name": "hold", "arguments": {"name": "x"}}
    message = json.dumps(one.request("tools/call", params))
    connection.request("POST", at.path, message, one.headers())
    wait_until_held(client, uid, "x")
    connection.close()
    wait_until(lambda: client.tell(uid, "cancelled")["names"] == ["x"], "it is cancelled")


def test_all_clients_hear_of_changed_tools(client: Client, uid: str, one: McpClient) -> None:
    other = connect(client, uid)
    with one.stream() as first, other.stream() as second:
        client.tell(uid, "learn", name="new")
        for events in (first, second):
            assert next(events)["method"] == "notifications/tools/list_changed"


def test_what_happens_before_a_client_listens_is_kept_for_it(
    client: Client, uid: str, one: McpClient
) -> None:
    client.tell(uid, "learn", name="new")
    client.tell(uid, "learn", name="newer")
    with one.stream() as events:
        assert next(events)["method"] == "notifications/tools/list_changed"
        client.tell(uid, "log", level="error", data="last")
        one.ask("resources/subscribe", {"uri": "test://x"})
        client.tell(uid, "touch", uri="test://x")
        assert next(events)["method"] == "notifications/resources/updated"  # and not the same again


def test_subscriptions_are_those_of_a_client(client: Client, uid: str, one: McpClient) -> None:
    other = connect(client, uid)
    uri = {"uri": "test://x"}
    for each in (one, other):
        assert each.ask("resources/subscribe", uri) == {}
    assert one.ask("resources/unsubscribe", uri) == {}
    assert "resources/unsubscribe" not in one.call("heard")["heard"]
    with other.stream() as events:
        client.tell(uid, "touch", uri="test://x")
        assert next(events)["params"] == uri
    assert http(other.url, method="DELETE", headers=other.headers()).status == 204
    heard = one.call("heard")["heard"]
    assert heard.count("resources/unsubscribe") == 1


def test_a_stream_that_broke_off_goes_on_after_the_last_event(
    client: Client, uid: str, one: McpClient
) -> None:
    one.ask("resources/subscribe", {"uri": "test://x"})
    with one.stream() as events:
        client.tell(uid, "touch", uri="test://x/1")
        next(events)
        last = events.last_id or ""
    for number in (2, 3):
        client.tell(uid, "touch", uri=f"test://x/{number}")
    with one.stream(Last_Event_ID=last) as events:
        uris = [next(events)["params"]["uri"] for _ in range(2)]
    assert uris == ["test://x/2", "test://x/3"]


def test_the_answer_to_a_request_can_be_had_when_its_stream_broke_off(
    client: Client, uid: str, one: McpClient
) -> None:
    params = {"name": "hold", "arguments": {"name": "x", "reports": True}}
    params["_meta"] = {"progressToken": 1}
    with one.stream(one.request("tools/call", params, id=9)) as events:
        assert next(events)["params"]["progress"] == 1
        last = events.last_id or ""
        service = client.site.ports["pool"]
        connections = connections_to(service)
    wait_until(lambda: connections_to(service) < connections, "the service has noticed that")
    client.tell(uid, "let_go", name="x")
    with one.stream(Last_Event_ID=last) as events:
        (answer,) = events
    assert (answer["id"], answer["result"]["content"][0]["text"]) == (9, "held x")
    gone = http(one.url, headers=one.headers(Last_Event_ID=last))
    assert (gone.status, gone.json["error"]["code"]) == (400, -32600)


def test_other_methods_are_passed_on(one: McpClient) -> None:
    found = one.ask("resources/read", {"uri": "test://x"})
    assert found == {"contents": [{"uri": "test://x", "text": "content"}]}
    answer = one.post(one.request("completion/complete", {}, id="a"))
    assert answer.json == {
        "jsonrpc": "2.0",
        "id": "a",
        "error": {"code": -32601, "message": "no method completion/complete"},
    }


def test_lists_of_messages_are_for_the_version_that_has_them(client: Client) -> None:
    web = connect(client, client.add("old"))
    batch = [web.request("ping", id=1), web.request("ping", id="1")]
    batch.append({"jsonrpc": "2.0", "method": "notifications/initialized"})
    answers = web.post(batch).json
    assert sorted((type(each["id"]).__name__, each["result"] == {}) for each in answers) == [
        ("int", True),
        ("str", True),
    ]
    twice = web.post([web.request("ping", id=1), web.request("ping", id=1)]).json
    assert sorted("error" in each for each in twice) == [False, True]
    newer = connect(client, client.add("tools"))
    assert newer.post(batch).status == 400


def test_requests_that_are_no_mcp_are_refused(one: McpClient) -> None:
    ping = one.request("ping")

    def refused(reply: Reply) -> tuple[int, int]:
        assert reply.headers["Content-Type"] == "application/json"
        error = reply.json["error"]
        assert len(error["message"].splitlines()) == 1
        return reply.status, error["code"]

    assert refused(one.post(ping, Accept="application/json")) == (406, -32600)
    assert refused(one.post(ping, Content_Type="text/plain")) == (415, -32600)
    assert refused(one.post(ping, MCP_Protocol_Version="2026-07-28")) == (400, -32600)
    assert refused(one.post(ping, Mcp_Session_Id="x")) == (404, -32600)
    assert refused(one.post(b"{")) == (400, -32700)
    assert refused(one.post({"id": 1, "method": "ping"})) == (400, -32600)
    assert refused(one.post({"jsonrpc": "2.0", "id": 1.5, "method": "ping"})) == (400, -32600)
    assert refused(one.post({"jsonrpc": "2.0", "id": 1, "method": "x", "params": []}))[0] == 400
    assert refused(one.post([]))[0] == 400
    assert refused(http(one.url, method="PUT", headers=one.headers())) == (405, -32600)
    assert refused(http(f"{one.url}/x", headers=one.headers())) == (404, -32600)
    one.session = None
    assert refused(one.post(ping)) == (400, -32600)
    assert refused(one.post(b"x" * ((4 << 20) + 1))) == (413, -32600)


def test_a_session_is_over_when_its_client_says_so(one: McpClient) -> None:
    assert http(one.url, method="DELETE", headers=one.headers()).status == 204
    assert one.post(one.request("ping")).status == 404


def test_clients_are_told_when_the_server_ends(client: Client, uid: str, one: McpClient) -> None:
    answer = one.post(one.request("tools/call", {"name": "crash"}))
    assert answer.status == 200
    assert answer.json["error"]["message"] == "the server closed its standard output"
    wait_until(lambda: one.post(one.request("ping")).status in (404, 502), "the module is gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_server_is_left_when_the_service_ends(
    make_site: Callable[..., Site], number: signal.Signals
) -> None:
    """Not even one that ignores the end of its input and SIGTERM, while clients are connected."""
    kinds = {
        "tools": mcp(),
        "deaf": mcp("deaf", natural_death_timeout=0.1, sigterm_timeout=0.1),
    }
    site = make_site(services=("wsgi", "pool"), settings={"pool": {"modules": kinds}}).start()
    client = Client(site, "pool")
    for kind in kinds:
        web = connect(client, client.add(kind))
        with web.stream() as events:
            client.tell(client.uids()[-1], "learn", name="x")
            next(events)
            params = {"name": "hold", "arguments": {"name": "x", "reports": True}}
            params["_meta"] = {"progressToken": 1}
            with web.stream(web.request("tools/call", params)) as reports:
                next(reports)
                if kind == "deaf":
                    site.stop("pool", signal_number=number)
    wait_until(lambda: client.site.survivors() == [site.processes["wsgi"].pid], "nothing is left")
