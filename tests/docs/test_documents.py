"""The documents show what the code does today, and their links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from gptoss_tui.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.fixture(scope="module")
def drawer() -> ModuleType:
    """The script that draws the page of limits."""
    spec = importlib.util.spec_from_file_location("draw_limits", ROOT / "docs" / "draw_limits.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_limits_are_those_of_today(drawer: ModuleType) -> None:
    assert (ROOT / "docs" / "limits.md").read_text("utf-8") == drawer.drawn(), "draw them anew: make limits"


def test_the_settings_that_move_a_limit_are_settings(drawer: ModuleType) -> None:
    named = {
        name
        for limits in drawer.groups().values()
        for limit in limits
        for name in re.findall(r"`(\w+)`", limit.setting)
    }
    assert "max_tool_calls" in named
    assert named <= {field.name for field in fields(Settings)} | {"startup_timeout_sec"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = _without_code(document)
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, heading = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        if heading:
            assert heading in _headings(target), link


def test_the_tests_that_hold_a_promise_are_there() -> None:
    promised = re.findall(
        r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text("utf-8")
    )
    assert len(promised) > 20
    for file, name in promised:
        assert f"def {name}(" in (ROOT / file).read_text("utf-8"), f"{file}::{name}"


def _without_code(document: Path) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]+`", "", document.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def _headings(document: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    lines = document.read_text("utf-8").splitlines()
    return {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in lines
        if line.startswith("#")
    }
