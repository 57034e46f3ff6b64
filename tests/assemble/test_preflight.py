"""The check of the settings before the screen is taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gptoss_tui.assemble.preflight import preflight
from gptoss_tui.model.demo import checkpoint_path
from gptoss_tui.settings import read_settings


def test_nothing_speaks_against_the_defaults() -> None:
    assert preflight(read_settings({}, {})) == ""


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"model": "gpt-oss-2b"}, "gpt-oss-2b: no such model or folder"),
        ({"tools": "browser", "documents": "/nowhere/at/all"}, "/nowhere/at/all: there is no such folder"),
        ({"reasoning_filter": "/nowhere/look.py:look"}, "there is no such file with a reasoning filter"),
        ({"reasoning_filter": "{folder}/look.py"}, "name the function as well, as in"),
        ({"reasoning_filter": "{folder}/look.py:see"}, "the reasoning filter see is not in this file"),
        ({"reasoning_filter": "/nowhere/judge"}, "neither FILE.py:FUNCTION nor a checkpoint"),
    ],
)
def test_what_cannot_work_is_told(tmp_path: Path, chosen: dict[str, str], reason: str) -> None:
    (tmp_path / "look.py").write_text("def look(text): return text\n")
    chosen = {key: value.format(folder=tmp_path) for key, value in chosen.items()}
    assert reason in preflight(read_settings(chosen, {}))


def test_the_filter_that_is_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "look.py").write_text("def look(text): return text\n")
    for named in (f"{tmp_path}/look.py:look", str(checkpoint_path())):
        assert preflight(read_settings({"reasoning_filter": named}, {})) == ""


def test_asking_imports_neither_tokenizer_nor_weights() -> None:
    code = """
import sys
from gptoss_tui.assemble.preflight import preflight
from gptoss_tui.settings import read_settings
assert preflight(read_settings({}, {})) == ""
assert not {"torch", "numpy", "safetensors", "tiktoken", "gptoss_tui.agent.session"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)
