"""docs/harmony.md matches the code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import tiktoken

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = (DOCS / "harmony.md").read_text("utf-8")


@pytest.fixture(scope="module")
def drawer() -> ModuleType:
    """The script that draws the token streams."""
    spec = importlib.util.spec_from_file_location("draw_token_streams", DOCS / "draw_token_streams.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_token_streams_are_those_of_today(drawer: ModuleType, o200k: tiktoken.Encoding) -> None:
    pictures = drawer.drawings(o200k)
    assert sorted(re.findall(r"<!-- drawn: ([\w-]+) -->", DOCUMENT)) == sorted(pictures)
    assert drawer.drawn(DOCUMENT, pictures) == DOCUMENT, "draw them anew: make token-streams"


@pytest.mark.parametrize(
    ("drawing", "ids"),
    [
        # docs/format.md of openai/harmony has the first and the last, its library renders the call so.
        ("prompt", "200006 1428 200008 4827 382 220 17 659 220 17 30 200007 200006 173781"),
        (
            "function-call",
            "200006 173781 316 28 44580 775 170154 200005 12606 815 220 200003 4108 200008 "
            "10848 17500 7534 15097 746 18583 200012",
        ),
        ("completion", "200006 173781 200005 17196 200008 17 659 220 17 314 220 19 13 200002"),
    ],
)
def test_the_ids_are_the_published_ones(drawing: str, ids: str) -> None:
    (block,) = re.findall(rf"<!-- drawn: {drawing} -->\n```text\n(.*?)```", DOCUMENT, re.DOTALL)
    rows = [line for line in block.splitlines() if line.startswith("  ")]
    shown = " ".join(" ".join(row.split()) for row in rows[1::2])
    assert ids in shown


def test_its_links_to_itself_and_to_files_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in DOCUMENT.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", DOCUMENT)) <= headings
    for name in re.findall(r"`((?:gptoss_tui|docs)/[\w/.]+)`", DOCUMENT):
        assert (DOCS.parent / name).exists(), name
