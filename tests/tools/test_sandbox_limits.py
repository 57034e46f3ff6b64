"""The limits of confined code in each sandbox; an ordinary cell works after each attempt."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gptoss_tui.tools.python import PythonTool
from gptoss_tui.tools.sandbox import Confinement, landlock, limits, probe, watchdog

Run = Callable[[PythonTool, str], Coroutine[Any, Any, Any]]
Until = Callable[[Callable[[], object]], Coroutine[Any, Any, None]]
pytestmark = pytest.mark.asyncio(loop_scope="module")

FORK_BOMB = """
import subprocess
children = []
try:
    while True:
        children.append(subprocess.Popen(["sleep", "100"]))
except OSError as error:
    print(error.strerror)
for child in children:
    child.kill(), child.wait()
len(children)"""


@pytest_asyncio.fixture(loop_scope="module")
async def ordinary(confined: PythonTool, run: Run) -> AsyncIterator[PythonTool]:
    """The shared Python, which must still work afterwards."""
    assert (await run(confined, "6 * 7")).text.endswith("42")
    yield confined
    assert (await run(confined, "6 * 7")).text.endswith("42")


async def test_a_fork_bomb_is_bounded(ordinary: PythonTool, run: Run) -> None:
    error, count = (await run(ordinary, FORK_BOMB)).text.splitlines()
    assert error == "Resource temporarily unavailable"
    assert int(count) < limits.TASKS


async def test_one_process_that_wants_too_much_memory_is_refused_it(ordinary: PythonTool, run: Run) -> None:
    assert "MemoryError" in (await run(ordinary, "x = bytearray(6 * 10**9)")).text


MANY_CHILDREN = """
import subprocess, sys, time
for _ in range(20):
    subprocess.Popen([sys.executable, '-c', 'x = bytearray(4 * 10**7); input()'], stdin=-1)
time.sleep(60)"""
MANY_THREADS = """
import threading, time
for _ in range(60):
    threading.Thread(target=time.sleep, args=[60]).start()
time.sleep(60)"""
MANY_FILES = """
import itertools
for n in itertools.count():
    open(f'{n}', 'w').close()"""
LARGE_FILES = """
import time
while True:
    open(f'{time.time()}', 'wb').write(bytes(10**7))
    time.sleep(0.01)"""
DEEP_FOLDERS = """
import os, time
for _ in range(200):
    os.mkdir('d')
    os.chdir('d')
