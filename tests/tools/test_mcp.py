"""MCP servers as real processes and over real HTTP: good ones, and bad ones that must do no harm."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCResponse, ListToolsResult
from mcp_types.methods import parse_server_result

from gptoss_tui.tools import Reach, Source, SourceError, Tool
from gptoss_tui.tools.mcp import Server, read_servers
from gptoss_tui.tools.mcp.config import ConfigError, read_entry
from gptoss_tui.tools.mcp.sieve import Sieve

SERVERS = Path(__file__).parents[1] / "servers"
TOY = {"command": sys.executable, "args": [str(SERVERS / "toy.py")]}

Run = Callable[[Tool, str], Coroutine[Any, Any, Any]]
Tools = dict[str, Tool]


def raw(kind: str, *more: str, limit: float = 60.0) -> dict[str, Any]:
    arguments = [str(SERVERS / "raw.py"), kind, *more]
    return {"command": sys.executable, "args": arguments, "startup_timeout_sec": limit}


def server(entry: Any, folder: Path, name: str = "toy") -> Server:
    (source,) = read_servers(None, {name: entry}, folder, folder / "logs")
    assert isinstance(source, Server)
    return source


async def opened(source: Source) -> tuple[Tools, list[str]]:
    found = await source.open()
    return {tool.name.removeprefix("functions."): tool for tool in found.tools}, list(found.notices)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def toy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    source = server(TOY, tmp_path_factory.mktemp("toy"))
    yield source
    await source.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tools(toy: Server) -> Tools:
    found, notices = await opened(toy)
    assert notices == []
    return found


# One loop for the module: a process belongs to the loop that started it.
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_servers_tools_are_described_as_it_says(tools: Tools) -> None:
    tool = tools["toy_add"]
    assert tool.description == "Adds two numbers."
    assert tool.parameters is not None
    assert tool.parameters["required"] == ["a"]
    assert tool.origin == "MCP server toy"
    assert "on this machine" in tool.where


async def test_every_tool_is_outside_whatever_its_hints_say(tools: Tools) -> None:
    assert {tool.risk("{}").reach for tool in tools.values()} == {Reach.OUTSIDE}


async def test_a_name_that_harmony_cannot_carry_leads_back(tools: Tools, run: Run) -> None:
    answer = await run(tools["toy_say_hello_world"], '{"name": "Ann"}')
    assert (answer.text, answer.is_error) == ("Hello, Ann! <|end|>", False)


async def test_a_failure_is_an_error_for_the_model(tools: Tools, run: Run) -> None:
    answer = await run(tools["toy_fails"], "{}")
    assert answer.is_error
    assert answer.text.startswith("[ERROR] ")


async def test_words_are_kept_and_the_rest_is_named_by_type_and_size(tools: Tools, run: Run) -> None:
    answer = await run(tools["toy_everything"], "{}")
    assert answer.text.splitlines() == [
        "some words",
        "[image, image/png, 300 bytes: not shown]",
        "[audio, audio/wav, 3 bytes: not shown]",
        "[link to a link: https://toy.example/x, text/html, 5 bytes]",
        "[toy://words]",
        "embedded words",
        "[toy://bytes, of no type, 3 bytes: not shown]",
    ]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("{}", ["- a: is missing"]),
        ('{"a": "1", "c": 2}', ["- a: '1' is not of type 'integer'", "- c: there is no such field"]),
        ("[1]", ["Expected a JSON object"]),
        ("{'a': 1}", ["not valid JSON at line 1 column 2"]),
        ('{"a": NaN}', ["NaN is not JSON"]),
        ("[" * 100_000, ["not valid JSON"]),
    ],
)
async def test_wrong_arguments_are_told_before_anyone_is_asked(
    tools: Tools, run: Run, body: str, told: list[str]
) -> None:
    objection = await tools["toy_add"].objection(body)
    assert objection is not None
    assert all(part in objection for part in told)
    answer = await run(tools["toy_add"], body)
    assert (answer.text, answer.is_error) == (objection, True)


async def test_right_arguments_are_not_objected_to_and_nothing_is_run(tools: Tools, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    assert await tools["toy_dies"].objection(json.dumps({"file": str(trace)})) is None
    assert not trace.exists()


@pytest.mark.parametrize("name", ["toy_asks_the_model", "toy_asks_the_person"])
async def test_what_a_server_asks_is_refused(tools: Tools, run: Run, name: str) -> None:
    answer = await run(tools[name], "{}")
    assert answer.is_error
    assert "it said" not in answer.text
    assert "they chose" not in answer.text


async def test_a_server_sees_no_terminal_and_little_of_the_environment(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "abc")
    monkeypatch.setenv("GIVEN", "def")
    source = server({**TOY, "env": {"TOKEN": "${GIVEN}"}}, tmp_path)
    found, _ = await opened(source)
    seen = (await run(found["toy_surroundings"], "{}")).text
    await source.close()
    assert "no terminal" in seen
    assert "stdin is a pipe" in seen
    assert "TOKEN" in seen
    assert not {"MY_SECRET", "GIVEN"} & set(seen.split())


async def test_its_stderr_goes_to_the_log_where_it_can_do_no_harm(
    toy: Server, tools: Tools, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tools
    logged = toy.log.read_text()
    assert "complaining" in logged
    assert "\x1b" not in logged
    assert toy.log.stat().st_mode & 0o077 == 0
    assert capfd.readouterr() == ("", "")


async def test_a_call_that_is_stopped_is_cancelled_at_the_server(
    tools: Tools, run: Run, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    call = asyncio.create_task(run(tools["toy_sleeps"], json.dumps({"file": str(trace)})))
    await until(trace.exists)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await run(tools["toy_add"], '{"a": 1}')).text == "2"
    await until(lambda: trace.read_text() == "called, cancelled")


async def test_calls_are_open_side_by_side_and_each_is_cancelled_alone(
    tools: Tools, run: Run, tmp_path: Path
) -> None:
    traces = [tmp_path / name for name in ("one", "two")]
    calls = [
        asyncio.create_task(run(tools["toy_sleeps"], json.dumps({"file": str(trace)}))) for trace in traces
    ]
    await until(lambda: all(trace.exists() for trace in traces))
    assert (await run(tools["toy_add"], '{"a": 1}')).text == "2"
    calls[0].cancel()
    await until(lambda: traces[0].read_text() == "called, cancelled")
    assert traces[1].read_text() == "called"
    calls[1].cancel()
    await until(lambda: traces[1].read_text() == "called, cancelled")
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_server_that_dies_in_a_call_is_started_again_and_the_call_is_not_repeated(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_tui.tools.mcp.server.BACK_OFF", 0.01)
    trace = tmp_path / "trace"
    source = server(raw("dies", str(trace)), tmp_path)
    found, _ = await opened(source)
    die = found["toy_good"]
    for lives in (1, 2, 3, 4):
        answer = await run(die, "{}")
        assert answer.is_error
        assert "ended while it was asked; the request is not sent again" in answer.text
        assert trace.read_text().splitlines() == ["called"] * lives
    answer = await run(die, "{}")
    assert "ended 4 times; a new chat starts it again" in answer.text
    assert len(trace.read_text().splitlines()) == 4
    await source.close()
    found, _ = await opened(source)
    assert "ended while it was asked" in (await run(found["toy_good"], "{}")).text
    await source.close()


async def test_a_tool_that_is_another_after_a_restart_is_not_called(tmp_path: Path, run: Run) -> None:
    source = server(raw("changes", str(tmp_path / "marker")), tmp_path)
    found, _ = await opened(source)
    assert "ended while it was asked" in (await run(found["toy_good"], "{}")).text
    answer = await run(found["toy_good"], "{}")
    assert answer.is_error
    assert "now describes good differently" in answer.text
    await source.close()


async def test_server_and_host_end_when_they_are_closed(
    tmp_path: Path, run: Run, alive: Callable[[int], bool]
) -> None:
    ignores = f"import os, signal, sys; sys.path.insert(0, {str(SERVERS)!r}); import raw, threading, time\n"
    ignores += "raw.send = (lambda send: lambda m: send(m | {'pid': os.getpid()}))(raw.send)\n"
    pid = tmp_path / "pid"
    ignores += f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
    ignores += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nraw.main('good')\ntime.sleep(600)\n"
    source = server({"command": sys.executable, "args": ["-c", ignores]}, tmp_path)
    found, _ = await opened(source)
    assert (await run(found["toy_good"], "{}")).text.startswith("good")
    process = int(pid.read_text())
    assert alive(process)
    await source.close()
    await until(lambda: not alive(process))


@pytest.mark.parametrize("kind", ["good", "silent"])
async def test_server_and_host_end_with_the_app(
    kind: str, tmp_path: Path, alive: Callable[[int], bool]
) -> None:
    pid = tmp_path / "pid"
    start = f"echo $$ > {pid}; exec {sys.executable} {SERVERS / 'raw.py'} {kind}"
    owner = await asyncio.create_subprocess_exec(*(sys.executable, "-c", OWNER, start, str(tmp_path)))
    await until(lambda: pid.exists() and pid.read_text())
    process = int(pid.read_text())
    assert alive(process)
    owner.kill()
    await owner.wait()
    await until(lambda: not alive(process))


OWNER = """
import asyncio, sys
from pathlib import Path
from gptoss_tui.tools.mcp import read_servers

