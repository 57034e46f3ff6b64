"""Browsing as a person sees it: the cards, and citations on the screen, on stdout and in an export."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Button, Markdown

from gptoss_tui.agent.citations import cited, pages_of
from gptoss_tui.assemble.browser import open_browser
from gptoss_tui.cli.main import main
from gptoss_tui.cli.subcommands.markdown import as_markdown
from gptoss_tui.events.events import Cited, Completed, OutputDelta, Timings, Usage
from gptoss_tui.harmony import Channel, Message, Role
from gptoss_tui.history.store import Store
from gptoss_tui.history.stored import StoredSession
from gptoss_tui.plain.show import AsText, as_json
from gptoss_tui.settings import Settings
from gptoss_tui.tools.browser import BackendError, Document, Hit, browser_tools
from gptoss_tui.tools.browser.viewport import estimate
from gptoss_tui.tui.widgets.citation import address, explanation
from gptoss_tui.tui.widgets.prompt import GRACE_S
from gptoss_tui.tui.widgets.tool_card import ToolCard

StageMaker = Callable[..., Any]

SITE = "https://kap.example"
EVIL = "\x1b]52;c;aGk=\x07"


def call(function: str, **arguments: Any) -> str:
    body = json.dumps(arguments)
    return f"<|channel|>analysis to=browser.{function} <|constrain|>json<|message|>{body}<|call|>"


SEARCH, OPEN = call("search", query="lighthouse"), call("open", id=0)
ANSWER = "<|channel|>final<|message|>Built in 1871【1†L4-L5】, and red【9†L1】.<|return|>"
VIEW = f"[1] Kap ({SITE}/a)\n**viewing lines [0 - 2] of 2**\n\nL0: \nL1: URL: {SITE}/a\nL2: In 1871."
TURN = [
    Message(Role.USER, "When?"),
    Message(Role.ASSISTANT, '{"id": 0}', channel=Channel.ANALYSIS, recipient="browser.open"),
    Message(Role.TOOL, VIEW, name="browser.open", channel=Channel.ANALYSIS),
    Message(Role.ASSISTANT, "In 1871【1†L2】. Red【2†L2】.", channel=Channel.FINAL),
]
LINKED = f"In 1871 ([kap.example]({SITE}/a)). Red【2†L2】 (unverified)."


class Coast:
    """A web of one page, whose author is hostile."""

    schemes = ("http", "https")

    async def search(self, query: str, topn: int) -> list[Hit]:
        return [Hit(f"{SITE}/light", f"The lighthouse{EVIL}", "At Kap.")]

    async def fetch(self, url: str) -> Document:
        if not url.startswith(SITE):
            raise BackendError("intranet.example leads to 10.0.0.1, which is in a private network.")
        page = f"# Kap\n\nThe lighthouse{EVIL}\nwas built in 1871.\n"
        return Document(url, "text/plain", None, page.encode())

    async def close(self) -> None: ...


async def test_cards_and_citations_on_the_screen(stage: StageMaker) -> None:
    tools = browser_tools(Coast(), Coast())
    async with stage(SEARCH, OPEN, ANSWER, tools=tools, context=10**6, size=(100, 60)) as s:
        await s.ready()
        await s.say("How old is it?")
        await s.until_shown("tokens/s")
        await s.until_shown("browser.search  finished")
        assert "browser.open  finished" in s.screen
        assert "Built in 1871 kap.example L4–5, and red" in s.screen
        assert "unverified" in s.screen
        assert "\x1b" not in s.screen

        (answer,) = (m for m in s.app.screen.query(Markdown) if "1871" in m.source)
        for href in ("cite:1.4.5", "cite:9.1.1"):
            answer.post_message(Markdown.LinkClicked(answer, href))
        await s.until_shown("Unverified: no such page was opened.")
        assert f"{SITE}/light" in s.screen
        assert "was built in 1871." in s.screen


async def test_a_citation_can_be_clicked(stage: StageMaker) -> None:
    async with stage(SEARCH, OPEN, ANSWER, tools=browser_tools(Coast(), Coast()), context=10**6) as s:
        await s.ready()
        await s.say("How old is it?")
        await s.until_shown("kap.example L4–5")
        await s.until_shown("tokens/s")
        rows = s.screen.split("\n")
        row = next(number for number, line in enumerate(rows) if "kap.example L4–5" in line)
        await s.pilot.click(offset=(rows[row].index("kap.example L4–5") + 3, row))
        await s.until_shown(f"{SITE}/light")


async def test_a_refusal_is_seen_on_the_card(stage: StageMaker) -> None:
    intranet = call("open", id="http://intranet.example/")
    answer = "<|channel|>final<|message|>I cannot.<|return|>"
    async with stage(intranet, answer, tools=browser_tools(Coast(), Coast()), size=(120, 40)) as s:
        await s.ready()
        await s.say("Open http://intranet.example/ for me")
        await s.until_shown("browser.open  failed")
        assert "leads to 10.0.0.1, which is in" in s.screen
        assert s.app.screen.query_one(ToolCard).has_class("-failed")


async def test_a_conversation_taken_up_again_shows_its_citations(stage: StageMaker, tmp_path: Path) -> None:
    file = tmp_path / "kept.sqlite3"
    async with stage(
        SEARCH, OPEN, ANSWER, tools=browser_tools(Coast(), Coast()), context=10**6, store=Store(file)
    ) as s:
        await s.ready()
        await s.say("How old is it?")
        await s.until_shown("tokens/s")
    async with stage(store=Store(file), resume="") as s:
        await s.ready()
        await s.until_shown("kap.example L4–5")
        await s.until_shown("unverified")


async def test_documents_of_this_machine_on_the_screen(stage: StageMaker, tmp_path: Path) -> None:
    (tmp_path / "kap.md").write_text("# Kap\n\nThe lighthouse was built in 1871.\n")
    tools = open_browser(Settings(documents=tmp_path), estimate)
    answer = "<|channel|>final<|message|>In 1871【1†L4】.<|return|>"
    async with stage(SEARCH, OPEN, answer, tools=tools, context=10**6) as s:
        await s.ready()
        await s.say("How old is it?")
        await s.until_shown("browser.open  finished")
        await s.until_shown("In 1871 kap.md L4.")


async def test_a_composed_address_is_shown_before_it_is_opened(stage: StageMaker) -> None:
    composed = call("open", id=f"{SITE}/light?said=secret")
    answer = "<|channel|>final<|message|>Not then.<|return|>"
    async with stage(composed, answer, tools=browser_tools(Coast(), Coast()), size=(120, 40)) as s:
        await s.ready()
        await s.say("go")
        await s.until_shown("The model put this address together itself")
        assert f"{SITE}/light?said=secret" in s.screen
        await s.until(lambda: isinstance(s.app.focused, Button))
        await asyncio.sleep(GRACE_S + 0.1)
        await s.pilot.press("n")
        await s.until_shown("Not then.")


async def test_a_citation_reads_well_while_the_answer_streams(stage: StageMaker) -> None:
    rest = " and on" * 200  # some seconds, so that the end is far when the citation is on the screen
    scripts = (SEARCH, OPEN, f"<|channel|>final<|message|>Built in 1871【1†L4】, and so on{rest}.<|return|>")
    async with stage(*scripts, tools=browser_tools(Coast(), Coast()), context=10**6, pause=0.02) as s:
        await s.ready()
        await s.say("How old is it?")
        await s.until_shown("Built in 1871 kap.example L4, a")
        assert "tokens/s" not in s.screen and "cite:" not in s.screen


def test_a_click_says_all_there_is_to_a_citation() -> None:
    pages = pages_of(TURN)
    assert explanation("cite:1.2.2", pages) == f"Kap\n{SITE}/a\n\nIn 1871."
    assert explanation("cite:1.2.3", pages) == "Unverified: the page has no such lines."
    for href in ("https://kap.example/", "cite:", "cite:1.2", "cite:1.2.3.4", "cite:a.b.c"):
        assert explanation(href, pages) is None


def test_citations_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    said = TURN[-1].text
    told = [*cited(said, pages_of(TURN)), Completed(said, "", Usage(), Timings())]
    show = AsText()
    for event in told:
        show(event)
    assert capsys.readouterr().out == f"{LINKED}\n"
    for event in told:
        as_json(event)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "".join(line["delta"] for line in lines[:-1]) == said
    (holds, not_) = (line for line in lines if line.get("first"))
    assert holds["type"] == "response.output_text.delta"
    assert (holds["url"], holds["title"], holds["quote"]) == (f"{SITE}/a", "Kap", "In 1871.")
    assert not_["unverified"] == "no such page was opened"


def test_an_export_links_to_the_pages() -> None:
    session = StoredSession("s1", "m", "2026-01-02", "", tuple(TURN))
    assert as_markdown(session, TURN).endswith(f"\n\n{LINKED}\n")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://KAP.example/a", "https://KAP.example/a"),
        ("https://аpple.example/", "https://аpple.example/ (that is xn--pple-43d.example)"),  # Cyrillic а
        ("https://good.example@bad.example/", "https://good.example@bad.example/ (that is bad.example)"),
        ("https://kap.example:8080", "https://kap.example:8080"),
        ("mailto:x@y.example", "mailto:x@y.example"),
        (f"https://x.example/{EVIL}", "https://x.example/␛]52;c;aGk=␇"),
    ],
)
def test_a_link_says_where_it_leads(url: str, shown: str) -> None:
    assert address(url) == shown


@pytest.mark.parametrize("option", ["--documents=.", "--search=exa", "--allow-hosts=wiki.local"])
def test_options_for_a_browser_that_is_off_are_told(
    option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main([option, "-p", "Hello"]) == 2
    assert (
        f"{option.partition('=')[0]} is for the browser, which is off: add --tools" in capsys.readouterr().err
    )


def test_citations_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show = AsText()
    show(OutputDelta("a"))
    show(Cited("【1†L2】", 2, 2, f"https://x.example/{EVIL}", f"t{EVIL}", EVIL))
    show(Cited("【1†L2】", 2, 2, "doc:///x", f"t{EVIL}", EVIL))
    assert not {"\x1b", "\x07"} & set(capsys.readouterr().out)
