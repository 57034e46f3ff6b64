"""Servers of the Model Context Protocol as sources of tools. Protocol: https://modelcontextprotocol.io.

Nothing a server says is trusted: not its descriptions, not its results, not that it is read-only.
"""

from .config import read_servers
from .server import Server, ServerTool

__all__ = ["Server", "ServerTool", "read_servers"]
