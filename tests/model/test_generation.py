"""What is read of generation_config.json, and what is not believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptoss_tui.model.checkpoint.generation import longest_answer
from gptoss_tui.model.demo import checkpoint_path


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        ('{"max_new_tokens": 320}', 320),
        ("{}", None),
        ('{"max_new_tokens": null}', None),
        ('{"max_new_tokens": -1}', None),
        ('{"max_new_tokens": true}', None),
        ('{"max_new_tokens": "many"}', None),
        ("[1]", None),
        ("not json", None),
    ],
)
def test_only_a_sensible_limit_counts(tmp_path: Path, content: str, limit: int | None) -> None:
    (tmp_path / "generation_config.json").write_text(content)
    assert longest_answer(tmp_path) == limit


def test_the_file_is_optional(tmp_path: Path) -> None:
    assert longest_answer(tmp_path) is None


def test_the_demo_model_is_bounded() -> None:
    assert longest_answer(checkpoint_path()) == 320
