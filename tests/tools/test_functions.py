"""Functions of a person's file: described, validated, called, and contained when they misbehave."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.tools import Reach
from gptoss_tui.tools.arguments import ArgumentsError
from gptoss_tui.tools.functions import FunctionsError, FunctionTool, load_functions
from gptoss_tui.tools.functions.docstring import parse
from gptoss_tui.tools.functions.errors import SignatureError
from gptoss_tui.tools.functions.signature import Signature

Run = Callable[[FunctionTool, str], Coroutine[Any, Any, Any]]

EXAMPLE = Path(__file__).parents[2] / "examples" / "functions.py"

FILE = """
import asyncio, dataclasses, datetime, enum, os, sys, time
from typing import Annotated, Literal, Optional
from collections import OrderedDict
from os.path import join
from pydantic import BaseModel

print("printed at import")

class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"

class Point(BaseModel):
    x: float
    y: float = 0.0

@dataclasses.dataclass
class Line:
    start: Point
    points: list[Point]

def everything(
    text: str,
    count: int,
    ratio: float,
    flag: bool,
    colour: Colour,
    size: Literal["s", "m"],
    line: Line,
    day: datetime.date,
    tags: list[str] = [],
    limits: dict[str, int] | None = None,
    note: Optional[str] = None,
) -> str:
    '''Takes one of each.

    More about it.

    Args:
        text: Some text,
            over two lines.
        count (int): How many.

    Returns:
        Not told to the model.
    '''
    return f"{text} {count} {colour.name} {size} {line.start.x} {len(line.points)} {day.year} {note}"

def positional(a: int, /, copy: int, *, schema: int = 1) -> int:
    return a * 100 + copy * 10 + schema

async def later(seconds: Annotated[float, "How long."] = 0) -> list[float]:
    await asyncio.sleep(seconds)
    return [seconds]

def untyped(value): return value
def nothing() -> None: print("printed in a call"); os.write(1, b"raw"); sys.stdout.flush()
def moment() -> datetime.date: return datetime.date(2024, 2, 29)
def structured() -> Point: return Point(x=1)
def raises(): raise LookupError("first line\\nsecond line")
def leaves(): sys.exit("bye")
def ends(): os._exit(3)
def unspeakable(): return object()
def huge(): return "x" * 10_000_000
def special(): return "<|end|> \\ud800"
def sleeps(): time.sleep(600)
def asks(): return input("name?")
def _private(): pass
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs") / "functions.log"


@pytest.fixture
def logged(log: Path) -> Callable[[], str]:
    return log.read_text


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[dict[str, FunctionTool]]:
    path = tmp_path_factory.mktemp("functions") / "mine.py"
    path.write_text(FILE)
    loaded = {
        tool.name.removeprefix("functions."): tool for tool in load_functions(path, log=log, time_limit=2.0)
    }
    yield loaded
    asyncio.run(loaded["nothing"].close())


def test_public_functions_of_the_file_become_tools(tools: dict[str, FunctionTool]) -> None:
    assert list(tools)[:4] == ["everything", "positional", "later", "untyped"]
    assert not tools.keys() & {"_private", "join", "OrderedDict", "Point", "Colour"}
    assert all(tool.name == f"functions.{name}" for name, tool in tools.items())
    assert all(tool.risk("{}").reach is Reach.OUTSIDE for tool in tools.values())
    assert all(tool.origin.endswith("mine.py") for tool in tools.values())


def test_type_hints_and_docstring_become_the_schema(tools: dict[str, FunctionTool]) -> None:
    tool = tools["everything"]
    assert tool.description == "Takes one of each.\n\nMore about it."
    assert tool.parameters is not None
    jsonschema.Draft202012Validator.check_schema(tool.parameters)
    assert '"title"' not in json.dumps(tool.parameters)
    properties = tool.parameters["properties"]
    assert list(properties)[:3] == ["text", "count", "ratio"]
    assert properties["text"] == {"type": "string", "description": "Some text, over two lines."}
    assert properties["count"] == {"type": "integer", "description": "How many."}
    assert properties["size"] == {"type": "string", "enum": ["s", "m"]}
    assert properties["tags"]["default"] == []
    assert {"type": "null"} in properties["note"]["anyOf"]
    assert "note" not in tool.parameters["required"]
    assert tools["later"].parameters is not None
    assert tools["later"].parameters["properties"]["seconds"]["description"] == "How long."


VALID: dict[str, Any] = {
    "text": "a",
    "count": 2,
    "ratio": 1,
    "flag": True,
    "colour": "red",
    "size": "m",
    "line": {"start": {"x": 1.5}, "points": [{"x": 1, "y": 2}]},
    "day": "2024-02-29",
}


