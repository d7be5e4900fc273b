"""An MCP client that calls a tool, says so, and stays: python client.py (sse|http) URL

It runs with the package `mcp`, which the tests themselves do not need.
"""

import asyncio
import sys

from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamablehttp_client


async def main(transport: str, url: str) -> None:
    connect = sse_client if transport == "sse" else streamablehttp_client
    async with connect(url) as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        await session.call_tool("hello", {})
        print("ready", flush=True)
        await asyncio.sleep(300)


asyncio.run(main(*sys.argv[1:]))
