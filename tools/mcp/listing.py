"""The tools that a server lists, within bounds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mcp import Client
from mcp_types import Tool

from .sieve import Sieve, left_out

MOST_TOOLS = 256
MOST_PAGES = 32
MOST_REFUSED = 64
"""Tools that are left out and named; of the others only the number is given."""
LONGEST_NAME = 256
LONGEST_DESCRIPTION = 4_000
"""Characters, beyond which a description is cut."""
LONGEST_SCHEMA = 50_000
LONGEST_IN_ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Listed:
    """One tool, as the server calls and describes it."""

    name: str
    description: str
    schema: dict[str, Any]

    @property
    def told(self) -> dict[str, Any]:
        """The tool's description for the app."""
        return {"name": self.name, "description": self.description, "parameters": self.schema}


async def list_tools(client: Client, sieve: Sieve) -> tuple[dict[str, Listed], list[str]]:
    """The tools by name, and the reasons why others are left out; `sieve` filters the input of `client`."""
    found: dict[str, Listed] = {}
    refused: list[str] = []
    cursor: str | None = None
    room = LONGEST_IN_ALL
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        passed, reasons = sieve.taken()
        given = {tool.name for tool in page.tools}
        reasons += [left_out(name, _HEADERS) for name in passed if name not in given]
        refused += reasons
        for tool in page.tools:
            if len(found) >= MOST_TOOLS or room < 0:
                return found, _bounded(
                    [*refused, "has too many tools, or too long ones; the rest is left out."]
                )
            if reason := _objection(tool, found):
                refused.append(left_out(tool.name, reason))
                continue
            listed = found[tool.name] = Listed(tool.name, _description(tool), tool.input_schema)
            room -= len(listed.description) + len(json.dumps(listed.schema))
        cursor = page.next_cursor
        if cursor is None:
            break
    return found, _bounded(refused)


def _bounded(refused: list[str]) -> list[str]:
    """The first reasons, and the number of the others: a server may have faulty tools without end."""
    more = len(refused) - MOST_REFUSED
    return [*refused[:MOST_REFUSED], f"has {more:,} more that are left out."] if more > 0 else refused


_HEADERS = "asks for headers that it must not have"
"""The reason for tools that the SDK itself leaves out."""


def _description(tool: Tool) -> str:
    text = (tool.description or tool.title or "").strip()
    return text if len(text) <= LONGEST_DESCRIPTION else text[:LONGEST_DESCRIPTION] + " [… cut]"


def _objection(tool: Tool, found: dict[str, Listed]) -> str:
    if tool.name in found:
        return "is there twice"
    if len(tool.name) > LONGEST_NAME:
        return "has too long a name"
    if len(json.dumps(tool.input_schema)) > LONGEST_SCHEMA:
        return f"describes its parameters in more than {LONGEST_SCHEMA:,} characters"
    return ""
