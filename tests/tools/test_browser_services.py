"""Search services over real connections: their requests, and the errors for their failures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gptoss_tui.tools.browser import BackendError, Hit
from gptoss_tui.tools.browser.network.client import Client
from gptoss_tui.tools.browser.network.policy import Policy
from gptoss_tui.tools.browser.network.web import Web
from gptoss_tui.tools.browser.services import KEYED, Brave, DuckDuckGo, Exa, SearXNG, You

KEY = "sk-5ecret-0f-s0meb0dy"
HITS = [
    Hit("https://kap.example/a", "Lighthouse & more", "Built in 1871."),
    Hit("https://kap.example/b", "B", "Two parts."),
]

ANSWERS: dict[Any, Any] = {
    Exa: {
        "requestId": "x",
        "results": [
            {"url": HITS[0].url, "title": "Lighthouse & more", "text": "Built in 1871.", "score": 0.3},
            {"url": HITS[1].url, "title": "B", "text": "Two parts."},
        ],
    },
    You: {
        "results": {
            "web": [
                {
                    "url": HITS[0].url,
                    "title": "Lighthouse &amp; more",
                    "snippets": ["Built", "in 1871."],
                    "description": "no",
                }
            ],
            "news": [{"url": HITS[1].url, "title": "B", "description": "Two parts."}],
        }
    },
    Brave: {
        "type": "search",
        "web": {
            "results": [
                {"url": HITS[0].url, "title": "Lighthouse &amp; more", "description": "Built in 1871."},
                {"url": HITS[1].url, "title": "B", "description": "Two parts."},
            ]
        },
    },
    SearXNG: {
        "query": "q",
        "results": [
            {"url": HITS[0].url, "title": "Lighthouse & more", "content": "Built in 1871.", "engine": "x"},
            {"url": HITS[1].url, "title": "B", "content": "Two parts."},
        ],
        "unresponsive_engines": [],
    },
}

Answer = tuple[int, bytes]
ServiceMaker = Callable[..., Awaitable[tuple[Any, Any]]]


@pytest.fixture
def service(serve: Any) -> ServiceMaker:
    """`await service(Kind, *answers)`: a service whose server gives those answers, the last for ever."""

    async def make(kind: Any, *answers: Answer) -> tuple[Any, Any]:
        left = list(answers)

        async def answer(request: Any, writer: asyncio.StreamWriter) -> None:
            status, body = left.pop(0) if len(left) > 1 else left[0]
            head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            writer.write(head.encode() + b"\r\n\r\n" + body)

        server = await serve(answer)
        if kind is SearXNG:
            return SearXNG(server("/searx/"), back_off=0.01), server
        client = Client(Policy(frozenset({("127.0.0.1", server.port)})))
        return kind(KEY, base=server(""), client=client, back_off=0.01), server

    return make


@pytest.mark.parametrize("kind", ANSWERS)
async def test_each_service_is_asked_and_read_as_it_speaks(service: ServiceMaker, kind: Any) -> None:
    made, server = await service(kind, (200, json.dumps(ANSWERS[kind]).encode()))
    assert list(await made.search("light  house & co", 20)) == HITS
    assert list(await made.search("light house", 1)) == HITS[:1]
    asked = server.requests[0]
    query = parse_qs(urlsplit(asked.target).query)
    match kind.__name__:
        case "Exa":
            assert (asked.method, asked.target, asked.headers["x-api-key"]) == ("POST", "/search", KEY)
            assert json.loads(asked.body)["query"] == "light  house & co"
            assert json.loads(asked.body)["numResults"] == 20
        case "You":
            assert (urlsplit(asked.target).path, asked.headers["x-api-key"]) == ("/v1/search", KEY)
            assert (query["query"], query["count"]) == (["light  house & co"], ["20"])
        case "Brave":
            assert urlsplit(asked.target).path == "/res/v1/web/search"
            assert asked.headers["x-subscription-token"] == KEY
            assert (query["q"], query["count"]) == (["light  house & co"], ["20"])
        case "SearXNG":
            assert urlsplit(asked.target).path == "/searx/search"
            assert (query["q"], query["format"]) == (["light  house & co"], ["json"])
            assert KEY not in str(asked)


async def told(made: Any) -> str:
    with pytest.raises(BackendError) as error:
        await made.search("q", 5)
    message = str(error.value)
    assert KEY not in message and KEY not in repr(error.value.__cause__)
    assert message.endswith(".") and "\n" not in message
    return message


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize(
    ("status", "words", "asked"),
    [
        (429, "was asked too often", 2),
        (503, "is out of order (status 503)", 2),
        (500, "is out of order", 2),
        (400, "refuses the search (status 400)", 1),
        (302, "refuses the search (status 302)", 1),
        (200, "did not answer with JSON", 1),
    ],
)
async def test_a_failure_is_told_in_a_sentence(
    service: ServiceMaker, kind: Any, status: int, words: str, asked: int
) -> None:
    made, server = await service(kind, (status, f"<html>{KEY}".encode()))
    assert words in await told(made)
    assert server.connections == asked


@pytest.mark.parametrize("kind", KEYED.values())
async def test_a_bad_key_is_told_by_the_name_of_its_variable(service: ServiceMaker, kind: Any) -> None:
    for status, words in ((401, "does not accept the key in"), (403, "does not accept"), (402, "used up")):
        made, server = await service(kind, (status, f'{{"error": "bad key {KEY}"}}'.encode()))
        message = await told(made)
        assert words in message and kind.variable in message
        assert server.connections == 1


async def test_a_searxng_without_json_is_told_with_the_mend(service: ServiceMaker) -> None:
    made, _ = await service(SearXNG, (403, b""))
    assert "search.formats" in await told(made)


@pytest.mark.parametrize("kind", ANSWERS)
async def test_what_is_busy_for_a_moment_is_asked_again(service: ServiceMaker, kind: Any) -> None:
    made, server = await service(kind, (429, b""), (200, json.dumps(ANSWERS[kind]).encode()))
    assert list(await made.search("q", 20)) == HITS
    assert server.connections == 2


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"results": 3, "web": 3},
        {"results": {"web": {}, "news": 1}, "web": {"results": None}},
        {"results": [None, 3, {"url": 3}, {}], "web": {"results": [[]]}},
        {"results": []},
    ],
)
async def test_json_of_another_shape_holds_no_hits(service: ServiceMaker, kind: Any, answer: Any) -> None:
    made, _ = await service(kind, (200, json.dumps(answer).encode()))
    assert list(await made.search("q", 5)) == []


@pytest.mark.parametrize("kind", ANSWERS)
async def test_fields_of_other_types_are_left_out(service: ServiceMaker, kind: Any) -> None:
    odd = {"url": "https://kap.example/", "title": 7, "text": {}, "description": [3, "words"], "content": 1}
    shape = {"results": {"web": [odd]} if kind is You else [odd], "web": {"results": [odd]}}
    made, _ = await service(kind, (200, json.dumps(shape).encode()))
    (hit,) = await made.search("q", 5)
    assert (hit.url, hit.title) == ("https://kap.example/", "")


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", "\x00"])
def test_what_can_be_no_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        Exa(key)


@pytest.mark.parametrize(
    "address", ["", "searx.local", "ftp://x", "http://", "http://u:p@x/", "http://x/?a", "http://[::1", "x y"]
)
def test_what_is_no_address_of_a_searxng_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        SearXNG(address)


async def test_a_searxng_on_this_machine_opens_no_door_for_pages(service: ServiceMaker) -> None:
    _, server = await service(SearXNG, (200, b"{}"))
    with pytest.raises(BackendError, match="Port"):
        await Web().fetch(server("/searx/search?q=x"))
    assert server.connections == 0


PAGE = """<html><body><div class="result body"><h2><a>{title}</a></h2>
<a href="{url}">lighthouse built</a></div></body></html>"""


@pytest.fixture
async def duckduckgo(serve: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function `(status, body)` that puts a server of ours in DuckDuckGo's place."""
    from ddgs.engines.duckduckgo import Duckduckgo

    from gptoss_tui.tools.browser.services import duckduckgo

    async def start(status: int, body: str) -> Any:
        async def answer(request: Any, writer: asyncio.StreamWriter) -> None:
            head = f"HTTP/1.1 {status} x\r\nContent-Type: text/html\r\nContent-Length: {len(body.encode())}"
            writer.write(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())

        server = await serve(answer)
        monkeypatch.setattr(Duckduckgo, "search_url", server("/html/"))
        monkeypatch.setattr(duckduckgo, "_HOST", "127.0.0.1")
        return server

    return start


