"""Every kind of callable, of parameter, of result, and of source of functions."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import functools
import ipaddress
import json
import sys
import typing
import uuid
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

import jsonschema
import pytest
import typing_extensions
from pydantic import BaseModel, field_validator

from gptoss_tui.tools import Reach, Source, SourceError, Tool
from gptoss_tui.tools.functions import CallableTool, Functions, FunctionsError, load_functions

Run = Callable[[Tool, str], Coroutine[Any, Any, Any]]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Line:
    start: Point
    end: Point | None = None


class Place(typing.TypedDict):
    name: str
    zip: typing.NotRequired[int]


class Strict(typing_extensions.TypedDict, total=False):
    numbers: list[int]


class Pair(NamedTuple):
    first: int
    second: int


class Even(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def _even(cls, number: int) -> int:
        if number % 2:
            raise ValueError("it must be even")
        return number


@pytest.mark.parametrize(
    ("hint", "value", "arrives"),
    [
        (str, "a", "a"),
        (int, 3, 3),
        (float, 3, 3.0),
        (bool, True, True),
        (None, None, None),
        (Any, {"a": [1]}, {"a": [1]}),
        (Colour, "red", Colour.RED),
        (Literal["a", 1], 1, 1),
        (Optional[int], None, None),  # noqa: UP045
        (Union[int, str], "x", "x"),  # noqa: UP007
        (int | list[int], [1], [1]),
        (list[Point], [{"x": 1}], [Point(x=1)]),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 2], {1, 2}),
        (Line, {"start": {"x": 1}}, Line(Point(x=1))),
        (Place, {"name": "a"}, {"name": "a"}),
        (list[Place] | None, [{"name": "a", "zip": 1}], [{"name": "a", "zip": 1}]),
        (dict[str, Place], {"k": {"name": "a"}}, {"k": {"name": "a"}}),
        (Annotated[Place, "Where."], {"name": "a"}, {"name": "a"}),
        (Strict, {}, {}),
        (Pair, [1, 2], Pair(1, 2)),
        (datetime.date, "2024-02-29", datetime.date(2024, 2, 29)),
        (datetime.timedelta, "PT1H", datetime.timedelta(hours=1)),
        (decimal.Decimal, "1.5", decimal.Decimal("1.5")),
        (Path, "/a/b", Path("/a/b")),
        (uuid.UUID, "12345678-1234-5678-1234-567812345678", uuid.UUID("12345678123456781234567812345678")),
        (ipaddress.IPv4Address, "127.0.0.1", ipaddress.IPv4Address("127.0.0.1")),
    ],
)
async def test_parameters_of_every_kind(hint: Any, value: Any, arrives: Any, run: Run) -> None:
    seen: list[Any] = []

    def function(value: Any) -> None:
        seen.append(value)

    function.__annotations__["value"] = hint
    tool = CallableTool(function)
    assert tool.parameters is not None
    jsonschema.Draft202012Validator.check_schema(tool.parameters)
    body = json.dumps({"value": value})
    jsonschema.validate(json.loads(body), tool.parameters)
    answer = await run(tool, body)
    assert not answer.is_error, answer.text
    assert seen == [arrives]
    assert type(seen[0]) is type(arrives)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (Line(Point(x=1)), '{"start": {"x": 1.0, "y": 0.0}, "end": null}'),
        (Point(x=2), '{"x": 2.0, "y": 0.0}'),
        ([Colour.RED], '["red"]'),
        (Pair(1, 2), "[1, 2]"),
        ({datetime.date(2024, 1, 2): Path("/x")}, '{"2024-01-02": "/x"}'),
        (iter([1, 2]), "[1, 2]"),
        (None, "null"),
        ("as it is", "as it is"),
    ],
)
async def test_results_of_every_kind(result: Any, told: str, run: Run) -> None:
    def function() -> Any:
        return result

    assert (await run(CallableTool(function), "{}")).text == told


@pytest.mark.parametrize("result", [b"bytes", bytearray(b"x"), {"a": b"\xff"}, object(), [lambda: 0]])
async def test_results_that_are_no_json_are_refused_clearly(result: Any, run: Run) -> None:
    def function() -> Any:
        return result

    answer = await run(CallableTool(function), "{}")
    assert answer.is_error
    assert "cannot be told to a model" in answer.text


async def test_callables_of_every_kind(run: Run) -> None:
    class Adder:
        """Adds what it was made with."""

        approval = "never"

        def __init__(self, more: int) -> None:
            self.more = more

        def __call__(self, number: int) -> int:
            return number + self.more

        def method(self, number: int) -> int:
            """Also adds."""
            return number + self.more

        @staticmethod
        def plain(number: int) -> int:
            return number

    async def waits(number: int) -> int:
        await asyncio.sleep(0)
        return number

    def secretive(number: int, key: str) -> str:
        """Needs a key."""
        return f"{number} {key}"

    @functools.wraps(secretive)
    def wrapped(*args: Any, **kwargs: Any) -> str:
        return "wrapped " + secretive(*args, **kwargs)

    kinds: list[tuple[Any, str, str]] = [
        (Adder(2), "functions.Adder", "7"),
        (Adder(2).method, "functions.method", "7"),
        (Adder.plain, "functions.plain", "5"),
        (waits, "functions.waits", "5"),
        (functools.partial(secretive, key="s3cret"), "functions.secretive", "5 s3cret"),
    ]
    for kind, name, told in kinds:
        tool = CallableTool(kind)
        assert tool.name == name
        assert (await run(tool, '{"number": 5}')).text == told
        assert "s3cret" not in json.dumps(tool.parameters), "what is settled is not told"
    assert CallableTool(Adder(2)).description == "Adds what it was made with."
    assert CallableTool(Adder(2)).risk("{}").reach is Reach.BOUNDED
    assert (await run(CallableTool(wrapped), '{"number": 5, "key": "k"}')).text == "wrapped 5 k"


def _sloppy(value: int) -> int:
    return value


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda: 0, "its name must be"),
        (Point, "it is a class"),
        (functools.partial(print), "cannot be told to a model; name each parameter"),
        (max, "its parameters are not known"),
    ],
)
def test_what_cannot_be_offered_is_refused(function: Any, why: str) -> None:
    with pytest.raises(FunctionsError, match=why):
        CallableTool(function)


def test_only_never_vouches() -> None:
    def function() -> None: ...

    function.approval = "yes"  # type: ignore[attr-defined]
    with pytest.raises(FunctionsError, match=r'its approval is .yes.; it can be "never", or not be set'):
        CallableTool(function)


async def test_a_slow_callable_is_given_up(run: Run) -> None:
    async def sleeps() -> None:
        await asyncio.sleep(60)

    answer = await run(CallableTool(sleeps, time_limit=0.1), "{}")
    assert (answer.text, answer.is_error) == ("[ERROR] sleeps timed out after 0.1 s.", True)


async def test_the_persons_own_validators_object_too() -> None:
    def half(of: Even) -> int:
        return of.number // 2

    objection = await CallableTool(half).objection('{"of": {"number": 3}}')
    assert objection is not None
    assert "- of.number: Value error, it must be even" in objection


FILE = """
import time
from pydantic import BaseModel, field_validator

