"""The Hub layout: a checkpoint's files as transformers writes them. No other room knows their names.

The readers of the files are imported when first used: the screen only has to know that a checkpoint exists.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from errno import ENOMEM
from functools import cached_property
from mmap import ACCESS_READ, MADV_DONTNEED, mmap
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from gptoss_tui.model.checkpoint.files import read_file
from gptoss_tui.model.errors import CheckpointError

if TYPE_CHECKING:
    import tiktoken
    from numpy.typing import NDArray

    from gptoss_tui.model.checkpoint.checkpoint import StoredTensor
    from gptoss_tui.model.config import ModelConfig

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
WEIGHTS = "model.safetensors"

_DENSE = ("BF16", "F32")
_WIDTHS = {"BF16": 2, "F32": 4, "U8": 1}
_PIECE = 8 << 20  # bytes that are asked for at once
_SAMPLES, _SAMPLE = 64, 4096  # places of a shard that `identity` looks at, and bytes at each


class HubCheckpoint:
    """The checkpoint in `folder`: see `Checkpoint`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._maps: dict[Path, mmap] = {}

    @cached_property
    def config(self) -> ModelConfig:
        """config.json."""
        from gptoss_tui.model.checkpoint.config_json import read_config

        return read_config(self.path / CONFIG)

    @cached_property
    def longest_answer(self) -> int | None:
        """`max_new_tokens` of generation_config.json, an optional file that nothing else depends on.

        Stop tokens are never taken from it (early downloads of gpt-oss lack one), and the person sets the
        sampling.
        """
        try:
            stated = json.loads(read_file(self.path / GENERATION_CONFIG, 1 << 20, "generation configuration"))
            limit = stated.get("max_new_tokens")
        except (CheckpointError, ValueError, RecursionError, AttributeError):
            return None
        return limit if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0 else None

    @cached_property
    def identity(self) -> str:
        """A digest of the configuration, and of each shard: its tensors, size, time, and samples of it.

        The time of the last change alone does not suffice, since some installers set it to one value for all
        files; so 64 samples of each shard count too, and training changes all of them. A copy with another
        time has another identity, which costs a prefill but never gives a wrong number.
        """
        digest = hashlib.sha256(json.dumps(asdict(self.config), sort_keys=True).encode())
        described = sorted((name, tensor.dtype, tensor.shape) for name, tensor in self._stored.items())
        digest.update(json.dumps(described).encode())
        try:
            for file in sorted({tensor.file for tensor in self._stored.values()}):
                status = file.stat()
                digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
                with file.open("rb") as shard:
                    for place in range(_SAMPLES):
                        shard.seek(max(0, status.st_size - _SAMPLE) * place // (_SAMPLES - 1))
                        digest.update(shard.read(_SAMPLE))
        except OSError as error:
            raise CheckpointError(f"{error.filename}: cannot be read ({error.strerror}).") from None
        return digest.hexdigest()

    def tokenizer(self) -> tiktoken.Encoding:
        """tokenizer.json."""
        from gptoss_tui.model.checkpoint.tokenizer_json import read_tokenizer

        return read_tokenizer(self.path / TOKENIZER, self.config.vocab_size)

    def tensors(self, network: Mapping[str, tuple[int, ...]]) -> dict[str, StoredTensor]:
        """Compare the headers of the shards with `network`, which config.json describes."""
        if any(name.endswith(("experts.gate_up_proj", "experts.down_proj")) for name in self._stored):
            raise CheckpointError(
                f"{self.path}: its experts were saved dequantised (bfloat16), "
                "and gptoss-chat runs MXFP4 experts.\n"
                "Use the checkpoint with *_blocks and *_scales tensors, or quantise this one to MXFP4."
            )
        for name, shape in network.items():
            dtypes = ("U8",) if name.endswith(("_blocks", "_scales")) else _DENSE
            self._check(_stored_name(name), shape, dtypes)
        return {name: self._stored[_stored_name(name)] for name in network}

    def read(self, tensors: Mapping[str, StoredTensor]) -> Iterator[tuple[str, NDArray[Any]]]:
        """Each shard is mapped once."""
        import numpy as np

        dtypes = {"BF16": np.uint16, "F32": np.float32, "U8": np.uint8}
        done, total = 0, sum(tensor.nbytes for tensor in tensors.values())
        for name, tensor in tensors.items():
            try:
                shard = self._map(tensor.file)
            except OSError as error:
                limited = error.errno == ENOMEM
                mend = "Raise this process's limit on memory (ulimit -v)." if limited else "Fetch it again."
                loaded = f"{100 * done // total} % loaded ({error.strerror})"
                raise CheckpointError(f"{tensor.file}: cannot be read, {loaded}.\n{mend}") from None
            values = np.frombuffer(shard, dtypes[tensor.dtype], math.prod(tensor.shape), tensor.start)
            yield name, np.require(values.reshape(tensor.shape), requirements="A")
            done += tensor.nbytes

    def release(self) -> None:
        """Unmap all pages, which are never changed."""
        for shard in self._maps.values():
            shard.madvise(MADV_DONTNEED)

    def read_ahead(self, tensors: Iterable[StoredTensor]) -> None:
        """A piece at a time, so that who needs another place does not wait for all of it."""
        with suppress(RuntimeError):  # no room for a thread: then it is read when it is needed
            Thread(target=_read_through, args=(list(tensors),), daemon=True).start()

    def _map(self, file: Path) -> mmap:
        if file not in self._maps:
            with file.open("rb") as shard:
                self._maps[file] = mmap(shard.fileno(), 0, access=ACCESS_READ)
        return self._maps[file]

    @cached_property
    def _stored(self) -> dict[str, StoredTensor]:
        from gptoss_tui.model.checkpoint.shards import read_shards

        return read_shards(self.path)

    def _check(self, name: str, shape: tuple[int, ...], dtypes: tuple[str, ...]) -> None:
        found = self._stored.get(name)
        if found is None:
            raise CheckpointError(f"{self.path}: tensor {name} is missing, {CONFIG} expects it.")
        if found.shape != shape:
            raise CheckpointError(
                f"{found.file}: tensor {name} has shape {list(found.shape)}, "
                f"{CONFIG} expects {list(shape)}.\nFetch {CONFIG} and weights from one source."
            )
        if found.dtype not in dtypes:
            raise CheckpointError(
                f"{found.file}: tensor {name} is {found.dtype}, not {' or '.join(dtypes)}.\n"
                "Use the checkpoint as released: experts in MXFP4, the rest in bfloat16."
            )
        if found.nbytes != math.prod(shape) * _WIDTHS[found.dtype]:
            raise CheckpointError(
                f"{found.file}: tensor {name} has {found.nbytes:,} bytes, not those of its shape and dtype.\n"
                "The file is damaged; fetch it again."
            )


def _read_through(tensors: Sequence[StoredTensor]) -> None:
    """Have each piece read, and wait for its last byte. What is in the cache costs next to nothing."""
    with suppress(OSError):  # who needs a page will be told
        for tensor in tensors:
            with tensor.file.open("rb") as shard:
                number, end = shard.fileno(), tensor.start + tensor.nbytes
                for start in range(tensor.start, end, _PIECE):
                    if hasattr(os, "posix_fadvise"):
                        os.posix_fadvise(number, start, _PIECE, os.POSIX_FADV_WILLNEED)
                    os.pread(number, 1, min(start + _PIECE, end) - 1)


def _stored_name(name: str) -> str:
    """The checkpoint's name for a weight of the Transformer."""
    return name if name.startswith("lm_head.") else f"model.{name}"