async def main():
    entry = {"command": "sh", "args": ["-c", sys.argv[1]], "startup_timeout_sec": 60}
    [server] = read_servers(None, {"toy": entry}, Path(), Path(sys.argv[2]))
    await server.open()
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (raw("silent", limit=0.7), "did not say within 0.7 s what it has"),
        (raw("half", limit=0.7), "did not say within 0.7 s what it has"),
        (raw("rubbish", limit=4.0), "what it writes on stdout is no message of the protocol"),
        (raw("flood", limit=0.7), "did not say within 0.7 s what it has"),
        (raw("exits"), "ended with status 1: cannot find my configuration"),
        (raw("endless_line"), "sent a message of more than 8 MB"),
        ({"command": "/no/such/program"}, "cannot be started: No such file or directory: '/no/such/program'"),
        ({"command": str(SERVERS)}, "cannot be started: Permission denied"),
        ({**TOY, "cwd": "no such folder"}, "no such folder"),
        ({"url": "http://127.0.0.1:9/mcp"}, "ConnectError"),
        ({"url": "ftp://x"}, "its url is no http or https address"),
        ({"command": "x", "url": "http://x"}, "needs a command, or else a url"),
        ({}, "needs a command, or else a url"),
        ("npx", "its entry is no table"),
        ({"command": ["npx"]}, "its command is no text"),
        ({"command": "x", "args": "y"}, "its args are no list of strings"),
        ({"command": "x", "env": {"A": 1}}, "its env is no table of texts"),
        ({"url": "http://x", "headers": {"A": "b\nc"}}, "its headers have line breaks"),
        ({"type": "sse", "url": "http://x"}, "its type is 'sse'; there are stdio and http"),
        ({**TOY, "enabled": "false"}, "its enabled is 'false'; that is true or false"),
        ({**TOY, "disabled": 1}, "its disabled is 1; that is true or false"),
        ({**TOY, "enabled": None}, "its enabled is None"),
        ({"command": "${NOT_SET_ANYWHERE}"}, "the environment variable NOT_SET_ANYWHERE is not set"),
    ],
)
async def test_a_server_that_cannot_be_used_is_one_clear_line(
    entry: Any, told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError) as failure:
        await server(entry, tmp_path).open()
    assert "MCP server toy" in str(failure.value)
    assert told in str(failure.value)
    assert "\n" not in str(failure.value)
    assert capfd.readouterr() == ("", "")