class Slow(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def wait(cls, number):
        time.sleep(60 if number else 0)
        return number

def half(slow: Slow) -> float:
    "Halves it."
    return slow.number / 2

def touch(file: str) -> None:
    open(file, "w").close()

half.approval = "never"
"""


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[dict[str, Tool]]:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    found = {tool.name.removeprefix("functions."): tool for tool in load_functions(path)}
    yield dict(found)
    asyncio.run(found["half"].close())


async def test_arguments_are_checked_without_a_call(tools: dict[str, Tool], tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    assert await tools["touch"].objection(json.dumps({"file": str(trace)})) is None
    assert not trace.exists()
    objection = await tools["touch"].objection('{"file": 1, "more": 2}')
    assert objection is not None
    assert [line.split(":")[0] for line in objection.splitlines()[1:]] == ["- file", "- more"]


async def test_a_validator_that_hangs_costs_one_objection(
    tools: dict[str, Tool], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_tui.tools.functions.load.CHECK_LIMIT", 0.5)
    objection = await tools["half"].objection('{"slow": {"number": 1}}')
    assert objection == "[ERROR] The arguments of half took more than 0.5 s to check."
    assert (await run(tools["half"], '{"slow": {"number": 0}}')).text == "0.0"


def test_who_defined_it_and_whether_they_vouched(tools: dict[str, Tool], tmp_path: Path) -> None:
    assert {tool.origin for tool in tools.values()} == {str(tmp_path / "mine.py")}
    assert tools["half"].risk("{}").reach is Reach.BOUNDED
    assert tools["touch"].risk("{}").reach is Reach.OUTSIDE
    assert tools["touch"].risk("{}").why


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that the worker finds, one of them with advertised functions."""
    folder = tmp_path / "site"
    (folder / "weather").mkdir(parents=True)
    (folder / "weather" / "__init__.py").write_text("__all__ = ['today', 'Kind']\nfrom .days import *\n")
    (folder / "weather" / "days.py").write_text(
        "class Kind: ...\n"
        "def today() -> str:\n    'The weather of today.'\n    return 'rain'\n"
        "def tomorrow() -> str:\n    return 'sun'\n"
        "BOTH = [today, tomorrow]\n"
    )
    (folder / "weather" / "broken.py").write_text("x = 1\nimport no_such_module\n")
    (folder / "weather" / "wrong.py").write_text("def f(*args): ...\n")
    metadata = folder / "weather-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: weather\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[gptoss_chat.functions]\n"
        "forecast = weather.days:BOTH\n"
        "one-day = weather.days:today\n"
        "all = weather\n"
        "number = weather.days:__name__\n"
        "gone = weather.gone\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


async def opened(source: Source) -> tuple[list[str], list[str]]:
    try:
        found = await source.open()
        return [tool.name.removeprefix("functions.") for tool in found.tools], list(found.notices)
    finally:
        await source.close()


@pytest.mark.parametrize(
    ("named", "offered"),
    [
        ("weather", ["today"]),
        ("weather.days", ["today", "tomorrow"]),
        ("weather.days:tomorrow", ["tomorrow"]),
        ("{site}/weather/days.py", ["today", "tomorrow"]),
        ("{site}/weather/days.py:today", ["today"]),
        ("forecast", ["today", "tomorrow"]),
        ("one-day", ["today"]),
        ("all", ["today"]),
    ],
)
async def test_functions_come_from_files_modules_and_entry_points(
    named: str, offered: list[str], site: Path
) -> None:
    assert await opened(Functions(named.format(site=site))) == (offered, [])


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("no.such.module", "no module and no entry point of that name is installed"),
        ("weather.gone", "no module and no entry point of that name is installed"),
        ("weather.broken", "broken.py, line 2: ModuleNotFoundError: No module named 'no_such_module'"),
        ("weather.wrong", "wrong.py, line 1: f cannot be offered"),
        ("weather.days:nothing", "has no function nothing"),
        ("weather.days:Kind", "has no function Kind"),
        ("number", "advertises str, which is no module and no function"),
        ("gone", "ModuleNotFoundError: No module named 'weather.gone'"),
        ("{site}/weather/gone.py", "there is no such file"),
        ("{site}/weather", "there is no such file"),
        ("", "no module and no entry point of that name is installed"),
        ("..", "no module and no entry point of that name is installed"),
    ],
)
async def test_what_was_named_and_is_not_there_is_told(named: str, told: str, site: Path) -> None:
    with pytest.raises(SourceError) as failure:
        await opened(Functions(named.format(site=site)))
    assert told in str(failure.value)
    assert "\n" not in str(failure.value)


