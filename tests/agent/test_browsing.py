"""The browser in a conversation: search, open, find, and an answer whose citations are links."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.agent.citations import as_link, citing, linked, pages_of
from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.assemble.browser import open_browser
from gptoss_tui.events.events import Cited, Completed, Event, OutputDelta, Timings, ToolOutput, Usage
from gptoss_tui.harmony.message import ResponseFormat, Role
from gptoss_tui.history.store import Store
from gptoss_tui.permissions.question import Approval
from gptoss_tui.settings import Settings
from gptoss_tui.tools.browser import BackendError, Document, Hit, browser_tools
from gptoss_tui.tools.browser.citations import ShownPages
from gptoss_tui.tools.browser.viewport import estimate

StageMaker = Callable[..., Any]

SITE = "https://kap.example"
TEXT = b"# Kap\n\nThe lighthouse was built in 1871.\nIt is 42 metres high.\n"


class Coast:
    """A web of one page."""

    schemes = ("http", "https")

    def __init__(self) -> None:
        self.fetched: list[str] = []

    async def search(self, query: str, topn: int) -> list[Hit]:
        return [Hit(f"{SITE}/light", "The lighthouse", "At Kap.")]

    async def fetch(self, url: str) -> Document:
        self.fetched.append(url)
        if not url.startswith(SITE):
            raise BackendError("10.0.0.1 is in a private network.")
        return Document(url, "text/plain", None, TEXT)

    async def close(self) -> None: ...


def call(function: str, channel: str = "analysis", **arguments: Any) -> str:
    body = json.dumps(arguments)
    return f"<|channel|>{channel} to={function} <|constrain|>json<|message|>{body}<|call|>"


def answer(text: str) -> str:
    return f"<|channel|>final<|message|>{text}<|return|>"


SEARCH = call("browser.search", query="lighthouse")
OPEN = call("browser.open", id=0, cursor=0)
FIND = call("browser.find", pattern="metres")


def outputs(events: list[Event]) -> list[ToolOutput]:
    return [event for event in events if isinstance(event, ToolOutput)]


def text(events: list[Event]) -> str:
    return "".join(event.delta for event in events if isinstance(event, OutputDelta))


async def test_search_open_find_and_an_answer_that_cites(stage: StageMaker) -> None:
    web = Coast()
    reply = "Built in 1871【1†L4】, 42 metres high【2†L1】; red【7†L3】."
    s = stage(SEARCH, OPEN, FIND, answer(reply), tools=browser_tools(web, web), context=10**6)
    events = await s.play("How old is the lighthouse?")
    assert [output.is_error for output in outputs(events)] == [False, False, False]
    assert outputs(events)[1].output.startswith(f"[1] kap.example ({SITE}/light)\n")
    cited = [event for event in events if isinstance(event, Cited)]
    assert cited == [
        Cited("【1†L4】", 4, 4, f"{SITE}/light", "kap.example", "The lighthouse was built in 1871."),
        Cited("【2†L1】", 1, 1, f"{SITE}/light", "kap.example", "It is 42 metres high."),
        Cited("【7†L3】", 3, 3, unverified="no such page was opened"),
    ]
    assert text(events) == reply, "the marks stay in the text, where who does not know citations finds them"
    assert isinstance(events[-1], Completed) and events[-1].output_text == reply
    assert json.loads(json.dumps(cited[0].as_json()))["type"] == "response.output_text.delta"
    assert linked(reply, s.session.pages) == (
        f"Built in 1871 ([kap.example]({SITE}/light)), 42 metres high ([kap.example]({SITE}/light)); "
        "red【7†L3】 (unverified)."
    )


async def test_the_browser_is_described_and_its_functions_are_recipients(stage: StageMaker) -> None:
    web = Coast()
    s = stage(answer("Hello."), tools=browser_tools(web, web))
    await s.play("Hello")
    assert "namespace browser {" in s.engine.prompts[0]
    (request,) = s.engine.requests
    edges = {edge.text for state in request.constraint.states for edge in state.edges}
    assert {" to=browser.search", " to=browser.open", " to=browser.find"} <= edges
    assert "namespace functions" not in s.engine.prompts[0]


@pytest.mark.parametrize("name", ["browser.search", "functions.browser.search"])
@pytest.mark.parametrize("channel", ["analysis", "commentary"])
async def test_a_search_is_one_wherever_it_is_written(stage: StageMaker, name: str, channel: str) -> None:
    web = Coast()
    s = stage(call(name, channel, query="x"), answer("It is so【0†L4】."), tools=browser_tools(web, web))
    events = await s.play("go")
    assert not outputs(events)[0].is_error
    reply = next(m for m in s.session.conversation.messages if m.role is Role.TOOL)
    assert (reply.name, reply.channel) == (name, channel)
    (cited,) = (event for event in events if isinstance(event, Cited))
    assert "search results" in cited.unverified


async def test_an_address_the_model_composed_is_asked_about(stage: StageMaker, somebody: Any) -> None:
    web, person = Coast(), somebody(Approval.NO)
    secret = f"{SITE}/light?said=secret"
    mine = call("browser.open", id=f"{SITE}/mine")
    composed = call("browser.open", id=secret)
    s = stage(composed, mine, answer("So."), tools=browser_tools(web, web), person=person)
    events = await s.play(f"Read {SITE}/mine for me.")
    assert [secret in question.why for question in person.asked] == [True]
    assert outputs(events)[0].is_error
    assert web.fetched == [f"{SITE}/mine"]


async def test_a_refused_address_is_told_on_the_card_and_the_turn_goes_on(stage: StageMaker) -> None:
    web = Coast()
    intranet = call("browser.open", id="http://intranet.example/")
    s = stage(intranet, answer("I cannot."), tools=browser_tools(web, web))
    events = await s.play("Open http://intranet.example/")
    (output,) = outputs(events)
    assert output.is_error
    assert "10.0.0.1 is in a private network" in output.output
    assert isinstance(events[-1], Completed)


async def test_the_whole_way_over_a_network(stage: StageMaker, serve: Any) -> None:
    """A real SearXNG's JSON, a real page, real refusals: everything but the internet."""

    async def site(request: Any, writer: Any) -> None:
        here = f"http://127.0.0.1:{server.port}"
        location = ""
        if request.target.startswith("/searx/search"):
            found = {"url": f"{here}/light", "title": "The lighthouse", "content": "At Kap."}
            kind, body = "application/json", json.dumps({"results": [found]})
        elif request.target == "/away":
            kind, body, location = "text/plain", "", "Location: http://169.254.169.254/latest\r\n"
        else:
            inner = f"http://127.0.0.1:{canary.port}/"
            kind, body = (
                "text/html",
                f"<title>Kap</title><p>Built in 1871.<p><a href={inner}>x</a><a href=/away>y</a>",
            )
        status = "302 Found" if location else "200 OK"
        head = f"HTTP/1.1 {status}\r\n{location}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())

    async def nothing(request: Any, writer: Any) -> None: ...

    canary = await serve(nothing)
    server = await serve(site)
    searxng, hosts = server("/searx"), (f"127.0.0.1:{server.port}",)
    tools = open_browser(Settings(searxng=searxng, allow_hosts=hosts), estimate)
    inside, away = call("browser.open", id=0, cursor=1), call("browser.open", id=1, cursor=1)
    s = stage(
        *(SEARCH, OPEN, inside, away, call("browser.find", pattern="1871"), answer("In 1871【1†L2】.")),
        tools=tools,
        context=10**6,
    )
    events = await s.play("How old is the lighthouse?")
    search, page, port, redirect, find = outputs(events)
    assert "【0†The lighthouse†127.0.0.1" in search.output
    assert page.output.startswith(f"[1] Kap ({server('/light')})")
    assert port.is_error and "is not one of the web's" in port.output
    assert redirect.is_error and "169.254.169.254 is on the local link" in redirect.output
    assert "match at L2" in find.output
    (cited,) = (event for event in events if isinstance(event, Cited))
    assert (cited.url, cited.quote) == (server("/light"), "Built in 1871.")
    assert canary.connections == 0


