"""Answers as JSON: the installed command and the documented program, on the embedded model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

USAGE = (Path(__file__).parents[2] / "docs" / "usage.md").read_text().split("## Answers as JSON")[1]
CITY = json.loads(re.search(r"\$ cat city\.json\n(.*?\n)\$", USAGE, re.DOTALL)[1])  # type: ignore[index]
PROGRAM = re.search(r"```python\n(.*?)```", USAGE, re.DOTALL)[1]  # type: ignore[index]


@pytest.fixture
def city(tmp_path: Path) -> str:
    file = tmp_path / "city.json"
    file.write_text(json.dumps(CITY))
    return str(file)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_stdout_is_the_document_and_nothing_else(run: Any, city: str, seed: str, sandbox_notice: str) -> None:
    finished = run("-p", "Tell me of Oslo.", "--schema", city, "--seed", seed)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == sandbox_notice
    jsonschema.validate(json.loads(finished.stdout), CITY)


@pytest.mark.usefixtures("sandbox")
def test_reasoning_and_calls_stay_free(run: Any, city: str) -> None:
    finished = run("-p", "What is 417 * 38?", "--schema", city, "--json", "--seed", "1")
    assert finished.returncode == 0, finished.stderr
    events = [json.loads(line) for line in finished.stdout.splitlines()]
    by_type = {event["type"]: event for event in events}
    assert "15846" in by_type["response.tool_output"]["output"]
    completed = events[-1]
    assert completed["type"] == "response.completed"
    assert completed["reasoning_text"]
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == completed["output_text"]
    jsonschema.validate(json.loads(completed["output_text"]), CITY)


def test_a_conversation_goes_on_in_json(run: Any, city: str) -> None:
    assert run("-p", "My name is Ada.", "--seed", "1").returncode == 0
    finished = run("-p", "What is my name?", "--continue", "--schema", city, "--seed", "1")
    assert finished.returncode == 0, finished.stderr
    jsonschema.validate(json.loads(finished.stdout), CITY)


def test_an_answer_cut_at_the_limit_is_no_success(run: Any, city: str) -> None:
    finished = run("-p", "Tell me of Oslo.", "--schema", city, "--seed", "1", "--max-tokens", "20")
    assert finished.returncode == 1
    assert "--max-tokens" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "content", "names"),
    [
        (["-p", "hi"], None, ["No such file"]),
        (["-p", "hi"], "{", ["JSON"]),
        (
            ["-p", "hi", "--json"],
            '{"properties": {"a": {"not": {"type": "string"}}}}',
            ["properties", "not"],
        ),
        (["--plain"], '{"type": "sting"}', ["$.type", "sting"]),
        ([], '{"type": "sting"}', ["$.type", "sting"]),
    ],
)
def test_a_bad_schema_is_wrong_usage(
    run: Any, tmp_path: Path, arguments: list[str], content: str | None, names: list[str]
) -> None:
    """Told before the model is looked for, let alone loaded."""
    file = tmp_path / "schema.json"
    if content is not None:
        file.write_text(content)
    finished = run(*arguments, "--schema", str(file), "--model", "/nowhere")
    assert (finished.returncode, finished.stdout) == (2, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"gptoss-chat: {file}: ")
    for name in names:
        assert name in line


def test_the_documented_program(environment: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "city.json").write_text(json.dumps(CITY))
    (tmp_path / "oslo.py").write_text(PROGRAM)
    finished = subprocess.run(
        [sys.executable, "oslo.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    jsonschema.validate(json.loads(finished.stdout), CITY)