async def test_nothing_is_imported_from_the_folder_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.py").write_text("def f(): ...\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"the name of a file ends in \.py"):
        await opened(Functions("here"))


async def test_one_bad_function_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def good(): ...\ndef bash(): ...\ndef loose(*many): ...\n")
    offered, notices = await opened(Functions(str(path)))
    assert offered == ["good"]
    assert [notice.split(": ", 1)[0] for notice in notices] == [f"{path}, line 2", f"{path}, line 3"]


async def test_what_runs_for_ever_at_import_can_be_given_up(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("while True: print('x')\n")
    source = Functions(str(path))
    opening = asyncio.create_task(source.open())
    await asyncio.sleep(0.5)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await source.close()


async def test_async_functions_share_a_loop(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import asyncio\nloops = set()\n"
        "async def count() -> int:\n    loops.add(id(asyncio.get_running_loop()))\n    return len(loops)\n"
    )
    (tool,) = load_functions(path)
    assert [(await run(tool, "{}")).text for _ in range(3)] == ["1", "1", "1"]
    await tool.close()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic takes it as it is")
def test_a_typed_dict_that_contains_itself_says_what_to_do() -> None:
    def function(tree: Tree) -> None: ...

    with pytest.raises(FunctionsError, match="take TypedDict from typing_extensions"):
        CallableTool(function)


class Tree(typing.TypedDict):
    children: list[Tree]
