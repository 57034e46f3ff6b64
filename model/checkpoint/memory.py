"""The memory that a checkpoint needs, and the memory that is free, before any is allocated."""

from __future__ import annotations

from pathlib import Path

from gptoss_tui.kernels.choose import draws_coarsely
from gptoss_tui.kernels.kernels import BYTES, Precision
from gptoss_tui.model.config import ModelConfig, mxfp4_bytes
from gptoss_tui.model.errors import CheckpointError

_CONTEXT = 8192  # tokens that must fit beside the weights to make a conversation worthwhile
_WORKSPACE = 256 << 20  # activations, decoded experts and the interpreter itself


def estimate(config: ModelConfig, dtype: Precision, *, packed: bool = False) -> int:
    """Bytes to run `config` with dense weights and activations in `dtype`, experts in MXFP4.

    What is mapped counts as well, as far as tokens read it: reading it from disk again for every token would
    be too slow. With copies (`packed`) few rows of the unembedding, or none, are read where it is mapped, but
    a prompt reads the matrices of attention there.
    """
    experts = config.num_hidden_layers * config.num_local_experts * config.expert_matrices
    kv = config.cached_values(min(_CONTEXT, config.max_position_embeddings))
    dense, copy = config.dense_parameters, 0
    if packed:
        width, of_unembedding = packed_widths(config)
        dense -= config.unembedding_parameters
        attention = config.num_hidden_layers * config.attention_parameters
        copy = round(attention * width + config.unembedding_parameters * of_unembedding)
    return mxfp4_bytes(experts) + (dense + kv) * BYTES[dtype] + copy + _workspace(config, dtype)


def packed_widths(config: ModelConfig) -> tuple[float, float]:
    """The bytes of a dense weight in its copy, and of one of the unembedding."""
    return 1.5, 1 if draws_coarsely(config.unembedding_parameters) else 1.5


def _workspace(config: ModelConfig, dtype: Precision) -> int:
    """The decoded experts of one token, but at least what the process needs anyway."""
    return max(_WORKSPACE, config.num_experts_per_tok * config.expert_matrices * BYTES[dtype])


def available(device: str) -> int | None:
    """Free bytes on `device`: of the card, or of main memory within the control group. None if unknown."""
    if device != "cpu":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    known = [free for free in (_main_memory(), _control_group()) if free is not None]
    return min(known) if known else None


def require(name: str, config: ModelConfig, device: str, dtype: Precision) -> None:
    """Raise CheckpointError with the numbers if the checkpoint cannot fit."""
    needed, free = estimate(config, dtype), available(device)
    if free is not None and needed > free:
        mend = "Close other programs, or choose a smaller model."
        if dtype == "float32":
            mend = "Use bfloat16, close other programs, or choose a smaller model."
        numbers = f"needs about {needed / 2**30:.1f} GiB on {device}, {free / 2**30:.1f} GiB are free"
        raise CheckpointError(f"{name}: {numbers}.\n{mend}")


def fits(config: ModelConfig, device: str, dtype: Precision, *, packed: bool) -> bool:
    """Whether so much memory is free; false if that is unknown."""
    free = available(device)
    return free is not None and estimate(config, dtype, packed=packed) <= free


def _main_memory() -> int | None:
    """MemAvailable of Linux, which includes caches that can be dropped."""
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _control_group() -> int | None:
    """The bytes that the tightest cgroup (version 2) of this process still allows, with droppable caches."""
    root = Path("/sys/fs/cgroup")
    group = next((line[3:] for line in _lines(Path("/proc/self/cgroup")) if line.startswith("0::")), "/")
    innermost = root / group.strip("/")
    free = []
    for folder in (innermost, *innermost.parents):
        limit, used = _lines(folder / "memory.max"), _lines(folder / "memory.current")
        if limit and used and limit[0].isdigit():
            stat = dict(line.split(maxsplit=1) for line in _lines(folder / "memory.stat"))
            caches = int(stat.get("active_file", 0)) + int(stat.get("inactive_file", 0))
            free.append(int(limit[0]) - int(used[0]) + caches)
        if folder == root:
            break
    return max(0, min(free)) if free else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
