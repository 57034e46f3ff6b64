"""Bad input: one clear line on stderr that names the culprit, the right exit status, no traceback."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

Damage = Callable[[Path], object]


def told(finished: Any, status: int, *names: str) -> str:
    """The one line on stderr, after checking everything that is promised of it."""
    assert finished.returncode == status, finished.stderr
    assert finished.stdout == ""
    lines = finished.stderr.splitlines()
    assert len(lines) == 1, finished.stderr
    assert lines[0].startswith("gptoss-chat: ")
    for name in names:
        assert name in lines[0]
    return str(lines[0])


def edit_config(**changes: object) -> Damage:
    def damage(folder: Path) -> None:
        file = folder / "config.json"
        config = json.loads(file.read_text()) | changes
        file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))

    return damage


def edit_tensor(name: str, change: Callable[[Any], Any]) -> Damage:
    def damage(folder: Path) -> None:
        file = folder / "model.safetensors"
        tensors = load_file(file)
        tensors[name] = change(tensors[name])
        save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)

    return damage


def truncate(name: str, keep: float) -> Damage:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * keep)])

    return damage


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


DOWN = "model.layers.1.mlp.experts.down_proj_blocks"


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        pytest.param(remove("model.safetensors"), ["checkpoint", "safetensors"], id="no weights"),
        pytest.param(remove("config.json"), ["checkpoint", "config.json"], id="no config"),
        pytest.param(truncate("model.safetensors", 0.6), ["model.safetensors"], id="truncated weights"),
        pytest.param(truncate("tokenizer.json", 0.5), ["tokenizer.json"], id="truncated tokenizer"),
        pytest.param(edit_config(model_type="llama"), ["config.json", "llama"], id="another model"),
        pytest.param(edit_config(hidden_size=None), ["config.json", "hidden_size"], id="key missing"),
        pytest.param(
            edit_tensor(DOWN, lambda blocks: blocks[:, :1].contiguous()),
            ["model.safetensors", DOWN, "shape"],
            id="shape",
        ),
        pytest.param(
            edit_tensor("model.norm.weight", lambda weight: weight.half()),
            ["model.safetensors", "model.norm.weight", "F16"],
            id="dtype",
        ),
        pytest.param(edit_tensor("lm_head.weight", lambda _: None), ["lm_head.weight"], id="tensor missing"),
    ],
)
def test_damaged_checkpoint(
    damage: Damage, names: list[str], run: Any, tiny_checkpoint: Any, tmp_path: Path
) -> None:
    folder = tiny_checkpoint(tmp_path / "checkpoint")
    damage(folder)
    told(run("-p", "hi", "-m", str(folder), "--tools", "none"), 1, *names)


def test_unknown_model(run: Any) -> None:
    told(run("-p", "hi", "-m", "gpt-oss-7b"), 1, "gpt-oss-7b", "demo", "gpt-oss-20b")


def test_released_model_that_is_not_here(run: Any) -> None:
    told(run("-p", "hi", "-m", "gpt-oss-20b"), 1, "gpt-oss-20b", "config.json")


@pytest.mark.parametrize("arguments", [["-p", ""], ["-p", " \n"], []])
def test_empty_prompt(arguments: list[str], run: Any) -> None:
    told(run(*arguments, stdin=" \n"), 2, "prompt is empty")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (None, ["functions.py"]),
        ("def f(:\n", ["functions.py", "line 1"]),
        ("import there_is_no_such_module\n", ["functions.py", "there_is_no_such_module"]),
        ("1 / 0\n", ["functions.py", "division by zero"]),
        ("x = 1\n", ["functions.py"]),
    ],
)
def test_functions_that_cannot_be_loaded_are_told_and_the_question_is_answered(
    content: str | None, names: list[str], run: Any, tmp_path: Path
) -> None:
    file = tmp_path / "functions.py"
    if content is not None:
        file.write_text(content)
    finished = run("-p", "Hello!", "--functions", str(file), "--tools", "none", "--temperature", "0")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip()
    [line] = finished.stderr.splitlines()
    assert all(name in line for name in names)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--temprature", "1"], ["--temprature", "--help"]),
        (["-p", "hi", "--seed", "one"], ["--seed", "'one'", "whole number"]),
        (["-p", "hi", "--tools", "pyhton"], ["--tools", "pyhton", "python"]),
        (["-p", "hi", "--plain"], ["--plain"]),
        (["-p", "hi", "--instructions", "@gone.md"], ["gone.md", "No such file"]),
    ],
)
def test_wrong_usage(arguments: list[str], names: list[str], run: Any) -> None:
    told(run(*arguments), 2, *names)


def test_a_wrong_config_file_is_named(run: Any, tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text("temprature = 1\n")
    told(run("-p", "hi", GPTOSS_CHAT_CONFIG=str(config)), 2, str(config), "temprature", "temperature")


@pytest.mark.parametrize("redirected", ["stdout", "stderr"])
def test_the_screen_needs_a_terminal_on_both_streams(
    redirected: str, command: str, environment: Any, tmp_path: Path
) -> None:
    end, terminal = pty.openpty()
    with (tmp_path / "file").open("w+") as file:
        streams: dict[str, Any] = {"stdout": terminal, "stderr": terminal, redirected: file}
        status = subprocess.run(
            [command], stdin=terminal, **streams, env=environment, timeout=60, check=False
        ).returncode
        file.seek(0)
        told = file.read() + os.read(end, 4096).decode() if redirected == "stdout" else file.read()
    os.close(end)
    os.close(terminal)
    assert status == 2
    assert f"{redirected} is no terminal to draw on" in told
    assert "--plain" in told