async def test_a_server_that_greets_on_stdout_is_understood_all_the_same(tmp_path: Path, run: Run) -> None:
    source = server(raw("greets"), tmp_path)
    found, _ = await opened(source)
    assert (await run(found["toy_good"], "{}")).text == "good ?"
    await source.close()


async def test_opening_can_be_given_up_and_nothing_stays(tmp_path: Path) -> None:
    source = server(raw("silent", limit=600), tmp_path)
    opening = asyncio.create_task(source.open())
    await asyncio.sleep(0.3)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await source.close()


async def test_what_a_server_says_of_its_tools_is_bounded(tmp_path: Path, run: Run) -> None:
    source = server(raw("odd"), tmp_path)
    found, notices = await opened(source)
    assert len(found["toy_long"].description) < 5_000
    assert await found["toy_loop"].objection('{"text": "x"}') is None
    assert (await run(found["toy_loop"], '{"text": "x"}')).text.startswith("good")
    assert "toy_python" in found
    assert {"toy_a_b"} < {name for name in found if name.startswith("toy_a_b")}
    told = "\n".join(notices)
    for what in (
        "'good' that is there twice",
        "too long a name",
        "'deep' that nests",
        "'fat' that describes",
    ):
        assert what in told
    assert not {"toy_deep", "toy_fat"} & set(found)
    await source.close()