async def test_valid_arguments_arrive_as_the_types_they_were_hinted(
    tools: dict[str, FunctionTool], run: Run
) -> None:
    schema = tools["everything"].parameters
    assert schema is not None
    jsonschema.validate(VALID, schema)
    answer = await run(tools["everything"], json.dumps(VALID))
    assert (answer.text, answer.is_error) == ("a 2 RED m 1.5 1 2024 None", False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"count": "2"}, "- count: "),
        ({"count": 2.5}, "- count: "),
        ({"colour": "green"}, "- colour: "),
        ({"size": "xl"}, "- size: "),
        ({"line": {"start": {}, "points": []}}, "- line.start.x: is missing"),
        ({"unknown": 1}, "- unknown: there is no such field"),
        ({"day": "yesterday"}, "- day: "),
    ],
)
async def test_each_wrong_argument_is_named(
    tools: dict[str, FunctionTool], run: Run, change: dict[str, Any], told: str
) -> None:
    answer = await run(tools["everything"], json.dumps(VALID | change))
    assert answer.is_error
    assert len([line for line in answer.text.splitlines() if line.startswith("- ")]) == 1
    assert told in answer.text


async def test_missing_arguments_are_listed(tools: dict[str, FunctionTool], run: Run) -> None:
    answer = await run(tools["everything"], "{}")
    assert answer.is_error
    assert [line.split(":")[0] for line in answer.text.splitlines()[1:]] == [f"- {name}" for name in VALID]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "- a: is missing"),
        ("{'a': 1}", "not valid JSON at line 1 column 2"),
        ('{"copy": 1,}', "not valid JSON at line 1 column"),
        ('{"a": 1} {"b": 2}', "not valid JSON at line 1 column 10"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "Expected a JSON object"),
        ("null", "Expected a JSON object"),
        ('"text"', "Expected a JSON object"),
    ],
)
async def test_what_is_no_json_object_is_refused(
    tools: dict[str, FunctionTool], run: Run, body: str, told: str
) -> None:
    answer = await run(tools["positional"], body)
    assert answer.is_error
    assert told in answer.text


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("positional", '{"a": 1, "copy": 2}', "121"),
        ("positional", '```json\n{"a": 1, "copy": 2, "schema": 3}\n```', "123"),
        ("later", "{}", "[0]"),
        ("later", '{"seconds": 0.25}', "[0.25]"),
        ("untyped", '{"value": {"deep": [1, "\u00e4"]}}', '{"deep": [1, "\u00e4"]}'),
        ("untyped", '{"value": "as it is\\n"}', "as it is\n"),
        ("nothing", "{}", "null"),
        ("moment", "{}", '"2024-02-29"'),
        ("structured", "{}", '{"x": 1.0, "y": 0.0}'),
        ("special", "{}", "<|end|> ?"),
    ],
)
async def test_results_are_told_as_text(
    tools: dict[str, FunctionTool], run: Run, name: str, body: str, told: str
) -> None:
    answer = await run(tools[name], body)
    assert (answer.text, answer.is_error) == (told, False)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("raises", "[ERROR] LookupError: first line"),
        ("leaves", "[ERROR] SystemExit: bye"),
        ("ends", "[ERROR] ends ended its process; the next call starts a new one."),
        ("asks", "[ERROR] EOFError: EOF when reading a line"),
        ("sleeps", "[ERROR] sleeps timed out after 2 s."),
    ],
)
async def test_a_failing_function_is_an_answer_and_the_next_call_works(
    tools: dict[str, FunctionTool], run: Run, name: str, told: str
) -> None:
    answer = await run(tools[name], "{}")
    assert (answer.text, answer.is_error) == (told, True)
    assert (await run(tools["moment"], "{}")).text == '"2024-02-29"'


async def test_a_result_that_is_no_json_is_an_error(tools: dict[str, FunctionTool], run: Run) -> None:
    answer = await run(tools["unspeakable"], "{}")
    assert answer.is_error
    assert "object" in answer.text


async def test_a_huge_result_is_cut(tools: dict[str, FunctionTool], run: Run) -> None:
    answer = await run(tools["huge"], "{}")
    assert len(answer.text) < 110_000
    assert "9,900,000 characters left out" in answer.text


async def test_a_cancelled_call_is_stopped(tools: dict[str, FunctionTool], run: Run) -> None:
    call = asyncio.create_task(run(tools["sleeps"], "{}"))
    await asyncio.sleep(0.3)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await run(tools["moment"], "{}")).text == '"2024-02-29"'


