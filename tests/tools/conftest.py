"""The real sandbox, real kernels, and a way to run a call to its end."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from gptoss_tui.tools import Tool
from gptoss_tui.tools.python import PythonTool
from gptoss_tui.tools.sandbox import Confinement, Kind, probe

# Set by contributors whose machine forbids namespaces. Without it a sandbox that does not hold is a failure.
NO_SANDBOX = "GPTOSS_TESTS_WITHOUT_SANDBOX"


@dataclass(frozen=True)
class Answer:
    """A whole call: what the model is told, whether it was told of a failure, files for the person."""

    text: str
    is_error: bool
    files: tuple[Path, ...] = ()


Run = Callable[[Tool, str], Awaitable[Answer]]


async def _run(tool: Tool, arguments: str) -> Answer:
    outputs = [output async for output in tool.call(arguments)]
    text = "".join(output.text for output in outputs)
    files = tuple(file for output in outputs for file in output.files)
    return Answer(text, any(output.is_error for output in outputs), files)


@pytest.fixture(scope="session")
def run() -> Run:
    """`await run(tool, arguments)`: the call's whole answer."""
    return _run


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    return _alive


async def _holding(kind: Kind) -> Confinement:
    found = await probe(kinds=[kind])
    if not found.works and os.environ.get(NO_SANDBOX):
        pytest.skip(found.reason)
    assert found.works, f"{found.reason} (set {NO_SANDBOX}=1 to leave these tests out)"
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def confinement() -> Confinement:
    """The strongest sandbox, which must hold."""
    return await _holding("bubblewrap")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["bubblewrap", "landlock"])
async def rung(request: pytest.FixtureRequest) -> Confinement:
    """Each sandbox in turn, which must hold."""
    return await _holding(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def confined(rung: Confinement, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PythonTool]:
    """A Python in each sandbox in turn, shared by the tests of a module."""
    folder = tmp_path_factory.mktemp(rung.kind)
    tool = PythonTool(folder / "files", confinement=rung, log=folder / "kernel.log")
    await tool.start()
    yield tool
    await tool.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def python(
    confinement: Confinement, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PythonTool]:
    """One confined Python that the tests of a module share; `files` is its workspace."""
    folder = tmp_path_factory.mktemp("python")
    tool = PythonTool(folder / "files", confinement=confinement, log=folder / "kernel.log")
    await tool.start()
    yield tool
    await tool.close()


@pytest.fixture(scope="module")
def files(python: PythonTool) -> Path:
    """The shared Python's workspace, on this side of the sandbox."""
    return python.workspace
