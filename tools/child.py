"""Processes that do one thing for us and may be lost: a module, in Python, with nothing of the screen's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys


async def start(module: str, *arguments: str, stdin: int) -> asyncio.subprocess.Process:
    """Run the module of that full name; its standard output is a pipe."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, *arguments),
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


def limit(cpu_seconds: int, memory: int) -> None:
    """Bound what this very process may use, in seconds and bytes; the kernel ends it beyond that.

    It may write to pipes only.
    """
    try:
        import resource
    except ImportError:  # Windows: the other side's clock is the only bound
        return
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
