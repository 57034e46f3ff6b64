"""Confined code has no descriptor of the person's files, and its prints outside messages are dropped."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.tools.python import PythonTool
from gptoss_tui.tools.python.start_log import LONGEST
from gptoss_tui.tools.sandbox import Confinement, bubblewrap, landlock, launch

Run = Callable[[PythonTool, str], Coroutine[Any, Any, Any]]
in_the_loop = pytest.mark.asyncio(loop_scope="module")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def below(process: int) -> list[int]:
    """Every process that `process` started, whatever namespace it is in."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *below(child)]
    return found


def sandboxed(workspace: Path) -> list[int]:
    """The processes in the sandbox with this workspace: all below its warden."""

    def guards(process: int) -> bool:
        words = Path(f"/proc/{process}/cmdline").read_bytes()
        return b"warden.py" in words and str(workspace).encode() in words

    return [process for guard in below(os.getpid()) if guards(guard) for process in below(guard)]


@in_the_loop
async def test_no_process_in_the_sandbox_holds_a_file_of_the_persons(confined: PythonTool, run: Run) -> None:
    kept = await run(confined, "file = open('mine', 'w'); import tempfile; other = tempfile.TemporaryFile()")
    assert not kept.is_error
    processes = sandboxed(confined.workspace)
    assert processes
    own = (confined.workspace / "mine").stat()
    files = []
    for process in processes:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            info = descriptor.stat()
            if stat.S_ISCHR(info.st_mode):
                assert str(descriptor.readlink()) in ("/dev/null", "/dev/urandom"), (process, descriptor)
            elif stat.S_ISREG(info.st_mode) and info.st_nlink and not os.path.samestat(info, own):
                files.append((process, descriptor.name, descriptor.readlink()))
            else:
                assert not stat.S_ISDIR(info.st_mode) and not stat.S_ISBLK(info.st_mode), (
                    process,
                    descriptor,
                )
    assert files == []


@in_the_loop
async def test_what_is_printed_past_the_messages_is_not_kept(
    rung: Confinement, run: Run, tmp_path: Path
) -> None:
    log = tmp_path / "kernel.log"
    tool = PythonTool(confinement=rung, log=log)
    code = """
    import os, stat, subprocess
    subprocess.run("echo a private word", shell=True)
    sent = 0
    for number in range(3, 100):
        try:
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                os.write(number, b"a private word\\n" * 100)
                sent += 1
        except OSError:  # not open, or not for writing
            pass
    sent > 0"""
    answer = await run(tool, code)
    assert "True" in answer.text
    await tool.close()
    assert "private" not in log.read_text()
    assert mode(log) == 0o600


@in_the_loop
async def test_a_flood_of_a_child_is_stopped_like_any_and_fills_no_log(
    rung: Confinement, run: Run, tmp_path: Path
) -> None:
    log = tmp_path / "kernel.log"
    tool = PythonTool(confinement=rung, log=log)
    await run(tool, "kept = 1")
    answer = await run(tool, "import subprocess; subprocess.run(['yes'])")
    after = await run(tool, "kept")  # and what was still on its way
    await tool.close()
    assert answer.is_error
    assert "Stopped because it printed too much" in answer.text
    assert "1" in after.text
    assert log.stat().st_size < LONGEST


@in_the_loop
@pytest.mark.parametrize("flood", [0, 10**7])
async def test_why_a_kernel_does_not_start_is_told_and_kept_within_bounds(
    rung: Confinement, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flood: int
) -> None:
    log = tmp_path / "logs" / "kernel.log"
    script = f"printf 'dull\\033[2J\\n'; yes | head -c {flood}; printf '\\nno \\033[31mroom\\n' >&2; exit 3"
    for kind in (bubblewrap, landlock):
        monkeypatch.setattr(kind, "command", lambda *_: ["/bin/sh", "-c", script])
    tool = PythonTool(confinement=rung, log=log)
    answer = await run(tool, "1")
    await tool.close()
    assert answer.is_error
    assert f"it ended at once, exit status 3: no \ufffd[31mroom (its log: {log})" in answer.text
    said = log.read_text()
    assert said.startswith("dull\ufffd[2J\n")
    assert len(said) <= LONGEST
    assert mode(log) == 0o600


@in_the_loop
async def test_no_file_can_be_handed_to_code(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file, pytest.raises(ValueError, match="no descriptor"):
        await launch(["/bin/true"], "none", cwd=tmp_path, stdout=file.fileno(), stderr=file.fileno())
