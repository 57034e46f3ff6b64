"""open_checkpoint: from a person's name or path for a checkpoint to the Checkpoint. Free of torch."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from gptoss_tui.model import demo
from gptoss_tui.model.checkpoint.checkpoint import Checkpoint
from gptoss_tui.model.checkpoint.hub import CONFIG, HubCheckpoint
from gptoss_tui.model.errors import CheckpointError

DEMO = "demo"
RELEASED = ("gpt-oss-20b", "gpt-oss-120b")


def open_checkpoint(name_or_path: str) -> Checkpoint:
    """The checkpoint called "demo", a released model by name, or one by path. Raises CheckpointError.

    A released model is looked for in the data folder of gptoss-chat, then in the Hugging Face cache. The
    checkpoint exists, but none of it has been read.
    """
    if name_or_path == DEMO:
        return checkpoint_at(demo.checkpoint_path())
    name = name_or_path.removeprefix("openai/")
    if name in RELEASED:
        return checkpoint_at(_released(name))
    try:
        return checkpoint_at(_given(Path(name_or_path).expanduser()))
    except (OSError, RuntimeError) as error:  # RuntimeError: the home of an unknown user
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"{name_or_path}: cannot be looked at ({reason}).") from None


def checkpoint_at(path: str | Path) -> Checkpoint:
    """The checkpoint at `path`, in its layout; faults in it appear when it is read."""
    return HubCheckpoint(Path(path))


def _given(folder: Path) -> Path:
    if not folder.exists():
        raise CheckpointError(
            f"{folder}: no such model or folder. Known: {', '.join((DEMO, *RELEASED))}.\n"
            "Or name a folder that holds config.json, tokenizer.json and *.safetensors."
        )
    if not folder.is_dir():
        raise CheckpointError(_refusal(folder))
    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"{folder}: holds no config.json.\n"
            "Name a folder that holds config.json, tokenizer.json and *.safetensors."
        )
    return folder


def _released(name: str) -> Path:
    home = platformdirs.user_data_path("gptoss-chat") / "models" / name
    for folder in (home, *_hub_snapshots(name)):
        if (folder / CONFIG).is_file():
            return folder
    raise CheckpointError(
        f"{name}: not on this machine. Put its config.json, tokenizer.json and *.safetensors into\n"
        f"{home}\nor name the folder that holds them."
    )


def _hub_snapshots(name: str) -> list[Path]:
    """Snapshots in the Hugging Face cache: the one that `main` points at, then the others, newest first."""
    hub = os.environ.get("HF_HUB_CACHE")
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    model = (Path(hub) if hub else Path(home) / "hub").expanduser() / f"models--openai--{name}"
    try:
        found = sorted(
            (model / "snapshots").iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True
        )
        main = (model / "refs" / "main").read_text().strip()
    except OSError:
        return []
    return sorted(found, key=lambda folder: folder.name != main)


def _refusal(file: Path) -> str:
    """The reason why a file is not a checkpoint, and what to name instead."""
    match file.suffix:
        case ".safetensors" | ".json":
            return f"{file}: one file of a checkpoint. Name its folder, {file.parent}."
        case ".bin" | ".pt" | ".pth" | ".pkl" | ".ckpt":
            return f"{file}: pickle files can run code when opened. Use a checkpoint in safetensors."
        case ".gguf":
            return (
                f"{file}: GGUF files are not supported. Use the checkpoint in the Hub layout (safetensors)."
            )
        case _:
            return f"{file}: not a folder. Name one that holds config.json, tokenizer.json and *.safetensors."
