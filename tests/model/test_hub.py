"""A checkpoint in the Hub layout: the bound of its answers, and its identity."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gptoss_tui.model.checkpoint import checkpoint_at, open_checkpoint

CheckpointWriter = Callable[..., Path]


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
    assert checkpoint_at(tmp_path).longest_answer == limit


def test_the_file_is_optional(tmp_path: Path) -> None:
    assert checkpoint_at(tmp_path).longest_answer is None


def test_the_demo_model_is_bounded() -> None:
    assert open_checkpoint("demo").longest_answer == 320


def test_the_configuration_is_read_once(tmp_path: Path, tiny_checkpoint: CheckpointWriter) -> None:
    checkpoint = checkpoint_at(tiny_checkpoint(tmp_path / "tiny"))
    config = checkpoint.config
    (tmp_path / "tiny" / "config.json").unlink()
    assert checkpoint.config is config
    assert checkpoint.tokenizer().n_vocab == config.vocab_size


# The identity


def identity(folder: Path) -> str:
    return checkpoint_at(folder).identity


def as_old_as(file: Path, other: Path) -> None:
    """Give `file` the time of `other`, like an installer that sets one time for all files."""
    status = other.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def tiny(tmp_path: Path, tiny_checkpoint: CheckpointWriter) -> Path:
    return tiny_checkpoint(tmp_path / "tiny")


def test_name_and_place_are_no_part_of_the_identity(tiny: Path) -> None:
    before = identity(tiny)
    assert len(before) == 64
    linked = tiny.parent / "linked"
    linked.symlink_to(tiny)
    kept = shutil.copytree(tiny, tiny.parent / "kept")  # with its times
    assert identity(linked) == identity(kept) == identity(tiny.rename(tiny.parent / "moved")) == before


def test_other_weights_of_the_same_size_and_time_are_another_checkpoint(
    tiny: Path, tiny_checkpoint: CheckpointWriter
) -> None:
    trained = tiny_checkpoint(tiny.parent / "trained", seed=1)
    weights, others = tiny / "model.safetensors", trained / "model.safetensors"
    as_old_as(others, weights)
    assert weights.stat().st_size == others.stat().st_size
    assert identity(trained) != identity(tiny)


def test_a_change_of_a_single_weight_shows_by_its_time(tiny: Path) -> None:
    before = identity(tiny)
    with (tiny / "model.safetensors").open("r+b") as file:
        file.seek(-5000, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    assert identity(tiny) != before


def test_only_what_the_numbers_depend_on_counts(tiny: Path) -> None:
    before, file = identity(tiny), tiny / "config.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps(values | {"eos_token_id": 7}, indent=3))
    (tiny / "tokenizer.json").write_text("{}")
    (tiny / "generation_config.json").write_text('{"max_new_tokens": 9}')
    assert identity(tiny) == before
    file.write_text(json.dumps(values | {"rope_theta": 10_000}))
    assert identity(tiny) != before


def test_the_identity_is_the_same_in_every_process_and_needs_no_torch(tiny: Path) -> None:
    code = (
        "import sys; from gptoss_tui.model.checkpoint import checkpoint_at\n"
        f"print(checkpoint_at({str(tiny)!r}).identity)\n"
        "assert not {'torch', 'numpy', 'safetensors', 'tiktoken'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == identity(tiny)
