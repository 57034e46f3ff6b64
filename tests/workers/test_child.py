"""A child process: its output, its end, and that nothing of it remains."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gptoss_tui.workers.child import Child, ChildError

Until = Callable[[Callable[[], object]], Awaitable[None]]


async def lines_of(child: Child) -> list[bytes]:
    heard: list[bytes] = []
    await child.listen(heard.append)
    return heard


@pytest.mark.parametrize(
    ("last_words", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "the toy stopped (signal 11, a crash in native code)"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "the toy stopped (signal 15, sent from outside)"),
        ("sys.exit(3)", "the toy stopped (exit status 3)"),
        ("print('half a line', end='')", "the toy stopped (exit status 0)"),
        ("os.kill(os.getpid(), signal.SIGRTMAX - 1)", "the toy stopped (signal 63, sent from outside)"),
        ("os.close(1); time.sleep(600)", "the toy closed its output, and was ended"),
    ],
)
async def test_the_cause_of_death_is_in_words(
    start: Callable[..., Child], last_words: str, told: str
) -> None:
    child = start(f"import os, signal, sys, time\n{last_words}")
    assert await lines_of(child) == []
    assert await child.fate() == told
    assert not child.is_alive


async def test_the_log_is_named_where_it_has_the_reason(start: Callable[..., Child], tmp_path: Path) -> None:
    log = tmp_path / "toy.log"
    child = start("raise SystemExit('out of cheese')", log=log)
    assert await child.fate() == f"the toy stopped (exit status 1); the reason is in {log}"
    assert log.read_text() == "out of cheese\n"


async def test_what_it_is_given_and_what_it_gives(start: Callable[..., Child]) -> None:
    child = start("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])")
    data = bytes(range(256)) * 4096
    child.write(data)
    child.close_input()
    assert await child.output(len(data)) == data[::-1]
    assert await child.wait() == 0
    await child.end()


async def test_one_that_ends_while_it_is_given_much_takes_no_more(start: Callable[..., Child]) -> None:
    child = start("import os, signal, sys; sys.stdin.read(1); os.kill(os.getpid(), signal.SIGKILL)")
    child.write(bytes(10 << 20))
    assert await lines_of(child) == []
    assert "signal 9" in await child.fate()
    child.write(b"too late")
    child.close_input()
    assert await child.end() == await child.end() == -signal.SIGKILL


async def test_ending_it_ends_the_listening(start: Callable[..., Child]) -> None:
    child = start("import time; print('ready', flush=True); time.sleep(600)")
    ready = asyncio.Event()
    listening = asyncio.create_task(child.listen(lambda line: ready.set()))
    await ready.wait()
    child.write(bytes(10 << 20))
    await asyncio.gather(child.end(), child.end())
    await listening
    assert await lines_of(child) == []


async def test_more_than_is_wanted_is_nothing(start: Callable[..., Child]) -> None:
    child = start("print('x' * 1000)")
    assert await child.output(999) == b""
    await child.end()


async def test_a_line_without_an_end_is_refused(start: Callable[..., Child]) -> None:
    child = start("print('short'); print('x' * 5000)", longest=1000)
    with pytest.raises(ChildError, match="the toy wrote a line of more than 1,000 bytes"):
        await lines_of(child)
    await child.end()


def test_one_child_serves_one_loop_after_the_other(start: Callable[..., Child]) -> None:
    child = start("import sys\nfor line in sys.stdin: print(line, end='', flush=True)")

    async def echo(word: bytes) -> bytes:
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        listening = asyncio.create_task(child.listen(heard.put_nowait))
        child.write(word + b"\n")
        line = await heard.get()
        listening.cancel()
        return line

    async def last() -> int:
        return await child.end()

    assert [asyncio.run(echo(word)) for word in (b"one", b"two")] == [b"one", b"two"]
    assert asyncio.run(last()) < 0


async def test_what_it_started_ends_with_it(
    start: Callable[..., Child], alive: Callable[[int], bool], until: Until
) -> None:
    child = start(
        "import subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
    )
    told: asyncio.Queue[bytes] = asyncio.Queue()
    listening = asyncio.create_task(child.listen(told.put_nowait))
    grandchild = int(await told.get())
    await child.end()
    await listening
    await until(lambda: not alive(grandchild))


async def test_a_system_without_processes_is_told(
    start: Callable[..., Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ChildError, match="the toy cannot be started: No such file or directory"):
        start("")
