"""The program, killed with -9 at random instants of real turns: what it has shown as finished is on disk.

The fast tests kill it 25 times and wait for events; the slow ones 500 times, and hold it to seconds as well.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import re
import select
import sqlite3
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pexpect
import pytest

from gptoss_tui.harmony import Conversation, Message, Role
from gptoss_tui.history.archive import Archive, ArchiveError
from gptoss_tui.history.record import Record
from gptoss_tui.history.store import Store

QUESTION = "What is 417 * 38?"
UNCONFINED = ("--seed", "1", "--dangerously-bypass-approvals-and-sandbox")
ASKING = ("--seed", "1", "--sandbox", "danger-full-access")
ORPHANS_S, REOPENED_S, KEPT_S = 2.0, 1.0, 1.0
WHILE_S = 60.0  # in the fast tests, on a machine that may be busy

Alive = Callable[[int], bool]
Family = Callable[[int], list[int]]


class Front(Protocol):
    """A front end that runs, and what it has shown as finished."""

    @property
    def pid(self) -> int: ...

    def run_until(self, step: int) -> None:
        """Read what it shows, up to that step; a step is whatever comes in one piece."""

    def kill(self) -> None: ...

    def finished(self) -> list[str]:
        """The texts that it has shown as finished, in order."""


@dataclass
class Json:
    """`-p --json`: each event is a step. The person's message is finished when the turn was created."""

    start: Callable[..., subprocess.Popen[str]]
    arguments: Sequence[str]
    steps: int = 90
    told: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.process = self.start("-p", QUESTION, "--json", *self.arguments, stderr=subprocess.DEVNULL)

    @property
    def pid(self) -> int:
        return self.process.pid

    def run_until(self, step: int) -> None:
        assert self.process.stdout is not None
        while len(self.told) < step and (line := self.process.stdout.readline()):
            self.told.append((time.monotonic(), json.loads(line)))

    def kill(self) -> None:
        self.process.kill()
        rest, _ = self.process.communicate()  # what was in the pipe was shown before
        for line in rest.splitlines():
            with suppress(ValueError):  # a line that was cut
                self.told.append((time.monotonic(), json.loads(line)))

    def finished(self) -> list[str]:
        texts: dict[str, Callable[[dict[str, Any]], str]] = {
            "response.created": lambda _: QUESTION,
            "response.tool_call": lambda event: event["arguments"],
            "response.tool_output": lambda event: event["output"],
            "response.completed": lambda event: event["output_text"],
        }
        return [texts[event["type"]](event) for _, event in self.told if event["type"] in texts]

    def streamed(self, until: float) -> str:
        """The text of the answer, and of nothing else, that was shown until then."""
        shown = (event for moment, event in self.told if moment <= until)
        return "".join(event["delta"] for event in shown if event["type"] == "response.output_text.delta")


