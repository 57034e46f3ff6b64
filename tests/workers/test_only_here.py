"""One room starts all processes, except for those that cannot be a Child."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("gptoss_tui", "kernels", "model", "tools")

ALLOWED = {
    "gptoss_tui/workers/child.py": "the one place",
    "gptoss_tui/tui/restore.py": "outlives the program, and imports nothing of it",
    "kernels/cpu/build.py": "compiles, at installation; imports nothing of ours",
    "tools/mcp/stdio.py": "servers are programs of other people's",
    "tools/sandbox/launch.py": "a warden and what it confines",
    "tools/sandbox/warden.py": "imports nothing of ours",
}
MODULES = {"subprocess", "multiprocessing", "pty"}
CALLS = {"create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "ProcessPoolExecutor"}
CALLS |= {"fork", "forkpty", "posix_spawn", "posix_spawnp", "popen"}


def started(source: str) -> Iterator[str]:
    """The names in `source` that start a process."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names):
                yield from (one.name for one in names if one.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                if module.partition(".")[0] in MODULES:
                    yield module
                yield from (one.name for one in names if one.name in CALLS)
            case ast.Attribute(ast.Name("os" | "asyncio" | "futures" | "loop"), attr=name) if name in CALLS:
                yield name


def test_nothing_else_starts_a_process() -> None:
    found = {
        file.relative_to(ROOT).as_posix(): names
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        if (names := list(started(file.read_text())))
    }
    assert found.keys() == ALLOWED.keys(), found
