"""A child process with one task: its whole result, or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gptoss_tui.workers.task import result_of

Task = Callable[..., str]


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A function `(program) -> module` that makes a program a module."""

    def task(program: str) -> str:
        (tmp_path / "task_of_the_test.py").write_text(program)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return "task_of_the_test"

    return task


BACK = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1] + sys.argv[1].encode())"


@pytest.mark.parametrize("most", [2**20 + 1, 2**20])
async def test_the_whole_result_or_nothing(task: Task, most: int) -> None:
    given = bytes(range(256)) * 4096
    result = await result_of("the toy", task(BACK), "!", given=given, most=most, seconds=60)
    assert result == (given[::-1] + b"!" if most > 2**20 else b"")


async def test_one_that_takes_too_long_is_ended(task: Task, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    with pytest.raises(TimeoutError):
        await result_of("the toy", task(program), most=1, seconds=1)
    assert not pid.exists() or not Path(f"/proc/{pid.read_text()}").exists()