async def test_nothing_that_is_printed_reaches_the_terminal(
    tools: dict[str, FunctionTool], run: Run, logged: Callable[[], str], capfd: pytest.CaptureFixture[str]
) -> None:
    await run(tools["nothing"], "{}")
    assert capfd.readouterr() == ("", "")
    assert all(text in logged() for text in ("printed at import", "printed in a call", "raw"))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def f(:\n    pass\n", "mine.py, line 1: SyntaxError: "),
        ("x = 1\nimport no_such_module\n", "mine.py, line 2: ModuleNotFoundError: No module named"),
        ("x = 1\n\ny = x / 0\n", "mine.py, line 3: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit()\n", "mine.py, line 2: SystemExit"),
        ("import os\nos._exit(0)\n", "mine.py ended the process that imported it"),
        ("x = 1\n", "mine.py: defines no public function"),
        ("__all__ = ['missing']\n", "mine.py: __all__ names missing"),
        (
            "\ndef python(code: str): ...\n",
            "mine.py, line 2: python cannot be offered: its name means a built-in",
        ),
        ("def größe(): ...\n", "mine.py, line 1: größe cannot be offered: its name must be"),
        ("def f(*args): ...\n", "mine.py, line 1: f cannot be offered: *args cannot be told"),
        (
            "def f(x: 'Missing'): ...\n",
            "mine.py, line 1: f cannot be offered: its type hints cannot be resolved",
        ),
        ("class T: ...\ndef f(x: T): ...\n", "mine.py, line 2: f cannot be offered: a parameter's type"),
        (
            "from typing import Callable\ndef f(x: Callable[[], int]): ...\n",
            "line 2: f cannot be offered: a type",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_line(tmp_path: Path, source: str, told: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(FunctionsError) as failure:
        load_functions(path)
    message = str(failure.value)
    assert told in message
    assert str(path) in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["missing.py", "."])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FunctionsError, match="there is no such file"):
        load_functions(tmp_path / name)


async def test_all_decides_what_is_offered(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from textwrap import shorten\n__all__ = ['b']\ndef a(): ...\ndef b(): return 1\n")
    (tool,) = load_functions(path)
    assert tool.name == "functions.b"
    assert (await run(tool, "{}")).text == "1"
    await tool.close()


def test_a_file_that_never_finishes_importing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_tui.tools.functions.process.IMPORT_LIMIT", 1.0)
    path = tmp_path / "mine.py"
    path.write_text("while True: pass\n")
    with pytest.raises(FunctionsError, match="was still being imported after 1 s"):
        load_functions(path)


async def test_the_functions_end_with_the_app(
    tmp_path: Path, alive: Callable[[int], bool], until: Callable[..., Coroutine[Any, Any, None]]
) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import os, time\ndef busy(): time.sleep(60)\ndef pid(): return os.getpid()\n")
    arguments = ["-c", OWNER, str(path)]
    owner = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout is not None
    worker = int(await owner.stdout.readline())
    assert alive(worker)
    owner.kill()
    await owner.wait()
    await until(lambda: not alive(worker))


OWNER = """
import asyncio, sys
from pathlib import Path
from gptoss_tui.tools import Reach
from gptoss_tui.tools.functions import load_functions

async def main():
    busy, pid = load_functions(Path(sys.argv[1]))
    async for output in pid.call("{}"):
        print(output.text, flush=True)
    async for output in busy.call("{}"):
        pass

asyncio.run(main())
"""


async def test_the_example_works(run: Run) -> None:
    word_count, days_between, roll_dice = load_functions(EXAMPLE)
    assert (await run(word_count, '{"text": "one two\\nthree"}')).text == (
        '{"words": 3, "characters": 13, "lines": 2}'
    )
    assert (await run(days_between, '{"start": "2024-02-28", "end": "2024-03-01"}')).text == "2"
    rolled = json.loads((await run(roll_dice, '{"count": 50, "sides": 4}')).text)
    assert len(rolled) == 50
    assert set(rolled) <= {1, 2, 3, 4}
    assert (
        await run(roll_dice, '{"count": 0}')
    ).text == "[ERROR] ValueError: count must be between 1 and 100"
    await word_count.close()


def sample(number: int, name: str, options: list[bool] | None = None) -> tuple[int, str, list[bool] | None]:
    return number, name, options


ARGUMENTS = st.fixed_dictionaries(
    {"number": st.integers(), "name": st.text(st.characters(exclude_categories=["Cs"]))},
    optional={"options": st.none() | st.lists(st.booleans())},
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(ARGUMENTS, st.sampled_from([None, 2]), st.booleans())
def test_every_valid_object_is_passed_on_unchanged(
    arguments: dict[str, Any], indent: int | None, fenced: bool
) -> None:
    body = json.dumps(arguments, indent=indent)
    body = f"```json\n{body}\n```" if fenced else body
    expected = (arguments["number"], arguments["name"], arguments.get("options"))
    assert Signature(sample).call(body) == expected


@given(st.text() | JSON.map(json.dumps) | ARGUMENTS.map(lambda a: json.dumps(a)[:-1]))
def test_anything_else_is_refused_with_a_reason(body: str) -> None:
    signature = Signature(sample)
    try:
        signature.call(body)
    except ArgumentsError as error:
        assert str(error)
    else:
        jsonschema.validate(json.loads(body), signature.schema)


def test_names_that_a_header_cannot_carry_are_refused() -> None:
    def long() -> None: ...

    long.__name__ = "a" * 65
    with pytest.raises(SignatureError, match="1 to 64"):
        Signature(long)


def test_docstring_sections_are_told_apart() -> None:
    description, arguments = parse(
        """Does it.

        Args:
            a: First.
                Note: still first.
            *b (int, optional): Second

        Raises:
            c: not an argument
        """
    )
    assert description == "Does it."
    assert arguments == {"a": "First. Note: still first.", "b": "Second"}
    assert parse(None) == ("", {})