@dataclass
class Plain:
    """`--plain` in pipes, asked two questions: each line is a step, and what a line tells is finished."""

    start: Callable[..., subprocess.Popen[str]]
    arguments: Sequence[str]
    steps: int = 7
    text: str = ""

    def __post_init__(self) -> None:
        self.process = self.start(
            "--plain", *self.arguments, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdin is not None
        self.process.stdin.write(f"{QUESTION}\n{QUESTION}\n")
        self.process.stdin.flush()

    @property
    def pid(self) -> int:
        return self.process.pid

    def run_until(self, step: int) -> None:
        """The lines of a conversation that is taken up come at once, and are no steps."""
        assert self.process.stdout is not None
        stdout, past = self.process.stdout.fileno(), 0
        while not self.text or self.text.count("\n") < past + step:
            if not select.select([stdout], [], [], 30 if not self.text else 3)[0]:
                break  # it waits for a third question
            if not (more := os.read(stdout, 65536)):
                break
            past = past or more.count(b"\n")
            self.text += more.decode()

    def kill(self) -> None:
        self.process.kill()
        rest, _ = self.process.communicate()
        self.text += rest

    def finished(self) -> list[str]:
        """The lines of calls, outputs and answers, those of before among them; remarks stand in brackets."""
        whole = [line.strip() for line in self.text.split("\n")[:-1] if not line.startswith("demo.")]
        lines = [re.sub(r"^(\[(python|output)\]|>) ", "", line) for line in whole]
        return [line for line in lines if not line.startswith("[")]


@dataclass
class Screen:
    """The screen in a terminal, asked about its call: each piece of output is a step.

    An answer is finished when the line with its tokens stands below it.
    """

    open: Callable[..., Any]
    arguments: Sequence[str]
    chance: random.Random
    steps: int = 60
    is_asked: bool = False

    def __post_init__(self) -> None:
        self.terminal = self.open(*self.arguments)

    @property
    def pid(self) -> int:
        return int(self.terminal.child.pid)

    def run_until(self, step: int) -> None:
        self.terminal.wait_for("Message demo")
        self.terminal.child.send(f"{QUESTION}\r".encode())
        for _ in range(step):
            if not self.read():
                break
            if not self.is_asked and "Run this call" in self.terminal.text:
                self.is_asked = True
                if self.chance.random() < 0.3:
                    break  # killed while the question stands
                self.terminal.pause(0.6)
                self.terminal.child.send(b"y")

    def read(self) -> bool:
        try:
            self.terminal._take(self.terminal.child.read_nonblocking(65536, timeout=2))
        except (pexpect.TIMEOUT, pexpect.EOF):
            return False
        return True

    def kill(self) -> None:
        self.terminal.child.kill(9)
        self.terminal.pause(0.2)

    def finished(self) -> list[str]:
        shown = self.terminal.text
        said = [QUESTION] if self.is_asked else []
        if re.search(r"15,?846(.|\n)*tokens/s", shown):
            said.append("15846")
        return said


@pytest.fixture
def shown(terminal: Any, data: Path) -> Callable[..., Any]:
    """A function `(*arguments) -> Terminal`; what was in the composer at a kill does not come back."""
    states = (str(data.with_name(f"state-{number}")) for number in itertools.count())
    return lambda *arguments: terminal(*arguments, XDG_DATA_HOME=str(data), XDG_STATE_HOME=next(states))


def file_of(data: Path) -> Path:
    return data / "gptoss-chat" / "sessions.sqlite3"


def said(data: Path) -> tuple[list[Message], dict[int, str]]:
    """The messages of the last conversation as they would be taken up, and how its turns ended."""
    try:
        stored = Archive(file_of(data)).read().session
    except ArchiveError:
        return [], {}
    record = Record(None, "demo", Conversation())
    record.resume(stored)
    return record.conversation.messages, record.endings


def waited_for_the_end(processes: list[int], alive: Alive) -> float:
    """The seconds until none of them lives."""
    killed = time.monotonic()
    while left := [process for process in processes if alive(process)]:
        assert time.monotonic() - killed < WHILE_S, f"{left} live on"
        time.sleep(0.02)
    return time.monotonic() - killed


async def check(data: Path, front: Front, before: int, strict: bool) -> None:
    """What must hold after a kill; `before` counts the messages of the conversation before the run."""
    messages, endings = said(data)
    on_disk = "\n".join(message.text for message in messages[0 if isinstance(front, Plain) else before :])
    place, on_disk = 0, on_disk.replace(",", "")
    for text in front.finished():
        found = on_disk.find(text.strip().replace(",", ""), place)
        assert found >= 0, f"{text!r} was shown, and there is but {on_disk[place:]!r}"
        place = found
    if len(messages) > before and messages[-1].role is not Role.ASSISTANT:
        assert len(messages) in endings, "a turn without an answer is marked"
    calls = [message for message in messages if message.recipient]
    assert len(calls) == sum(message.role is Role.TOOL for message in messages)
    if not file_of(data).exists():
        return
    opened = time.monotonic()
    store = Store(file_of(data))
    await store.check()
    await store.read()
    took = time.monotonic() - opened
    await store.close()
    assert store.rescues == [] and (not strict or took < REOPENED_S), f"{took:.2f} s, {store.rescues}"
    with closing(sqlite3.connect(file_of(data))) as database:
        assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert database.execute("pragma foreign_key_check").fetchall() == []


async def kill_again_and_again(
    make: Callable[[Sequence[str]], Any], data: Path, family: Family, alive: Alive, kills: int, strict: bool
) -> None:
    """Kill the program at random instants, in conversations that go on and in new ones."""
    chance = random.Random()
    for number in range(kills):
        goes_on = file_of(data).exists() and number % 3 and Archive(file_of(data)).summaries()[0]
        before = len(said(data)[0]) if goes_on else 0
        front = make(["--continue"] if goes_on else [])
        front.run_until(chance.randrange(front.steps))
        await asyncio.sleep(chance.random() * 0.05)
        processes = family(front.pid)
        front.kill()
        waited = waited_for_the_end(processes, alive)
        assert not strict or waited < ORPHANS_S
        await check(data, front, before, strict)


def test_every_kind_of_front_end_is_driven(start: Any, shown: Any, data: Path) -> None:
    """The harness sees what it is to see: a whole turn in each front end, with its call and its answer."""
    json_, plain = Json(start, UNCONFINED), Plain(start, UNCONFINED)
    json_.run_until(10**6)
    assert [text.strip() for text in json_.finished()][::2] == [QUESTION, "15846"]
    assert len(json_.finished()) == 4
    plain.run_until(6)
    plain.kill()
    assert sum("15846" in text for text in plain.finished()) >= 3
    screen = Screen(shown, ASKING, random.Random(0))
    screen.run_until(10**6)
    screen.terminal.wait_for("tokens/s")
    assert screen.finished() == [QUESTION, "15846"]
    screen.kill()


@pytest.mark.parametrize(("kind", "kills"), [("json", 11), ("plain", 7), ("screen", 7)])
async def test_a_kill_loses_nothing_that_was_shown(
    kind: str, kills: int, start: Any, shown: Any, data: Path, family: Family, alive: Alive
) -> None:
    await kill_again_and_again(maker(kind, start, shown), data, family, alive, kills, strict=False)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize(("kind", "kills"), [("json", 20), ("plain", 15), ("screen", 15)])
async def test_five_hundred_kills_lose_nothing_and_leave_nothing(
    kind: str, kills: int, part: int, start: Any, shown: Any, data: Path, family: Family, alive: Alive
) -> None:
    await kill_again_and_again(maker(kind, start, shown), data, family, alive, kills, strict=True)


def maker(kind: str, start: Any, shown: Any) -> Callable[[Sequence[str]], Any]:
    match kind:
        case "json":
            return lambda more: Json(start, [*UNCONFINED, *more])
        case "plain":
            return lambda more: Plain(start, [*UNCONFINED, *more])
        case _:
            return lambda more: Screen(shown, [*ASKING, *more], random.Random())


def streaming(start: Any, endless: Path) -> Json:
    """A run of a model that never ends its answer."""
    options = ("-m", str(endless), "--temperature", "0", "--tools", "none", "--context", "4096")
    return Json(start, options)


def kept_answer(data: Path) -> str:
    return "".join(message.text for message in Archive(file_of(data)).read().session.writing)


async def test_an_answer_that_was_streaming_is_kept_and_marked(
    start: Any, run: Any, data: Path, endless: Path
) -> None:
    front = streaming(start, endless)
    step = 10
    while True:  # until some of it is on disk, and some more than that is shown
        front.run_until(step)
        assert front.process.poll() is None
        with suppress(ArchiveError):
            if kept_answer(data):
                break
        step += 5
    front.run_until(step + 5)
    front.kill()
    kept = kept_answer(data)
    shown = front.streamed(time.monotonic())
    assert kept and (shown.startswith(kept) or kept.startswith(shown))
    await check(data, front, 0, strict=False)
    exported = run("export", XDG_DATA_HOME=str(data))
    assert exported.stdout.endswith("*Interrupted: this answer is not whole.*\n")
    listed = run("sessions", XDG_DATA_HOME=str(data))
    assert "[interrupted]" in listed.stdout
    options = ("-m", str(endless), "--tools", "none", "--plain", "--continue")
    again = run(*options, stdin="/quit\n", XDG_DATA_HOME=str(data))
    assert "[interrupted] Interrupted: this answer is not whole." in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize("_", range(20))
async def test_an_answer_is_kept_to_within_a_second(start: Any, data: Path, endless: Path, _: int) -> None:
    front = streaming(start, endless)
    front.run_until(5)
    front.run_until(5 + random.randrange(400))
    killed = time.monotonic()
    front.kill()
    whole = "".join(message.text for message in said(data)[0] if message.role is Role.ASSISTANT)
    assert whole.startswith(front.streamed(killed - KEPT_S))
