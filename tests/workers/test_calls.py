"""Calls to one child: several at once, in any order, each answered alone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gptoss_tui.agent.rendering import Render
from gptoss_tui.workers.calls import Calls
from gptoss_tui.workers.child import Child, ChildError
from gptoss_tui.workers.wire import Wire

Until = Callable[[Callable[[], object]], Awaitable[None]]

# Waits for as many calls as the first one says, then answers all of them, the last one first.
BACKWARDS = """
from queue import SimpleQueue
from gptoss_tui.workers.parent import Parent
from gptoss_tui.workers.wire import Wire

heard = SimpleQueue()
parent = Parent(Wire(), lambda call, message: heard.put((call, message)))
print("what a library prints goes to the log")
while True:
    call, message = heard.get()
    calls = [(call, message), *(heard.get() for _ in range(message["wait"] - 1))]
    for call, message in reversed(calls):
        parent.answer(call, message["say"])
        parent.answer(call, message["say"] * 2)
"""


@pytest.fixture
def child(start: Callable[..., Child], tmp_path: Path) -> Child:
    return start(BACKWARDS, log=tmp_path / "toy.log")


async def test_two_calls_are_answered_in_any_order(child: Child, tmp_path: Path) -> None:
    calls = Calls(child, Wire())
    first = calls.call({"wait": 2, "say": "a"})
    second = calls.call({"wait": 2, "say": "b"})
    assert [await second.answer(), await first.answer()] == ["b", "a"]
    assert [await first.answer(), await second.answer()] == ["aa", "bb"]
    assert (tmp_path / "toy.log").read_text() == "what a library prints goes to the log\n"
    await child.end()


async def test_a_call_that_was_left_is_answered_to_nobody(child: Child) -> None:
    calls = Calls(child, Wire())
    left = calls.call({"wait": 1, "say": "old"})
    left.leave()
    assert await calls.ask({"wait": 1, "say": "new"}) == "new"
    await child.end()


async def test_a_death_fails_every_open_call_by_name(child: Child) -> None:
    calls = Calls(child, Wire())
    opened = [calls.call({"wait": 3, "say": "x"}) for _ in range(2)]
    waiting = [asyncio.create_task(call.answer()) for call in opened]
    os.kill(child.pid, signal.SIGKILL)
    told = "the toy stopped (signal 9, probably out of memory)"
    for answer in waiting:
        with pytest.raises(ChildError) as caught:
            await answer
        assert str(caught.value) == told
    with pytest.raises(ChildError, match="the toy stopped"):
        await opened[0].answer()
    with pytest.raises(ChildError, match="the toy stopped"):
        calls.call({"wait": 1, "say": "too late"})


async def test_a_child_that_is_closed_says_so(child: Child) -> None:
    calls = Calls(child, Wire())
    opened = calls.call({"wait": 2, "say": "x"})
    await child.end()
    with pytest.raises(ChildError, match=r"the toy stopped \(closed\)"):
        await opened.answer()


@pytest.mark.parametrize(
    "line", ["nonsense", "[1]", "7", '["a", {}]', '[1, {"\\u0000": "Nobody"}]', "[" * 100_000]
)
async def test_a_child_that_talks_nonsense_is_ended(start: Callable[..., Child], line: str) -> None:
    child = start(f"import time\nprint({line!r}, flush=True)\ntime.sleep(600)")
    calls = Calls(child, Wire(Render))
    with pytest.raises(ChildError, match="the toy wrote what it should not, and was ended"):
        await calls.ask({"say": "hello"})
    assert not child.is_alive


async def test_a_call_after_the_listening_was_cancelled_is_answered(child: Child) -> None:
    calls = Calls(child, Wire())
    opened = calls.call({"wait": 2, "say": "a"})
    (listener,) = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.sleep(0)
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)
    assert await calls.ask({"wait": 1, "say": "b"}) == "b"
    assert await opened.answer() == "a"
    await child.end()


def test_calls_go_on_in_another_loop(child: Child) -> None:
    calls = Calls(child, Wire())
    for word in ("one", "two"):
        assert asyncio.run(calls.ask({"wait": 1, "say": word})) == word
    asyncio.run(child.end())


async def test_it_ends_with_the_application(
    start: Callable[..., Child], tmp_path: Path, alive: Callable[[int], bool], until: Until
) -> None:
    (tmp_path / "backwards.py").write_text(BACKWARDS)
    application = start(f"""
import asyncio, os
from gptoss_tui.agent.rendering import Render
from gptoss_tui.workers.calls import Calls
from gptoss_tui.workers.child import Child
from gptoss_tui.workers.wire import Wire

async def main():
    child = Child.start("the toy", "backwards", environment={{"PYTHONPATH": {str(tmp_path)!r}}})
    await Calls(child, Wire()).ask({{"wait": 1, "say": "hello"}})
    print(child.pid, flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
""")
    orphan = int(await application.output(100))
    await application.end()
    await until(lambda: not alive(orphan))


async def test_it_ends_with_the_application_in_native_code_too(
    start: Callable[..., Child], tmp_path: Path, alive: Callable[[int], bool], until: Until
) -> None:
    """In a call that lets no other thread of the process see that its input has ended."""
    (tmp_path / "deaf.py").write_text(f"""
import ctypes
from pathlib import Path
from gptoss_tui.workers.parent import Parent
from gptoss_tui.workers.wire import Wire

Parent(Wire(), print)
Path({str(tmp_path / "sign")!r}).touch()
ctypes.PyDLL(None).sleep(600)
""")
    application = start(f"""
import os
from pathlib import Path
from gptoss_tui.workers.child import Child

path = os.pathsep.join(filter(None, [{str(tmp_path)!r}, os.environ.get("PYTHONPATH")]))
child = Child.start("the toy", "deaf", environment={{"PYTHONPATH": path}})
while not Path({str(tmp_path / "sign")!r}).exists():
    pass
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
""")
    orphan = int(await application.output(100))
    await application.end()
    await until(lambda: not alive(orphan))