GOOD = {"name": "good", "description": "Good.", "inputSchema": {"type": "object"}}


async def listed(tools: Any, folder: Path) -> tuple[Source, Tools, str]:
    """The server that lists `tools` and then a good one, its tools, and the notices for the person."""
    (folder / "tools.json").write_text(json.dumps([*tools, GOOD]))
    source = server(raw("lists", str(folder / "tools.json")), folder)
    try:
        found, notices = await opened(source)
    except BaseException:
        await source.close()
        raise
    return source, found, "\n".join(notices)


async def test_one_bad_tool_costs_one_tool(tmp_path: Path, run: Run) -> None:
    schemas: dict[str, Any] = {
        "a_text": {"type": "string"},
        "a_list": [],
        "nothing": None,
        "odd_properties": {"type": "object", "properties": ["text"]},
        "odd_property": {"type": "object", "properties": {"text": "string"}},
        "odd_required": {"type": "object", "required": True},
        "odd_name": {"type": "object", "properties": {"\x1b[31m\n": 7}},
    }
    bad = [{"name": name, "inputSchema": schema} for name, schema in schemas.items()]
    nameless = [{"inputSchema": {"type": "object"}}, {**GOOD, "name": 7}, "tool", None]
    source, found, told = await listed([*bad, {"name": "no_schema"}, *nameless], tmp_path)
    assert set(found) == {"toy_good"}
    for name in (*schemas, "no_schema"):
        assert f"has a tool '{name}' that does not fit the protocol (inputSchema" in told
    assert told.count("has a tool without a name") == len(nameless)
    assert "\x1b" not in told and len(told.splitlines()) == len(bad) + 1 + len(nameless)
    assert (await run(found["toy_good"], "{}")).text == "good ?"
    await source.close()


async def test_a_schema_without_a_type_is_that_of_an_object(tmp_path: Path, run: Run) -> None:
    text = {"properties": {"text": {"type": "string"}}, "required": ["text"]}
    schemas: dict[str, Any] = {
        "plain": text,
        "empty": {},
        "null": text | {"type": None},
        "either": text | {"type": ["object", "null"]},
    }
    tools = [{"name": name, "inputSchema": schema} for name, schema in schemas.items()]
    source, found, told = await listed(tools, tmp_path)
    assert told == ""
    assert {name.removeprefix("toy_") for name in found} == {*schemas, "good"}
    assert all(tool.parameters is not None and tool.parameters["type"] == "object" for tool in found.values())
    assert "text: is missing" in (await run(found["toy_plain"], "{}")).text
    assert (await run(found["toy_plain"], '{"text": "x"}')).text == "good ?"
    await source.close()


async def test_what_the_sdk_cannot_read_costs_one_tool(tmp_path: Path, run: Run) -> None:
    deep: dict[str, Any] = {}
    for _ in range(150):
        deep = {"type": "object", "properties": {"x": deep}}
    tools = [
        {**GOOD, "name": "deep", "inputSchema": deep},
        {**GOOD, "name": "deep_result", "outputSchema": deep},
        {**GOOD, "name": "half", "description": "half a character: \ud83d"},
    ]
    source, found, told = await listed(tools, tmp_path)
    assert set(found) == {"toy_deep_result", "toy_half", "toy_good"}
    assert found["toy_half"].description == "half a character: ?"
    assert told.startswith("MCP server toy has a tool 'deep' that nests its parameters more than 64 deep")
    assert "\n" not in told
    assert (await run(found["toy_deep_result"], "{}")).text == "good ?"
    await source.close()


@pytest.mark.parametrize(
    "odd",
    [
        {"outputSchema": []},
        {"outputSchema": {"type": "object", "properties": {"x": {"type": "strin"}}}},
        {"outputSchema": {"type": 7}},
        {"description": 7},
        {"title": ["x"]},
        {"annotations": "read only"},
        {"icons": {"src": 7}},
        {"_meta": []},
    ],
)
async def test_what_a_client_can_do_without_costs_nothing(
    odd: dict[str, Any], tmp_path: Path, run: Run
) -> None:
    source, found, told = await listed([{**GOOD, "name": "odd", **odd}], tmp_path)
    assert (set(found), told) == ({"toy_odd", "toy_good"}, "")
    assert (await run(found["toy_odd"], "{}")).text == "good ?"
    await source.close()