async def test_a_conversation_taken_up_again_keeps_its_citations(stage: StageMaker, tmp_path: Path) -> None:
    web = Coast()
    first = stage(
        SEARCH,
        OPEN,
        answer("Built in 1871【1†L4】."),
        tools=browser_tools(web, web),
        store=Store(tmp_path / "kept.sqlite3"),
    )
    await first.play(f"See {SITE}/mine")
    await first.session.runtime.close()

    tools = browser_tools(web, web)
    more = call("browser.open", cursor=1)
    s = stage(
        more,
        answer("Yes【1†L4】【2†L5】."),
        tools=tools,
        store=Store(tmp_path / "kept.sqlite3"),
        resume="",
    )
    async for _ in s.session.load():
        pass
    ((_, past),) = s.session.past()
    (cited,) = (event for event in past if isinstance(event, Cited))
    assert (cited.url, cited.quote) == (f"{SITE}/light", "The lighthouse was built in 1871.")
    assert tools[1].composed(json.dumps({"id": f"{SITE}/mine"})) is None, "what the person wrote is trusted"
    events = await s.play("Sure?")
    assert outputs(events)[0].output.startswith("[2] kap.example"), "cursors go on where they were"
    quotes = [event.quote for event in events if isinstance(event, Cited)]
    assert quotes == ["The lighthouse was built in 1871.", "It is 42 metres high."]


