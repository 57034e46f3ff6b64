"""The browser's way out: the one place where a page's address becomes a connection."""

from .policy import Policy, parse_host
from .web import Web

__all__ = ["Policy", "Web", "parse_host"]