async def test_bad_tools_without_end_are_not_told_without_end(tmp_path: Path) -> None:
    source, found, told = await listed([{"name": f"bad{number}"} for number in range(5_000)], tmp_path)
    assert len(told.splitlines()) < 100
    assert "4,936 more" in told
    assert set(found) == {"toy_good"}, "they hide no good one"
    await source.close()


@pytest.mark.parametrize("tools", [None, {}, "good", 3])
async def test_a_listing_that_is_no_list_has_no_tools(tools: Any, tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text(json.dumps(tools))
    source = server(raw("lists", str(tmp_path / "tools.json")), tmp_path)
    found, notices = await opened(source)
    assert not found
    assert "no list" in "\n".join(notices)
    await source.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
TOOL = st.fixed_dictionaries(
    {},
    optional={
        key: JSON | st.just(GOOD.get(key, "x"))
        for key in (
            "name",
            "title",
            "description",
            "inputSchema",
            "outputSchema",
            "annotations",
            "icons",
            "_meta",
        )
    },
)

REST = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}  # of which 2026-07-28 wants to hear


AROUND = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("nextCursor", "_meta", "resultType", "ttlMs", "cacheScope", "x"), JSON)
)


@given(
    st.lists(TOOL | JSON, max_size=4),
    AROUND,
    st.sampled_from(["2024-11-05", "2025-11-25", "2026-07-28"]),
)
async def test_no_tool_of_a_listing_is_more_than_its_own_trouble(
    tools: list[Any], around: dict[str, Any], version: str
) -> None:
    """Whatever a listing holds, the SDK takes what the sieve lets through, and the good tool is in it."""
    sieve = Sieve(lambda: version)
    sending, receiving = anyio.create_memory_object_stream[SessionMessage | Exception](1)
    answer = JSONRPCResponse(jsonrpc="2.0", id=1, result={"tools": [*tools, GOOD], **REST, **around})

    @asynccontextmanager
    async def transport() -> AsyncIterator[Any]:
        yield receiving, None

    async with sending, sieve.before(transport()) as (received, _):
        await sending.send(SessionMessage(answer))
        passed = await received.receive()
    assert isinstance(passed, SessionMessage) and isinstance(passed.message, JSONRPCResponse)
    result = parse_server_result("tools/list", version, passed.message.result)
    assert isinstance(result, ListToolsResult)
    names, refused = sieve.taken()
    assert [tool.name for tool in result.tools] == names and names[-1] == "good"
    assert len(names) + len(refused) == len(tools) + 1


@pytest.mark.parametrize("kind", ["many", "endless"])
async def test_a_server_cannot_offer_without_end(kind: str, tmp_path: Path) -> None:
    source = server(raw(kind), tmp_path)
    found, notices = await opened(source)
    assert 1 <= len(found) <= 256
    assert notices
    await source.close()


async def test_what_a_server_writes_out_of_turn_is_passed_over(tmp_path: Path, run: Run) -> None:
    source = server(raw("chatty"), tmp_path)
    found, _ = await opened(source)
    assert [(await run(found["toy_good"], "{}")).text for _ in range(2)] == ["good ?", "good ?"]
    assert "log line on stdout" in source.log.read_text()
    await source.close()


async def test_a_large_answer_is_cut_and_a_monstrous_one_ends_the_server(tmp_path: Path, run: Run) -> None:
    large, huge = server(raw("large"), tmp_path, "large"), server(raw("huge"), tmp_path, "huge")
    found, _ = await opened(large)
    answer = await run(found["large_good"], "{}")
    assert "2,900,000 characters left out" in answer.text
    found, _ = await opened(huge)
    answer = await run(found["huge_good"], "{}")
    assert answer.is_error
    assert "ended while it was asked" in answer.text
    await asyncio.gather(large.close(), huge.close())


