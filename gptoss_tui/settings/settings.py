"""The settings: everything that a person may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..harmony.message import Effort
from ..permissions.policy import Policy
from ..permissions.rules import Rules

TOOLS = ("python", "browser")
Reasoning = Literal["folded", "hidden", "raw"]
Search = Literal["duckduckgo", "searxng", "exa", "you", "brave", "offline"]
Pictures = Literal["auto", "kitty", "sixel", "blocks", "off"]
WhenFull = Literal["compact", "drop", "ask"]
Sandbox = Literal["read-only", "workspace-write", "danger-full-access"]


class SettingsError(Exception):
    """A setting cannot be used: a sentence that names the place, the key and the values it takes."""


@dataclass(frozen=True, slots=True)
class Servers:
    """MCP servers by name, as the config file has them. Their relative paths start from its `folder`."""

    entries: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()


@dataclass(frozen=True, slots=True)
class Settings:
    """The person's choices; None leaves a choice to the program.

    `model` is "demo" or the folder of a checkpoint. `functions` are the files, modules and entry points with
    functions that the model may call. `mcp` is a file with MCP servers, `mcpServers` are those in the config
    file itself. `search` is the browser's search engine: by default the folder `documents` or the file `zim`,
    else the SearXNG at the address `searxng`, else DuckDuckGo. `allow_hosts` are hosts, HOST or HOST:PORT
    each, that the browser may open at private addresses. `max_tokens` bounds one sample,
    `max_reasoning_tokens` the reasoning of one turn, `context` what the model is shown at once, all in
    tokens. When a conversation fills it, the model sums up the oldest turns, they are left out, or the person
    is asked, as `context_full` says; None leaves them out with the demo model, which sums up poorly. `schema`
    is a file with the JSON Schema that answers must fit. `constrain_headers` lets the model write only
    channels and recipients that exist. `reasoning` is the way in which the raw chain of thought is shown;
    `reasoning_filter` judges it before the person sees it: FILE.py:FUNCTION, or the folder of a checkpoint,
    which judges by `reasoning_policy`. `speculate` lets the model read several tokens at once where the text
    so far suggests them and that saves time. `sandbox` is what the model's code may write, `container` an
    image to run it in, `ask_for_approval` the policy for approvals, `permissions` the person's rules. After
    `max_tool_calls` calls in one turn the person is asked whether it goes on. `snapshots` are the megabytes
    that openings of prompts may take on disk, 0 keeps none; `read_ahead` has the model read between turns
    what the next prompt is known to begin with. `bypass` runs code without a
    sandbox and without asking; only its flag sets it, so that no file can.
    """

    model: str = "demo"
    effort: Effort = Effort.MEDIUM
    tools: tuple[str, ...] = ("python",)
    functions: tuple[str, ...] = ()
    search: Search | None = None
    searxng: str | None = None
    documents: Path | None = None
    zim: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    mcp: Path | None = None
    mcpServers: Servers = Servers()  # spelled as in the files that people have
    instructions: str = ""
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = None
    max_reasoning_tokens: int | None = None
    schema: Path | None = None
    constrain_headers: bool = True
    reasoning: Reasoning = "folded"
    reasoning_filter: str | None = None
    reasoning_policy: str = ""
    context: int | None = None
    context_full: WhenFull | None = None
    device: str = "auto"
    threads: int | None = None
    speculate: bool = True
    snapshots: int = 1000
    read_ahead: bool = True
    sandbox: Sandbox = "workspace-write"
    container: str = ""
    ask_for_approval: Policy = "on-request"
    permissions: Rules = field(default_factory=Rules)
    max_tool_calls: int = 32
    bypass: bool = False
    theme: str | None = None
    pictures: Pictures = "auto"
