"""MCP servers that others have written, called through the gateway by the official client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from npm import installed
from support import Client, Site, child

mcp = pytest.importorskip("mcp", reason="the package mcp is not installed")

# Of what the protocol has lost since the versions that most servers speak.
pytestmark = pytest.mark.filterwarnings("ignore:.* as of 2026-07-28")

EVERYTHING = "@modelcontextprotocol/server-everything@2026.8.31"


def start(make_shared_site: Callable[..., Site], kinds: dict[str, Any]) -> Client:
    kinds = {
        name: {"adapter": "mcp", "command_timeout": 30, **kind} for name, kind in kinds.items()
    }
    site = make_shared_site(services=("wsgi", "pool"), settings={"pool": {"modules": kinds}})
    return Client(site.start(), "pool")


@pytest.fixture(scope="module")
def running(make_shared_site: Callable[..., Site]) -> Client:
    return start(
        make_shared_site,
        {
            "time": {"process": [sys.executable, "-m", "mcp_server_time"], "describe": True},
            "test": {"process": child("mcp_server")},
        },
    )


@pytest.fixture(scope="module")
def everything(make_shared_site: Callable[..., Site]) -> Client:
    """The reference server, which needs node."""
    modules = installed(EVERYTHING)
    program = modules / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
    return start(make_shared_site, {"everything": {"process": ["node", str(program), "stdio"]}})


def in_a_loop(what: Coroutine[Any, Any, Any]) -> Any:
    """Run it in a thread of its own: tests with a browser have an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, what).result()


def door(client: Client, kind: str) -> str:
    return f"{client.site.url}pool/on/{kind}/mcp"


def text(result: Any) -> str:
    return str(result.content[0].text)


def test_a_time_server_serves_several_clients_at_once(client: Client) -> None:
    assert "get_current_time" in client("describe", type="time")["commands"]

    async def convert(url: str, zone: str) -> str:
        async with mcp.Client(url) as web:
            assert web.server_info.name == "mcp-time"
            tools = await web.list_tools()
            assert {tool.name for tool in tools.tools} == {"get_current_time", "convert_time"}
            times = {"source_timezone": zone, "time": "12:00", "target_timezone": "UTC"}
            results = [await web.call_tool("convert_time", times) for _ in range(5)]
            (found,) = set(map(text, results))
            return found

    async def all_at_once() -> list[str]:
        zones = ("Asia/Tokyo", "Asia/Kolkata", "UTC")
        return await asyncio.gather(*(convert(door(client, "time"), zone) for zone in zones))

    tokyo, kolkata, utc = in_a_loop(all_at_once())
    assert ("T03:00" in tokyo, "T06:30" in kolkata, "T12:00" in utc) == (True, True, True)
    (uid,) = client.uids()  # one process for all of them
    assert "Asia/Tokyo" in str(client.tell(uid, "get_current_time", timezone="Asia/Tokyo"))


def test_the_client_hears_of_changed_tools(client: Client) -> None:
    async def learn(url: str) -> None:
        heard = asyncio.Event()

        async def on_message(message: Any) -> None:
            if "list_changed" in str(getattr(message, "method", message)):
                heard.set()

        async with mcp.Client(url, message_handler=on_message) as web:
            before = {tool.name for tool in (await web.list_tools()).tools}
            await web.call_tool("learn", {"name": "new"})
            await asyncio.wait_for(heard.wait(), 20)
            tools = await web.list_tools(cursor="14", cache_mode="bypass")
            assert "new" not in before
            assert "new" in {tool.name for tool in tools.tools}
            assert text(await web.call_tool("new")) == "called new"

    in_a_loop(learn(door(client, "test")))


def test_the_client_cancels_a_call(client: Client) -> None:
    async def cancel(url: str) -> None:
        async with mcp.Client(url) as web:
            with pytest.raises(Exception, match=r"(?i)timed out"):
                await web.call_tool("hold", {"name": "x"}, read_timeout_seconds=0.2)
            found = await web.call_tool("cancelled")
            assert found.structured_content == {"names": ["x"]}

    in_a_loop(cancel(door(client, "test")))


def test_the_reference_server_does_all_that_it_can(everything: Client) -> None:
    async def use(url: str) -> None:
        reports: list[float] = []

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            reports.append(progress)

        async with mcp.Client(url) as web:
            tools = {tool.name for tool in (await web.list_tools()).tools}
            assert {"echo", "get-sum", "trigger-long-running-operation"} <= tools
            assert "hello" in text(await web.call_tool("echo", {"message": "hello"}))
            long = {"duration": 0.3, "steps": 3}
            name = "trigger-long-running-operation"
            await web.call_tool(name, long, progress_callback=on_progress)
            assert reports == [1, 2, 3]
            resources = (await web.list_resources()).resources
            content = await web.read_resource(resources[0].uri)
            assert content.contents
            await web.subscribe_resource(resources[0].uri)
            await web.unsubscribe_resource(resources[0].uri)
            prompts = (await web.list_prompts()).prompts
            plain = next(each for each in prompts if not each.arguments)
            assert (await web.get_prompt(plain.name)).messages
            structured = await web.call_tool("get-structured-content", {"location": "New York"})
            assert structured.structured_content["conditions"]

    in_a_loop(use(door(everything, "everything")))
    (uid,) = everything.uids()
    assert "5" in str(everything.tell(uid, "get-sum", a=2, b=3))
    commands = everything("describe", type="everything")["commands"]
    assert commands["get-sum"]["args"]["required"] == ["a", "b"]
    everything.clear()
