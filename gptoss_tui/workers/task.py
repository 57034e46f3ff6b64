"""A child process with one task: its input is the question, and its output is the result."""

from __future__ import annotations

import asyncio
from pathlib import Path

from .child import Child


async def result_of(
    name: str,
    module: str,
    *arguments: str,
    given: bytes = b"",
    most: int,
    seconds: float,
    log: Path | None = None,
) -> bytes:
    """The output of the module for the input `given`; nothing if that is more than `most` bytes.

    Raises ChildError if the child cannot be started, TimeoutError if it takes longer than `seconds`.
    """
    child = Child.start(name, module, *arguments, log=log)
    try:
        async with asyncio.timeout(seconds):
            child.write(given)
            child.close_input()
            return await child.output(most)
    finally:
        await child.end()
