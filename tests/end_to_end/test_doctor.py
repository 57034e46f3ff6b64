"""`gptoss-chat doctor` tells what is so on this machine, and whether a conversation would work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from gptoss_tui.model.demo import checkpoint_path
from gptoss_tui.tools.sandbox import Confinement


def parameters() -> int:
    """The weights of the demo model: a byte of blocks holds two, and scales are none."""
    tensors = load_file(checkpoint_path() / "model.safetensors")
    return sum(
        tensor.numel() * (2 if name.endswith("_blocks") else 1)
        for name, tensor in tensors.items()
        if not name.endswith("_scales")
    )


def test_it_tells_what_works(run: Any, sandbox: Confinement) -> None:
    finished = run("doctor")
    assert (finished.returncode, finished.stderr) == (0, "")
    for said in (
        f"a {'bubblewrap' if sandbox.kind == 'bubblewrap' else 'reduced'} sandbox",
        "ready in",
        "workspace-write",
        f"{parameters():,} parameters",
        "fits",
        "tokens/s, from",
        "torch ",
        "CPU",
        "config.toml (not there",
        "sessions.sqlite3",
        "snapshots      at most 1,000 MB; ",
        "engine.log",
        "screen.log",
        "stdout is no terminal",
    ):
        assert said in finished.stdout
    assert "\x1b" not in finished.stdout


def test_what_cannot_run_has_no_speed(run: Any) -> None:
    assert "tokens/s" not in run("doctor", "--device", "cuda:99", GPTOSS_CHAT_TOOLS="none").stdout


@pytest.mark.usefixtures("with_landlock")
def test_it_tells_why_the_sandbox_is_a_lower_one_and_what_would_raise_it(run: Any) -> None:
    finished = run("doctor", PATH="/nowhere")
    assert finished.returncode == 0, finished.stderr
    assert "a reduced sandbox" in finished.stdout
    assert "would help: install bubblewrap and util-linux" in finished.stdout
    assert "leaves open" in finished.stdout


def test_python_that_is_off_is_a_failure_unless_it_was_turned_off(unconfinable: Any, run: Any) -> None:
    finished = unconfinable("doctor")
    assert finished.returncode == 1
    assert "the model has no Python" in finished.stderr
    assert "has none" in finished.stdout
    finished = run("doctor", GPTOSS_CHAT_TOOLS="none")
    assert finished.returncode == 0, finished.stderr
    assert "off (tools)" in finished.stdout


def test_a_container_that_cannot_be_had_is_told(run: Any) -> None:
    finished = run("doctor", GPTOSS_CHAT_CONTAINER="debian", PATH="/nowhere")
    assert "neither podman nor docker was found" in finished.stdout


@pytest.mark.parametrize("arguments", [("-m", "gpt-oss-120b"), ("-m", "/no/such"), ("--device", "cuda:99")])
def test_a_model_that_cannot_run_is_a_failure(run: Any, arguments: tuple[str, str]) -> None:
    finished = run("doctor", *arguments, GPTOSS_CHAT_TOOLS="none")
    assert finished.returncode == 1
    assert "the model cannot run" in finished.stderr
    assert arguments[1] in finished.stderr


def test_a_model_that_is_too_large_is_told_with_numbers(run: Any, tmp_path: Path) -> None:
    from gptoss_tui.model import demo

    config = (demo.checkpoint_path() / "config.json").read_text()
    large = config.replace('"num_hidden_layers"', '"num_hidden_layers": 99999, "was"')
    (tmp_path / "config.json").write_text(large)
    finished = run("doctor", "-m", str(tmp_path), GPTOSS_CHAT_TOOLS="none")
    assert finished.returncode == 1
    assert "the model cannot run" in finished.stderr


def test_a_wrong_setting_is_wrong_usage(run: Any) -> None:
    finished = run("doctor", GPTOSS_CHAT_SANDBOX="none")
    assert finished.returncode == 2
    assert "GPTOSS_CHAT_SANDBOX" in finished.stderr