time.sleep(60)"""


@pytest.mark.parametrize(
    ("tighter", "code", "told"),
    [
        # Limits are lowered where a machine for tests may not have that much.
        pytest.param(
            {"MEMORY": 400 * limits.MEGABYTE}, MANY_CHILDREN, "more than 0.4 GB of memory", id="memory"
        ),
        pytest.param({"OWN_TASKS": 50 - limits.TASKS}, MANY_THREADS, "processes and threads", id="tasks"),
        pytest.param({"WORKSPACE": 50 * limits.MEGABYTE}, LARGE_FILES, "take more than 0.05 GB", id="disk"),
        pytest.param({"FILES": 2000}, MANY_FILES, "it made more than 2,000 files", id="files"),
        pytest.param(
            {"FILES": 2000},
            "import os, tempfile; os.chdir(tempfile.gettempdir())" + MANY_FILES,
            "it made more than 2,000 files",
            id="temporary files",
        ),
        pytest.param({}, DEEP_FOLDERS, "its files cannot be counted", id="deep folders"),
        # A disk that is nearly full already keeps nobody from working.
        pytest.param({"FREE_DISK": 10**18}, "import time; time.sleep(1)", None, id="full disk"),
    ],
)
async def test_what_no_resource_limit_bounds_is_watched(
    rung: Confinement,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tighter: dict[str, int],
    code: str,
    told: str | None,
) -> None:
    for name, most in tighter.items():
        monkeypatch.setattr(limits, name, most)
    tool = PythonTool(tmp_path / "files", confinement=rung, time_limit=40, log=tmp_path / "log")
    try:
        answer = await run(tool, code)
        if told is None:
            assert not answer.is_error, answer.text
        else:
            assert answer.is_error
            assert "[ERROR] The Python process ended (stopped: " in answer.text
            assert told in answer.text
            assert "All variables are lost" in answer.text
        monkeypatch.undo()
        assert (await run(tool, "6 * 7")).text.endswith("42")
    finally:
        await tool.close()


async def test_shared_memory_is_counted_once(
    rung: Confinement, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MEMORY", 500 * limits.MEGABYTE)
    tool = PythonTool(tmp_path / "files", confinement=rung)
    code = """
    import os, time
    shared = b"x" * 10**8
    children = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            time.sleep(1.5)
            os._exit(0)
        children.append(child)
    len([os.waitpid(child, 0) for child in children])"""
    assert (await run(tool, code)).text == "20"
    await tool.close()


async def test_one_large_file_is_refused(ordinary: PythonTool, run: Run) -> None:
    code = "import os\nwith open('large', 'wb') as file: os.truncate('large', 10**12)"
    assert "File too large" in (await run(ordinary, code)).text


async def test_a_flood_is_stopped(ordinary: PythonTool, run: Run) -> None:
    answer = await run(ordinary, "while True: print('y' * 1000)")
    assert answer.is_error
    assert len(answer.text) < 110_000


async def test_a_hang_costs_the_state_and_no_more(rung: Confinement, run: Run) -> None:
    tool = PythonTool(confinement=rung, time_limit=1)
    answer = await run(tool, "sum(range(10**12))")
    assert answer.is_error
    assert "All variables are lost" in answer.text
    assert (await run(tool, "6 * 7")).text == "42"
    await tool.close()


async def test_a_fork_bomb_that_goes_on_is_ended(rung: Confinement, run: Run) -> None:
    tool = PythonTool(confinement=rung, time_limit=2)
    answer = await run(
        tool, "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    )
    assert answer.is_error
    assert (await run(tool, "6 * 7")).text.endswith("42")
    await tool.close()


@pytest.mark.parametrize("version", [3, 4, 5, 6])
@pytest.mark.usefixtures("with_landlock")
async def test_an_older_landlock_confines_too(
    run: Run, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    if landlock.abi() < version:
        pytest.skip(f"this kernel's Landlock is older than version {version}")
    monkeypatch.setattr(landlock, "abi", lambda: version)
    found = await probe(kinds=["landlock"])
    assert found.works, found.reason
    tool = PythonTool(confinement=found, time_limit=2)
    answer = await run(tool, "kept = 7\nimport time\ntime.sleep(60)")
    assert answer.text.endswith("and was interrupted. Variables are kept.")
    code = f"import os\ntry: os.kill({os.getpid()}, 0)\nexcept OSError as error: print(error.strerror)\nkept"
    assert (await run(tool, code)).text == "Operation not permitted\n7"
    await tool.close()


@pytest.mark.usefixtures("with_landlock")
async def test_a_landlock_that_is_too_old_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 2)
    (failure,) = (await probe(kinds=["landlock"])).failures
    assert "version 2" in failure.why
    monkeypatch.setattr(landlock, "LEAST", 1)
    (failure,) = (await probe(kinds=["landlock"])).failures
    assert "a folder of yours can be truncated" in failure.why  # as the canary finds


async def test_a_disk_that_fills_up_stops_what_runs(tmp_path: Path) -> None:
    free, _ = watchdog.left(str(tmp_path))
    most = {"tasks": 10**9, "memory": 10**15, "folders": [str(tmp_path)], "bytes": 10**12, "files": 10**6}
    watch = watchdog.Watch({**most, "tmpfs": [], "free": 10**9})
    assert watch.complaint() == ""
    watch.most["free"] = free * 2
    watch.free = {str(tmp_path): (free * 2, 0)}
    assert watch.complaint() == "the disk is nearly full"


async def test_what_cannot_be_watched_does_not_run(
    rung: Confinement, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MEMORY", "much")
    tool = PythonTool(confinement=rung)
    answer = await run(tool, "import time; time.sleep(60)")
    assert answer.is_error
    assert "cannot be watched" in answer.text
    await tool.close()


async def test_what_a_cell_leaves_running_ends_with_the_tool(
    rung: Confinement, run: Run, until: Until
) -> None:
    marker = f"{time.time_ns()}"
    tool = PythonTool(confinement=rung)
    code = f"import subprocess; subprocess.Popen(['sleep', '1{marker}'], start_new_session=True).pid > 0"
    assert (await run(tool, code)).text == "True"
    await tool.close()
    await until(lambda: not [command for command in commands() if marker.encode() in command])


def commands() -> Iterator[bytes]:
    """The command line of every process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()
