"""The real sandbox, real kernels, and a way to run a call to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from gptoss_tui.tools import Tool
from gptoss_tui.tools.python import PythonTool
from gptoss_tui.tools.sandbox import Confinement, SandboxKind


@dataclass(frozen=True)
class Answer:
    """A whole call: the text for the model, whether it reports a failure, the files for the person."""

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


@pytest.fixture(scope="session")
def confinement(sandbox: Confinement) -> Confinement:
    """The strongest sandbox of this machine."""
    return sandbox


@pytest.fixture(scope="session", params=["bubblewrap", "landlock"])
def rung(request: pytest.FixtureRequest, holding: Callable[..., Confinement]) -> Confinement:
    """Each sandbox in turn."""
    return holding(request.param)


@pytest.fixture(params=["bubblewrap", "landlock", "none"])
def kind(request: pytest.FixtureRequest, holding: Callable[..., Confinement]) -> SandboxKind:
    """Each kind in turn; "none" is always possible."""
    found: SandboxKind = request.param
    return found if found == "none" else holding(found).kind


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
