"""The browser tool: pages as numbered lines and links, from a network or from this machine."""

from .backend import BackendError, Document, Fetch, Hit, Search
from .browser import Browser
from .tools import BrowserTool, OpenTool, browser_tools

__all__ = [
    "BackendError",
    "Browser",
    "BrowserTool",
    "Document",
    "Fetch",
    "Hit",
    "OpenTool",
    "Search",
    "browser_tools",
]
