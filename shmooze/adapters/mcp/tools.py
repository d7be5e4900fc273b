"""The tools of a server: listed, as commands of a module, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from shmooze.adapters.mcp import messages
from shmooze.adapters.mcp.calls import Reply
from shmooze.errors import ModuleError, PacketError
from shmooze.modules.channel.command_stream import Answer
from shmooze.runtime import jsonsafe

#: Tools that one server may have.
MAX_TOOLS = 1000


class Tool(Struct):
    """What a server says of a tool, as far as we use it."""

    name: str
    title: str | None = None
    description: str | None = None
    inputSchema: dict[str, Any] = {}
    outputSchema: dict[str, Any] | None = None


class _Page(Struct):
    tools: list[Tool]
    nextCursor: str | None = None


class _Result(Struct):
    content: list[Any] = []
    structuredContent: Any = None
    isError: bool = False


def list_tools(ask: Callable[[dict[str, Any] | None], Reply]) -> list[Tool]:
    """All tools, page by page; `ask` sends `tools/list` with params. Raises ModuleError."""
    tools: list[Tool] = []
    cursor: str | None = None
    seen: set[str] = set()
    while True:
        reply = ask(None if cursor is None else {"cursor": cursor})
        if reply.error is not None:
            raise ModuleError(f"refused to list its tools: {messages.words_of(reply.error)}")
        page = _decode(reply.result, _Page, "listed its tools")
        tools += page.tools
        if len(tools) > MAX_TOOLS:
            raise ModuleError(f"has more than {MAX_TOOLS} tools")
        cursor = page.nextCursor
        if not cursor:
            return tools
        if cursor in seen:
            raise ModuleError("never finishes listing its tools")
        seen.add(cursor)


def as_commands(tools: list[Tool]) -> dict[str, Any]:
    """Tools as the commands of a description; see docs/reference/descriptions.md."""
    return {tool.name: _as_command(tool) for tool in tools}


def _as_command(tool: Tool) -> dict[str, Any]:
    command: dict[str, Any] = {
        "description": tool.description or tool.title or "",
        "args": tool.inputSchema,
    }
    if tool.outputSchema is not None:
        command["result"] = tool.outputSchema
    return command


def answer_of(reply: Reply) -> Answer:
    """The answer to a command from what a tool has answered.

    Its result is the structured content if there is one, and the list of its contents otherwise.
    """
    if reply.error is not None:
        return Answer(False, error=messages.words_of(reply.error))
    try:
        found = _decode(reply.result, _Result, "answered")
    except ModuleError as bad:
        return Answer(False, error=str(bad))
    if found.isError:
        return Answer(False, error=_text_of(found.content))
    structured = found.structuredContent
    return Answer(True, result=found.content if structured is None else structured)


def _text_of(content: list[Any]) -> str:
    texts = [each.get("text") for each in content if isinstance(each, dict)]
    words = " ".join(each for each in texts if isinstance(each, str))
    return words or "the tool failed without giving a reason"


def _decode(raw: Raw | None, shape: type[Any], what: str) -> Any:
    try:
        return msgspec.convert(jsonsafe.decode(bytes(raw or b"null")), shape)
    except (PacketError, msgspec.ValidationError) as bad:
        raise ModuleError(f"{what} with an invalid result: {bad}") from bad
