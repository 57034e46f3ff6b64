"""open_checkpoint: from a person's name or path for a checkpoint to the Checkpoint. Free of torch."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import platformdirs

from gptoss_tui.model import demo
from gptoss_tui.model.checkpoint.checkpoint import Checkpoint
from gptoss_tui.model.checkpoint.foreign import foreign_file, foreign_folder
from gptoss_tui.model.checkpoint.hub import CONFIG, HubCheckpoint
from gptoss_tui.model.errors import CheckpointError

DEMO = "demo"
RELEASED = ("gpt-oss-20b", "gpt-oss-120b", "gpt-oss-safeguard-20b", "gpt-oss-safeguard-120b")
_OWNER = "openai"


def open_checkpoint(name_or_path: str) -> Checkpoint:
    """The checkpoint called "demo", a model by its name on the Hub, or one by path. Raises CheckpointError.

    A released model is looked for in the data folder of gptoss-chat, then in the Hugging Face cache, and
    OWNER/NAME, where no such path exists, in that cache. The checkpoint exists, but none of it has been read.
    """
    if name_or_path == DEMO:
        return checkpoint_at(demo.checkpoint_path())
    name = name_or_path.removeprefix(f"{_OWNER}/")
    if name in RELEASED:
        return checkpoint_at(_released(name))
    try:
        path = Path(name_or_path).expanduser()
        if len(path.parts) == 2 and not path.is_absolute() and not path.exists():
            for folder in _hub_snapshots(*path.parts):
                return checkpoint_at(_given(folder))
        return checkpoint_at(_given(path))
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
        raise CheckpointError(f"{folder}: {foreign_file(folder)}")
    if not (folder / CONFIG).is_file():
        nothing = (
            "holds no config.json.\nName a folder that holds config.json, tokenizer.json and *.safetensors."
        )
        raise CheckpointError(f"{folder}: {foreign_folder(folder) or nothing}")
    return folder


def _released(name: str) -> Path:
    home = platformdirs.user_data_path("gptoss-chat") / "models" / name
    for folder in (home, *_hub_snapshots(_OWNER, name)):
        if (folder / CONFIG).is_file():
            return folder
    raise CheckpointError(
        f"{name}: not on this machine. Put its config.json, tokenizer.json and *.safetensors into\n"
        f"{home}\nor name the folder that holds them."
    )


def _hub_snapshots(owner: str, name: str) -> list[Path]:
    """Snapshots in the Hugging Face cache: the one that `main` points at, then the others, newest first."""
    hub = os.environ.get("HF_HUB_CACHE")
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    model = (Path(hub) if hub else Path(home) / "hub").expanduser() / f"models--{owner}--{name}"
    found, main = list[Path](), ""
    with suppress(OSError):
        found = sorted(
            (model / "snapshots").iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True
        )
        main = (model / "refs" / "main").read_text().strip()
    return sorted(found, key=lambda folder: folder.name != main)
