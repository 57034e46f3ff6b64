"""`gptoss-chat bench` measures the real engine, on the demo model and on tiny random networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gptoss_tui.cli.main import main
from gptoss_tui.model import load_model
from gptoss_tui.model.demo import checkpoint_path

Run = Callable[..., tuple[int, str, str]]

QUICK = ("--prompt", "20", "--steps", "3", "--rounds", "2")
RATES = ("prefill_tokens_per_s", "decode_tokens_per_s", "first_token_s", "first_token_again_s")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A function `(*arguments) -> (exit status, stdout, stderr)`."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(("bench", *arguments))
        except SystemExit as error:
            assert isinstance(error.code, int)
            status = error.code
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def without_tokenizer(tmp_path: Path, tiny_checkpoint: Callable[..., Path]) -> Path:
    """A checkpoint of 600 tokens of context, as whoever has only weights has it."""
    folder = tiny_checkpoint(tmp_path / "tiny", max_position_embeddings=600)
    (folder / "tokenizer.json").unlink()
    return folder


def test_one_object_with_every_figure(run: Run) -> None:
    status, out, err = run("--json", "--threads", "1", *QUICK)
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert report["model"] == "demo"
    assert (report["prompt"], report["steps"], report["rounds"], report["threads"]) == (20, 3, 2, 1)
    for name in (*RATES, "load_s", "read_gb_per_s", "peak_memory_gb"):
        assert report[name] > 0, name
    network = load_model(checkpoint_path(), dtype="float32")
    widths = network.kernels.dense_bytes, network.kernels.unembedding_bytes
    assert set(widths) <= ({4} if network.backend == "plain" else {1.5, 2})
    assert report["read_gb_per_token"] == network.config.read_for_token(*widths) / 1e9
    (measured,) = report["measured"]
    for name in RATES:
        assert len(measured[name]) == (4 if name == "decode_tokens_per_s" else 2)
        assert min(measured[name]) <= report[name] <= max(measured[name])


def test_a_row_for_each_prompt_that_the_context_holds(run: Run, without_tokenizer: Path) -> None:
    status, out, err = run("-m", str(without_tokenizer), "--steps", "2", "--rounds", "1")
    assert (status, err) == (0, "")
    assert str(without_tokenizer) in out
    rows = [line.split() for line in out.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["128", "512"]
    assert all(len(row) == 5 for row in rows)
    assert "GB of weights" in out


@pytest.mark.parametrize("option", ["--prompt", "--steps", "--rounds"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "9" * 5000])
def test_a_wrong_number_is_wrong_usage(run: Run, option: str, value: str) -> None:
    status, out, err = run(option, value)
    assert (status, out) == (2, "")
    assert option in err and len(err) < 200 and err.count("\n") == 1


def test_settings_are_checked(run: Run) -> None:
    assert run("--threads", "0")[0] == 2
    assert run("--device", "abacus")[0] == 2


def test_what_does_not_fit_into_the_context(run: Run, without_tokenizer: Path) -> None:
    for numbers in (("--prompt", "600"), ("--steps", "599"), ("--prompt", "500", "--context", "400")):
        status, out, err = run("-m", str(without_tokenizer), *numbers)
        assert (status, out) == (1, "")
        assert "context" in err and err.count("\n") == 1


def test_a_model_that_is_not_there(run: Run, without_tokenizer: Path) -> None:
    (without_tokenizer / "model.safetensors").unlink()
    for model in ("/no/such", "gpt-oss-120b", str(without_tokenizer)):
        status, out, err = run("-m", model, "--json")
        assert (status, out) == (1, "")
        assert model in err and err.count("\n") == 1
