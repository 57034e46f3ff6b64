"""The files of a Hub checkpoint: its index, and the header of each safetensors shard.

Only headers are read, so that every fault of the files is known before any weight is read. The format: eight
bytes of length (little-endian), that many of JSON, then data (github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gptoss_tui.model.checkpoint.checkpoint import StoredTensor
from gptoss_tui.model.checkpoint.files import read_file, size_of
from gptoss_tui.model.errors import CheckpointError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_LARGEST_HEADER = 16 << 20  # the 120b's headers are well under 1 MB
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_LOG = logging.getLogger(__name__)


def read_shards(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of the checkpoint in `folder` by name. Raises CheckpointError."""
    index = folder / INDEX
    try:
        if index.exists():
            return _indexed(folder, _weight_map(index))
        return _read_header(_lone_shard(folder))
    except OSError as error:
        raise CheckpointError(f"{error.filename or folder}: cannot be read ({error.strerror}).") from None


def _indexed(folder: Path, weight_map: Mapping[str, str]) -> dict[str, StoredTensor]:
    shards = sorted(set(weight_map.values()))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} of {len(shards)} shards are missing: {', '.join(missing)}.\n"
            "The download is incomplete; fetch them again."
        )
    stored: dict[str, StoredTensor] = {}
    for shard in shards:
        stored |= _read_header(folder / shard)
    for name, shard in weight_map.items():
        if name not in stored or stored[name].file.name != shard:
            raise CheckpointError(
                f"{folder / shard}: lacks tensor {name}, which {INDEX} places there.\nFetch both files again."
            )
    unnamed = stored.keys() - weight_map.keys()
    if unnamed:
        _LOG.warning("%s: %d tensors that the index does not name are ignored", folder, len(unnamed))
    return {name: stored[name] for name in weight_map}


def _weight_map(index: Path) -> dict[str, str]:
    try:
        content = read_file(index, _LARGEST_HEADER, "index")
        weight_map = json.loads(content, object_pairs_hook=_once)["weight_map"]
        named = [(str(name), str(shard)) for name, shard in weight_map.items()]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        raise CheckpointError(
            f"{index}: not a safetensors index (no weight_map in it). Fetch it again."
        ) from None
    for _, shard in named:
        if shard in ("", ".", "..") or any(character in shard for character in "/\\\0"):
            raise CheckpointError(
                f"{index}: shard name {shard!r} leaves the checkpoint folder.\n"
                "Such a file is not to be trusted; fetch it from its source."
            )
    return dict(named)


def _lone_shard(folder: Path) -> Path:
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1 or (folder / SINGLE) in found:
        return folder / SINGLE if (folder / SINGLE) in found else found[0]
    if found:
        raise CheckpointError(
            f"{folder / INDEX}: missing, with {len(found)} shards beside it. Fetch it as well."
        )
    if any(next(folder.glob(pattern), None) for pattern in _PICKLES):
        raise CheckpointError(
            f"{folder}: holds pickle files only, which can run code when opened.\n"
            "Use a checkpoint in safetensors."
        )
    raise CheckpointError(f"{folder}: holds no *.safetensors file. Fetch the weights into it.")


def _read_header(shard: Path) -> dict[str, StoredTensor]:
    size = size_of(shard)
    with shard.open("rb") as file:
        start = file.read(512)
        _refuse_other_files(shard, start)
        length = int.from_bytes(start[:8], "little")
        if size < 8 or not 2 <= length <= _LARGEST_HEADER:
            raise _damaged(shard, f"a header of {length:,} bytes cannot be" if size >= 8 else f"{size} bytes")
        if size < 8 + length:
            raise _damaged(shard, f"{size:,} bytes, shorter than its header of {length:,}")
        file.seek(8)
        text = file.read(length)
    try:
        tensors, end = _described(shard, json.loads(text, object_pairs_hook=_once), 8 + length)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        raise _damaged(shard, "its header is not valid") from None
    if size != 8 + length + end:
        raise _damaged(shard, f"{size:,} bytes, header promises {8 + length + end:,}")
    return tensors


def _described(shard: Path, header: dict[str, Any], data: int) -> tuple[dict[str, StoredTensor], int]:
    """The tensors of a header, and the end of their data, which must have no hole and no overlap.

    The data begin at the byte `data` of the file.
    """
    header.pop("__metadata__", None)
    tensors, spans = {}, []
    for name, entry in header.items():
        begin, end = map(int, entry["data_offsets"])
        shape = tuple(int(side) for side in entry["shape"])
        tensors[name] = StoredTensor(shard, name, str(entry["dtype"]), shape, data + begin, end - begin)
        spans.append((begin, end))
    position = 0
    for begin, end in sorted(spans):
        if begin != position or end < begin:
            raise ValueError("data offsets overlap or leave a hole")
        position = end
    return tensors, position


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises ValueError where it names a key twice, of which readers may take either."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("the same key twice")
    return values


def _refuse_other_files(shard: Path, start: bytes) -> None:
    """Name the other kinds of files that a failed download leaves in the place of a shard."""
    text = start.lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        kind = "a Git-LFS pointer"
    elif text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        kind = "a web page"
    elif start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        kind = "a pickle file, which can run code when opened"
    elif start.startswith(b"GGUF"):
        kind = "a GGUF file"
    else:
        return
    raise CheckpointError(f"{shard}: {kind}, not safetensors weights.\nFetch the real file.")


def _damaged(shard: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{shard}: {what}.\nThe file is damaged or not complete; fetch it again.")
