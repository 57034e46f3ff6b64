"""Streaming Markdown: what grows block by block must end as what is rendered at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Markdown

from gptoss_tui.tui.widgets.blocks import cut
from gptoss_tui.tui.widgets.dialect import parser
from gptoss_tui.tui.widgets.plain_text import PlainText
from gptoss_tui.tui.widgets.prose import Prose

DOCUMENTS = {
    "paragraphs": "One\ntwo `code`.\n\nThree **bold**.\n\n\nFour.",
    "list": "1. one\n2. two\n   - inner\n   - inner two\n\n   more of two\n3. three\n\nAfter.",
    "loose list": "- a\n\n- b\n\n  - c\n\n- d\n\ntext",
    "two lists": "- a\n- b\n* c\n* d\n1. e\n",
    "fence": "Before\n```python\ndef f():\n\n    return 1\n```\nAfter\n\n~~~\nopen",
    "table": "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nAfter",
    "headings": "Title\n=====\n\n# One\ntext\n## Two\n---\nSetext\n---\n",
    "quote": "> a\n> b\nlazy\n\n> c\n\nd",
    "html": "<div>\nx\n</div>\n\nList<String> <br> &amp; <!-- no -->",
    "definition below": "See [here][x] and [there].\n\n- a [x]\n- b\n\n[x]: https://a.org\n[there]: /y\n",
    "formulas": "so \\(a\n- b\\) is\n\n\\[\n= x\n\n- y\n\\]\n- i\n- $$\n  - z\n  $$\n\n\\begin{x}\n# cut off",
    "indented code": "a\n\n    code\n\n    more\n\nb\n- i\n\n      code in item\n",
}
MARKS = ["\\(", "\\)", "\\[", "\\]", "$$", "$", "\\begin{x}", "\\end{x}", "\n$$\n"]
PIECES = st.lists(
    st.sampled_from(["a", "- b", "\n", "\n\n", "  ", "1. ", "> ", "```", "|x|", "|-|", "# ", "    ", *MARKS])
)


class Page(App[None]):
    CSS = "Prose, PlainText, PlainText Static { height: auto; }"

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Prose()
            yield Markdown(parser_factory=parser)


def blocks(widget: Prose | Markdown) -> list[tuple[str, str]]:
    """Every block below `widget` with its text."""
    found = [
        node for node in widget.walk_children() if type(node).__name__ not in ("GrowingMarkdown", "PlainText")
    ]
    return [(node.name or type(node).__name__, str(getattr(node, "_content", ""))) for node in found]


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("step", [1, 7, 1000])
async def test_streamed_is_as_rendered_at_once(name: str, step: int) -> None:
    text = DOCUMENTS[name]
    async with Page().run_test() as pilot:
        prose, whole = pilot.app.query_one(Prose), pilot.app.query_one("VerticalScroll > Markdown", Markdown)
        for start in range(0, len(text), step):
            prose.write(text[start : start + step])
            await prose.flush()
        await prose.finish()
        await whole.update(text)
        assert blocks(prose) == blocks(whole)


async def test_what_is_too_large_is_shown_as_its_source() -> None:
    async with Page().run_test() as pilot:
        prose = pilot.app.query_one(Prose)
        prose.write("word\n\n" * 5_000)
        await prose.flush()
        await prose.finish()
        await pilot.pause()
        assert len(prose.walk_children()) < 1_200
        assert prose.size.height > 9_900


async def test_plain_text_keeps_every_character_and_few_widgets() -> None:
    text = "".join(f"line {number}\n" for number in range(20_000)) + "x" * 50_000
    async with Page().run_test() as pilot:
        plain = pilot.app.query_one(PlainText)
        plain.display = True
        for end in (10, 5_000, 5_001, len(text)):
            plain.show(text[:end])
            await pilot.pause()
        assert len(plain.children) < len(text) / 800
        shown = [str(child.render()) for child in plain.children]
        assert "".join(shown).replace("\n", "") == text.replace("\n", "")


def growing(text: str) -> Iterator[str]:
    for end in range(len(text) + 1):
        yield text[:end]


@settings(max_examples=60)
@given(PIECES)
def test_what_is_settled_never_changes(pieces: list[str]) -> None:
    text = "".join(pieces)
    whole = parser().parse(text)
    boundaries = {token.map[0] for token in whole if token.level == 0 and token.map}
    for shown in growing(text):
        found = cut(shown, inside_lists=False)
        line = shown[: found.closed].count("\n")
        assert found.closed == 0 or line in boundaries, (shown, found)
