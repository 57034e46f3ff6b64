"""Names and paths from a person, and the folders that they lead to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gptoss_tui.model import demo
from gptoss_tui.model.checkpoint import open_checkpoint
from gptoss_tui.model.errors import CheckpointError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def checkpoint(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def refusal(name: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(name)
    message = str(caught.value)
    assert name.removeprefix("~") in message and message.count("\n") < 3
    return message


def test_the_embedded_model() -> None:
    assert open_checkpoint("demo").path == demo.checkpoint_path()


def test_a_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoint(home / "mine")
    monkeypatch.chdir(home)
    assert open_checkpoint(str(folder)).path == open_checkpoint("~/mine").path == folder
    assert open_checkpoint("mine").path.resolve() == folder.resolve()


@pytest.mark.parametrize("name", ["gpt-oss-20b", "openai/gpt-oss-20b"])
def test_a_released_model_in_the_data_folder(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    folder = checkpoint(home / "data/gptoss-chat/models/gpt-oss-20b")
    assert open_checkpoint(name).path == folder


def test_a_released_model_in_the_hugging_face_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = home / ".cache/huggingface/hub"
    for revision in ("aaaa", "bbbb", "cccc"):
        checkpoint(cache / "models--openai--gpt-oss-120b/snapshots" / revision)
    refs = cache / "models--openai--gpt-oss-120b/refs"
    refs.mkdir()
    (refs / "main").write_text("bbbb")
    assert open_checkpoint("gpt-oss-120b").path.name == "bbbb"
    cache.rename(home / "moved")
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "moved"))
    assert open_checkpoint("gpt-oss-120b").path.parent.parent.parent == home / "moved"


def test_a_released_model_that_is_not_here() -> None:
    message = refusal("gpt-oss-20b")
    assert "not on this machine" in message and "gptoss-chat/models/gpt-oss-20b" in message


def test_an_unknown_name_lists_what_is_known() -> None:
    message = refusal("gpt-oss-20")
    assert (
        "no such model or folder" in message
        and "demo, gpt-oss-20b, gpt-oss-120b, gpt-oss-safeguard-20b" in message
    )


def test_any_model_in_the_hugging_face_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = home / ".cache/huggingface/hub"
    for model in ("openai--gpt-oss-safeguard-20b", "somebody--gpt-oss-20b-tuned"):
        checkpoint(cache / f"models--{model}/snapshots/aaaa")
    for name in ("gpt-oss-safeguard-20b", "openai/gpt-oss-safeguard-20b", "somebody/gpt-oss-20b-tuned"):
        assert open_checkpoint(name).path.name == "aaaa"
    mine = checkpoint(home / "somebody/gpt-oss-20b-tuned")
    monkeypatch.chdir(home)
    assert open_checkpoint("somebody/gpt-oss-20b-tuned").path.resolve() == mine.resolve()
    assert "no such model or folder" in refusal("somebody/gpt-oss-20b-other")


def test_an_empty_folder(home: Path) -> None:
    (home / "empty").mkdir()
    assert "holds no config.json" in refusal(str(home / "empty"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.safetensors", "Name its folder"),
        ("model.pt", "can run code when opened"),
        ("model.gguf", "GGUF"),
        ("sha256-" + "0" * 64, "a blob of Ollama's, in GGUF"),
        ("model.onnx", "ONNX"),
        ("notes.txt", "not a folder"),
    ],
)
def test_a_file(home: Path, name: str, words: str) -> None:
    (home / name).write_bytes(b"GGUF\x03\0\0\0" if name.startswith("sha256") else b"")
    assert words in refusal(str(home / name))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("adapter_config.json", "a LoRA adapter"),
        ("gpt-oss-20b-MXFP4.gguf", "holds GGUF"),
        ("genai_config.json", "an ONNX model"),
        ("openvino_model.xml", "an OpenVINO model"),
        ("model.bin", "Metal"),
        ("blobs/sha256-0123", "Ollama's store"),
    ],
)
def test_a_folder_of_another_kind_is_called_by_its_name(home: Path, name: str, words: str) -> None:
    file = home / "other" / name
    file.parent.mkdir(parents=True)
    file.touch()
    assert words in refusal(str(home / "other"))


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x", "x" * 5000])
def test_a_path_that_the_system_refuses(name: str) -> None:
    assert "cannot be looked at" in refusal(name)


def test_finding_and_the_tokenizer_do_not_import_torch() -> None:
    rooms = "gptoss_tui.model.checkpoint, gptoss_tui.model.tokenizer"
    code = f"import sys, {rooms}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
