"""Files of functions and MCP servers on the real screen: told where they fail, called where they work."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from gptoss_tui.tools import Source
from gptoss_tui.tools.functions import Functions
from gptoss_tui.tools.mcp import read_servers
from gptoss_tui.tui.widgets.prompt import GRACE_S

StageMaker = Callable[..., AbstractAsyncContextManager[Any]]

SERVERS = Path(__file__).parents[1] / "servers"
ANSWER = "<|channel|>final<|message|>It is done.<|return|>"
CALL = '<|channel|>commentary to=functions.toy_add json<|message|>{"a": 40, "b": 2}<|call|>'


def sources(folder: Path, **programs: str) -> list[Source]:
    entries = {
        name: {"command": sys.executable, "args": [str(SERVERS / program.split()[0]), *program.split()[1:]]}
        for name, program in programs.items()
    }
    return read_servers(None, entries, folder, folder / "logs")


async def test_a_servers_tool_is_asked_about_and_called(stage: StageMaker, tmp_path: Path) -> None:
    async with stage(CALL, ANSWER, sources=sources(tmp_path, toy="toy.py"), size=(200, 40)) as s:
        await s.say("What is 40 + 2?")
        await s.until_shown("Run this call?")
        assert "functions.toy_add" in s.screen
        assert "MCP server toy" in s.screen
        await asyncio.sleep(GRACE_S + 0.1)  # the prompt is deaf to what was meant for the composer
        await s.pilot.press("y")
        await s.until_shown("It is done.")
        await s.say("/tools")
        await s.until_shown("from MCP server toy")
        assert "toy_add, toy_say_hello_world" in s.screen


async def test_what_cannot_be_used_is_told_before_anything_is_sent(stage: StageMaker, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("\n1 / 0\n")
    bad = Functions(str(tmp_path / "bad.py"))
    async with stage(ANSWER, sources=[bad, *sources(tmp_path, down="raw.py exits")], size=(160, 30)) as s:
        await s.until_shown("line 2: ZeroDivisionError")
        await s.until_shown("MCP server down ended with status 1: cannot find my configuration")
        await s.say("Hello")
        await s.until_shown("It is done.")
        assert s.screen.count("ZeroDivisionError") == 1


async def test_esc_ends_the_wait_for_a_server(stage: StageMaker, tmp_path: Path) -> None:
    async with stage(ANSWER, sources=sources(tmp_path, slow="raw.py silent")) as s:
        await s.ready()
        await s.say("Hello")
        await s.until_shown("starting MCP server slow")
        await s.pilot.press("escape")
        await s.until_shown("● ready")
        assert s.engine.prompts == []
