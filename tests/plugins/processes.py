"""Whether a process lives, and waiting for what nothing tells of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    return _alive


@pytest.fixture(scope="session")
def family() -> Callable[[int], list[int]]:
    """A process, then all that it and its children have started and that has not been left alone.

    A child comes after its parent, whatever namespace it is in.
    """

    def family(process: int) -> list[int]:
        parents: dict[int, int] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        found = [process]
        for each in found:
            found += [child for child, parent in parents.items() if parent == each]
        return found

    return family


async def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """`await until(condition)`: wait for what nothing tells of."""
    return _until
