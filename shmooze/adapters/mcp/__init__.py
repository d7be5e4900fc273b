"""The adapter `mcp`: MCP servers on standard input and output. Each tool is a command."""

from shmooze.adapters.mcp.adapter import ADAPTER

__all__ = ["ADAPTER"]
