"""The way to reach a server, as its entry in the configuration gives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

START_LIMIT = 10.0
"""Seconds for a server to list its tools, unless its entry has a `startup_timeout_sec`."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The way to reach a server: a program to start, or an address. Variables are filled in."""

    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    cwd: str | None = None
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    start_limit: float = START_LIMIT

    @property
    def where(self) -> str:
        """The place of the server in a few words for the person."""
        return f"at {urlsplit(self.url).hostname}" if self.url else "in a program on this machine, as you"
