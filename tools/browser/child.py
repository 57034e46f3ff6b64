"""Processes that do one thing for the browser: a module of ours, in Python, with nothing of the screen's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys


async def start(module: str, *arguments: str, stdin: int) -> asyncio.subprocess.Process:
    """Run the module of that name beside this one; its standard output is a pipe."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", f"{__package__}.{module}", *arguments),
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill the process if it is still there, and wait until it is gone."""
    if process.returncode is None:
        # Not process.kill(): it may reap the process before asyncio does, which then complains in the log.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    await process.wait()
