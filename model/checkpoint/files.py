"""The files of a checkpoint, as they come from anywhere: bounded, and of an ordinary kind."""

from __future__ import annotations

import stat
from pathlib import Path

from gptoss_tui.model.errors import CheckpointError


def size_of(file: Path) -> int:
    """The bytes of an ordinary file. Raises CheckpointError.

    A pipe or a device in the place of a file would be waited for without end.
    """
    try:
        status = file.stat()
    except FileNotFoundError:
        raise CheckpointError(
            f"{file}: no such file.\nA checkpoint folder holds config.json, tokenizer.json and *.safetensors."
        ) from None
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}).") from None
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{file}: not an ordinary file. Fetch it again.")
    return status.st_size


def read_file(file: Path, most: int, kind: str) -> bytes:
    """The content of a file of this `kind`. Raises CheckpointError if it is larger than `most` bytes."""
    if size_of(file) > most:
        raise CheckpointError(f"{file}: larger than {most >> 20} MB, which no {kind} is. Fetch it again.")
    try:
        return file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}).") from None