async def test_a_schema_that_hangs_ends_its_host_only(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_tui.tools.mcp.server.CHECK_LIMIT", 0.5)
    source = server(raw("hangs"), tmp_path)
    found, _ = await opened(source)
    objection = await found["toy_good"].objection(json.dumps({"text": "a" * 40 + "!"}))
    assert objection is not None
    assert "took more than 0.5 s to check" in objection
    assert (await run(found["toy_good"], '{"text": "aa"}')).text.startswith("good")
    await source.close()


@pytest.fixture
def port() -> Iterator[int]:
    """A port reserved for the test: bound here without a listener, and free to be bound again."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


async def test_over_http(tmp_path: Path, run: Run, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptoss_tui.tools.mcp.server.BACK_OFF", 0.0)
    serving = await serve(port)
    try:
        entry = {"type": "http", "url": f"http://127.0.0.1:{port}/mcp", "headers": {"X-Key": "${HOME}"}}
        source = server(entry, tmp_path, "web")
        found, _ = await opened(source)
        add, die = found["web_add"], found["web_dies"]
        assert add.where == "at 127.0.0.1"
        assert (await run(add, '{"a": 40, "b": 2}')).text == "42"
        assert "- a: is missing" in (await run(add, "{}")).text
        assert (await run(found["web_asks_the_model"], "{}")).is_error
        answer = await run(die, json.dumps({"file": str(tmp_path / "trace")}))
        assert answer.is_error
        await serving.wait()
        answer = await run(add, '{"a": 1}')
        assert answer.is_error
        assert "ConnectError" in answer.text
        serving = await serve(port)
        assert (await run(add, '{"a": 1}')).text == "2"
        await source.close()
    finally:
        if serving.returncode is None:
            serving.kill()
        await serving.wait()


async def serve(port: int) -> asyncio.subprocess.Process:
    """The toy server over HTTP, once it listens."""
    serving = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SERVERS / "toy.py"), str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await until(lambda: serving.returncode is not None or listens(port))
    assert serving.returncode is None, "the server did not start"
    return serving


async def test_a_page_that_is_no_server_is_told(tmp_path: Path) -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(page, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(SourceError, match="answered with HTTP status 401"):
        await server({"url": f"http://127.0.0.1:{port}/mcp"}, tmp_path).open()
    listening.close()


async def test_a_file_of_servers(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text(
        json.dumps(
            {
                "mcpServers": {
                    "one": {"command": "x", "alwaysAllow": ["*"]},
                    "two": {"command": "y", "disabled": True},
                    "three": {"url": "https://z.example"},
                    "five": {"command": "y", "enabled": False},
                    "six": {"command": "y", "enabled": True, "disabled": True},
                    "seven": {"command": "y", "enabled": False, "disabled": False},
                    "eight": {"command": "y", "enabled": True, "disabled": False},
                }
            }
        )
    )
    table = {"four": {"command": "z"}, "nine": {"command": "z", "enabled": False}}
    origins = [source.origin for source in read_servers(file, table, tmp_path, tmp_path)]
    assert origins == [f"MCP server {name}" for name in ("one", "three", "eight", "four")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file or directory"),
        ("{", "it is not JSON"),
        ("[]", 'it has no "mcpServers"'),
        ('{"servers": {}}', 'it has no "mcpServers"'),
        ("[" * 100_000, "it is not JSON"),
    ],
)
async def test_a_file_that_names_no_servers_is_told(content: str | None, told: str, tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    if content is not None:
        file.write_text(content)
    (source,) = read_servers(file, {}, tmp_path, tmp_path)
    with pytest.raises(SourceError) as failure:
        await source.open()
    assert told in str(failure.value)
    assert str(file) in str(failure.value)


async def test_variables_are_filled_in_as_a_shell_would(tmp_path: Path) -> None:
    entry = {
        "command": "${A}/bin",
        "args": ["${env:A}", "${B:-other}", "${EMPTY:-other}", "${EMPTY}", "$A", "${A:-x}"],
        "env": {"T": "${A}${A}"},
        "cwd": "sub",
    }
    config = read_entry(entry, {"A": "a", "EMPTY": ""}, tmp_path)
    assert config.command == ("a/bin", "a", "other", "other", "", "$A", "a")
    assert config.env == {"T": "aa"}
    assert config.cwd == str(tmp_path / "sub")


KEYS = st.sampled_from(["command", "args", "env", "url", "headers", "cwd", "type", "disabled", "enabled"])


@given(JSON | st.dictionaries(KEYS, JSON))
async def test_any_entry_is_read_or_refused(entry: Any) -> None:
    try:
        read_entry(entry, {}, Path("/"))
    except ConfigError as error:
        assert str(error)


@given(body=st.text() | JSON.map(json.dumps))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
async def test_no_arguments_take_a_server_down(body: str, tools: Tools, run: Run) -> None:
    answer = await run(tools["toy_add"], body)
    assert answer.is_error == (await tools["toy_add"].objection(body) is not None)


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        await asyncio.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
