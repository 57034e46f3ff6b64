"""Files of functions and MCP servers behind a chat: real ones, and calls through the whole loop."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptoss_tui.agent.inventory import inventory
from gptoss_tui.calls.sources import Sources
from gptoss_tui.events.events import (
    Completed,
    Event,
    Incomplete,
    ToolCall,
    ToolOutput,
    ToolsNotice,
    ToolsStarting,
)
from gptoss_tui.events.stream import stream
from gptoss_tui.permissions.question import Approval
from gptoss_tui.tools import OpenedSource, Reach, Source, SourceError, Tool
from gptoss_tui.tools.functions import CallableTool, Functions
from gptoss_tui.tools.mcp import read_servers

StageMaker = Callable[..., Any]
Caller = Callable[..., Awaitable[list[Event]]]
EventT = TypeVar("EventT", bound=Event)

SERVERS = Path(__file__).parents[1] / "servers"
ANSWER = "<|channel|>final<|message|>Done.<|return|>"


def call(name: str, arguments: str) -> str:
    return f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{arguments}<|call|>"


def of(kind: type[EventT], events: Sequence[Event]) -> list[EventT]:
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Functions]:
    def write(source: str, name: str = "mine") -> Functions:
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        return Functions(str(path))

    return write


@pytest.fixture
def servers(tmp_path: Path) -> Callable[..., list[Source]]:
    def read(**programs: Sequence[str]) -> list[Source]:
        entries = {
            name: {"command": sys.executable, "args": [str(SERVERS / f"{program}.py"), *more]}
            for name, (program, *more) in programs.items()
        }
        return read_servers(None, entries, tmp_path, tmp_path / "logs")

    return read


async def test_a_function_and_a_server_answer_in_one_turn(
    stage: StageMaker, file: Callable[..., Functions], servers: Callable[..., list[Source]], somebody: Any
) -> None:
    functions = file("def double(number: int) -> int:\n    'Doubles.'\n    return 2 * number\n")
    person = somebody(Approval.ONCE)
    s = stage(
        call("double", '{"number": 21}'),
        call("toy_say_hello_world", '{"name": "Ann"}'),
        ANSWER,
        sources=[functions, *servers(toy=["toy"])],
        person=person,
    )
    events = await s.play("go")
    assert [output.output for output in of(ToolOutput, events)] == ["42", "Hello, Ann! <|end|>"]
    assert isinstance(events[-1], Completed)
    assert of(ToolsStarting, events), "the first turn waited, and said so"
    assert [question.tool.origin for question in person.asked] == [functions.origin, "MCP server toy"]
    assert "type double = (_: {" in s.engine.prompts[0]
    assert "type toy_add = (_: {" in s.engine.prompts[0]
    assert s.engine.prompts[0].index("double") < s.engine.prompts[0].index("toy_add")
    await s.session.runtime.close()


async def test_impossible_arguments_are_told_to_the_model_and_nobody_is_asked(
    stage: StageMaker, file: Callable[..., Functions], servers: Callable[..., list[Source]], somebody: Any
) -> None:
    functions = file("def double(number: int) -> int:\n    'Doubles.'\n    return 2 * number\n")
    person = somebody(Approval.ONCE)
    s = stage(
        call("double", '{"number": "x", "more": 1}'),
        call("toy_add", "{}"),
        ANSWER,
        sources=[functions, *servers(toy=["toy"])],
        person=person,
    )
    first, second = of(ToolOutput, await s.play("go"))
    assert "- number: " in first.output
    assert "- more: " in first.output
    assert "- a: is missing" in second.output
    assert person.asked == []
    await s.session.runtime.close()


async def test_what_is_vouched_for_runs_unasked_and_the_rest_does_not(
    stage: StageMaker, file: Callable[..., Functions], somebody: Any
) -> None:
    source = "def free(): return 'ran'\ndef costly(): return 'ran'\nfree.approval = 'never'\n"
    person = somebody(Approval.NO)
    s = stage(call("free", "{}"), call("costly", "{}"), ANSWER, sources=[file(source)], person=person)
    free, costly = of(ToolOutput, await s.play("go"))
    assert (free.output, free.is_error) == ("ran", False)
    assert costly.is_error
    assert [question.recipient for question in person.asked] == ["functions.costly"]
    await s.session.runtime.close()


async def test_bad_files_and_servers_are_told_and_the_others_work(
    stage: StageMaker, file: Callable[..., Functions], servers: Callable[..., list[Source]]
) -> None:
    good = "def works(): return 'yes'\nworks.approval = 'never'\ndef python(code: str): ...\n"
    s = stage(
        call("works", "{}"),
        ANSWER,
        ANSWER,
        sources=[
            file("def f(:\n", "broken"),
            *servers(down=["raw", "exits"]),
            file(good, "good"),
            file("def works(): return 'no'\n", "rival"),
        ],
    )
    events = await s.play("go")
    assert [output.output for output in of(ToolOutput, events)] == ["yes"]
    told = sorted(notice.message for notice in of(ToolsNotice, events))
    assert len(told) == 4
    assert "MCP server down ended with status 1" in told[3]
    for part in ("broken.py, line 1: SyntaxError", "python cannot be offered", "rival.py: works left out"):
        assert any(part in one for one in told)
    assert of(ToolsNotice, await s.play("again")) == [], "told once"
    shown = "\n".join(inventory(s.session))
    assert "works: runs on this machine, as you, from " in shown
    assert "MCP server down ended" in shown
    await s.session.runtime.close()


async def test_a_file_that_imports_for_ever_does_not_keep_the_turn(
    stage: StageMaker, file: Callable[..., Functions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_tui.tools.functions.process.IMPORT_LIMIT", 5.0)
    s = stage(ANSWER, sources=[file("while True: pass\n", "endless"), file("def works(): ...\n")])
    events = await s.play("go")
    assert isinstance(events[-1], Completed)
    assert "endless.py was still being imported" in of(ToolsNotice, events)[0].message
    assert [tool.name for tool in s.session.tools] == ["functions.works"]
    await s.session.runtime.close()


async def test_waiting_for_a_server_can_be_stopped(
    stage: StageMaker, servers: Callable[..., list[Source]]
) -> None:
    s = stage(ANSWER, sources=servers(slow=["raw", "silent"]))
    events = []
    async for event in s.session.send("go"):
        events.append(event)
        if isinstance(event, ToolsStarting):
            assert event.waiting == ("MCP server slow",)
            assert "MCP server slow: starting" in list(inventory(s.session))
            await s.session.stop()
    assert isinstance(events[-1], Incomplete)
    assert events[-1].reason == "interrupted"
    await s.session.runtime.close()


async def test_a_new_chat_reads_them_anew(
    stage: StageMaker, file: Callable[..., Functions], tmp_path: Path
) -> None:
    s = stage(ANSWER, ANSWER, sources=[file("def f(:\n")])
    assert of(ToolsNotice, await s.play("go"))
    (tmp_path / "mine.py").write_text("def mended(): ...\n")
    s.session = await s.session.successor()
    assert of(ToolsNotice, await s.play("go")) == []
    assert "type mended = " in s.engine.prompts[1]
    await s.session.runtime.close()


async def test_a_server_that_dies_costs_one_call(
    stage: StageMaker, servers: Callable[..., list[Source]], tmp_path: Path, somebody: Any
) -> None:
    s = stage(
        call("toy_dies", json.dumps({"file": str(tmp_path / "trace")})),
        call("toy_add", '{"a": 1}'),
        ANSWER,
        sources=servers(toy=["toy"]),
        person=somebody(Approval.ONCE),
    )
    died, added = of(ToolOutput, await s.play("go"))
    assert died.is_error
    assert "ended while it was asked" in died.output
    assert (added.output, added.is_error) == ("2", False)
    assert (tmp_path / "trace").read_text() == "called\n"
    await s.session.runtime.close()


async def test_a_callable_of_the_notebook(stage: StageMaker) -> None:
    async def shout(text: str) -> str:
        """Says it louder."""
        return text.upper()

    shout.approval = "never"  # type: ignore[attr-defined]
    s = stage(call("shout", '{"text": "hey"}'), ANSWER, tools=[CallableTool(shout)])
    assert of(ToolOutput, await s.play("go"))[0].output == "HEY"
    await s.session.runtime.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
RECIPIENT = st.text() | st.sampled_from(
    ["functions.double", "double", "functions.python", "browser.search", ""]
)
ARGUMENTS = st.text() | JSON.map(json.dumps) | st.dictionaries(st.just("number"), JSON).map(json.dumps)


@given(recipient=RECIPIENT, arguments=ARGUMENTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
async def test_whatever_is_called_with_whatever_there_is_one_result(
    recipient: str, arguments: str, stage: StageMaker, called: Caller
) -> None:
    def double(number: int) -> int:
        return 2 * number

    double.approval = "never"  # type: ignore[attr-defined]
    toolbox = stage(tools=[CallableTool(double)]).session._toolbox
    call = ToolCall("call_1", recipient, arguments)
    events = await called(toolbox, call)
    (output,) = of(ToolOutput, events)
    assert isinstance(events[-1], ToolOutput)
    try:
        fits = isinstance(json.loads(arguments)["number"], int) and "ouble" in recipient
    except (ValueError, TypeError, KeyError):
        fits = False
    assert fits or output.is_error


class Described(Tool):
    def __init__(self, name: str, description: str) -> None:
        self.name = f"functions.{name}"
        self.description = description

    def call(self, arguments: str) -> Any:
        raise NotImplementedError


class Given(Source):
    def __init__(self, origin: str, *tools: Tool, fault: Exception | None = None) -> None:
        self.origin = origin
        self._tools = tools
        self._fault = fault

    async def open(self) -> OpenedSource:
        if self._fault:
            raise self._fault
        return OpenedSource(self._tools)

    async def close(self) -> None:
        pass


async def settled(*sources: Source, taken: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    all_of_them = Sources(sources, taken)
    all_of_them.open()
    told = [event async for event in stream(partial(all_of_them.settle, asyncio.Event()))]
    names = [tool.name for tool in all_of_them.tools]
    await all_of_them.close()
    return names, [notice.message for notice in of(ToolsNotice, told)]


async def test_the_model_is_not_told_without_end() -> None:
    many = [Described(f"tool{number}", "x" * 5_000) for number in range(100)]
    names, told = await settled(Given("many", Described("fat", "x" * 30_000), *many))
    assert "functions.fat" not in names
    assert 30 < len(names) < 41
    assert len(told) == 2
    assert any("fat left out" in one for one in told)
    assert any("and 56 more left out: the model would be told of too many tools" in one for one in told)


async def test_no_source_takes_a_name_that_is_there() -> None:
    names, told = await settled(
        Given("one", Described("echo", "")),
        Given("two", Described("echo", ""), Described("other", "")),
        taken=["functions.mine"],
    )
    assert names == ["functions.echo", "functions.other"]
    assert told == ["two: echo left out: another has the same name; rename one of them."]


async def test_even_a_mistake_of_ours_takes_no_other_source_down() -> None:
    names, told = await settled(
        Given("one", fault=RuntimeError("oops")),
        Given("two", fault=SourceError("Two is down.")),
        Given("three", Described("works", "")),
    )
    assert names == ["functions.works"]
    assert told == ["one cannot be used: RuntimeError: oops", "Two is down."]


def test_an_outside_tool_is_outside() -> None:
    def plain() -> None: ...

    assert CallableTool(plain).risk("{}").reach is Reach.OUTSIDE