async def test_duckduckgo_is_read_by_ddgs(duckduckgo: Any) -> None:
    server = await duckduckgo(200, PAGE.format(title="The lighthouse", url="https://kap.example/a"))
    found = await DuckDuckGo(back_off=0.01).search("lighthouse", 5)
    assert list(found) == [Hit("https://kap.example/a", "The lighthouse", "lighthouse built")]
    assert b"q=lighthouse" in server.requests[0].body


@pytest.mark.parametrize(("status", "body"), [(202, "slow down"), (200, "<html></html>"), (403, "x")])
async def test_duckduckgo_without_results_says_what_that_may_mean(
    duckduckgo: Any, status: int, body: str
) -> None:
    await duckduckgo(status, body)
    with pytest.raises(BackendError, match="gave no results, as it also does when it is asked too often"):
        await DuckDuckGo(back_off=0.01).search("lighthouse", 5)


async def test_duckduckgo_out_of_reach(duckduckgo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ddgs.engines.duckduckgo import Duckduckgo

    await duckduckgo(200, "")
    monkeypatch.setattr(Duckduckgo, "search_url", "http://127.0.0.1:1/")
    with pytest.raises(BackendError, match="DuckDuckGo cannot be reached"):
        await DuckDuckGo(back_off=0.01).search("lighthouse", 5)