async def test_a_new_conversation_knows_nothing_of_the_last(stage: StageMaker) -> None:
    web = Coast()
    scripts = [SEARCH, OPEN, answer("So【1†L4】."), answer("So【1†L4】.")]
    s = stage(*scripts, tools=browser_tools(web, web))
    await s.play(f"See {SITE}/mine")
    s.session = await s.session.successor()
    events = await s.play("Again")
    (cited,) = (event for event in events if isinstance(event, Cited))
    assert cited.unverified


async def test_an_answer_as_json_keeps_its_marks(stage: StageMaker) -> None:
    shape = ResponseFormat("x", {"type": "object"})
    s = stage(answer('{"a": "b【1†L2】"}'), response_format=shape)
    events = await s.play("go")
    assert not [event for event in events if isinstance(event, Cited)]
    assert text(events) == '{"a": "b【1†L2】"}'


async def test_marks_come_whole_however_the_answer_streams() -> None:
    reply = "a【1†L2-L3】b【4†L5】【x"

    events: list[Event] = []

    async def collect(event: Event) -> None:
        events.append(event)

    sink = citing(collect, ShownPages)
    for letter in reply:
        await sink(OutputDelta(letter))
    await sink(Completed(reply, "", Usage(), Timings()))
    assert [event.delta for event in events if isinstance(event, Cited)] == ["【1†L2-L3】", "【4†L5】"]
    assert text(events) == reply
    assert isinstance(events[-1], Completed)


@pytest.mark.parametrize(
    ("url", "title", "link"),
    [
        ("https://kap.example/a_(b)", "T", " ([kap.example](https://kap.example/a_%28b%29))"),
        ("https://kap.example/a>b c[d]\n", "T", " ([kap.example](https://kap.example/a%3Eb%20c%5Bd%5D%0A))"),
        ("https://my_host.example/", "T", r" ([my\_host.example](https://my_host.example/))"),
        ("https://bücher.example/", "T", " ([xn--bcher-kva.example](https://b%C3%BCcher.example/))"),
        ("doc:///notes/a.md", "My [notes]", r" (My \[notes\])"),
        ("javascript:alert(1)", "x", " (x)"),
    ],
)
def test_a_link_leads_to_the_web_or_nowhere(url: str, title: str, link: str) -> None:
    assert as_link(Cited("【1†L2】", 2, 2, url, title, "q")) == link


async def test_documents_are_browsed_through_the_turn(
    stage: StageMaker, tmp_path: Path, renderer: Renderer
) -> None:
    (tmp_path / "kap.md").write_bytes(TEXT)
    settings = Settings(tools=("browser",), documents=tmp_path)
    tools = open_browser(settings, renderer.count)
    s = stage(SEARCH, OPEN, answer("So【1†L4】."), tools=tools, context=10**6)
    events = await s.play("go")
    (cited,) = (event for event in events if isinstance(event, Cited))
    assert (cited.url, cited.quote) == ("doc:///kap.md", "The lighthouse was built in 1871.")
    assert linked("So【1†L4】.", pages_of(s.session.conversation.messages)) == f"So ({cited.title})."


async def test_tokens_are_counted_as_the_model_counts(renderer: Renderer) -> None:
    counted = await renderer.count(["", "the thing", "<|end|>", "日本" * 500])
    assert counted[0] == 0 and counted[1] < len("the thing") and counted[3] == 3000
    assert counted[2] == len("<|end|>"), "text, not a control token"
    assert await asyncio.gather(renderer.count(["a"]), renderer.count(["b c"]))
