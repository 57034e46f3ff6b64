"""load_network: from a checkpoint to a Transformer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gptoss_tui.kernels import mxfp4
from gptoss_tui.kernels.choose import Backend, best_backend
from gptoss_tui.model.checkpoint import Checkpoint, StoredTensor, memory
from gptoss_tui.model.config import ModelConfig
from gptoss_tui.model.errors import CheckpointError
from gptoss_tui.model.transformer import Transformer
from gptoss_tui.model.weights import layout

OnProgress = Callable[[str, int, int], None]


def load_network(
    checkpoint: Checkpoint,
    device: str | torch.device,
    dtype: torch.dtype | None = None,
    on_progress: OnProgress | None = None,
    backend: Backend | None = None,
) -> Transformer:
    """Load `checkpoint` in `dtype`, bfloat16 unless given; `on_progress(stage, done, total)` counts bytes.

    `backend` None takes the fastest; the native one computes with the bfloat16 weights that are stored.

    Files, shapes, dtypes and memory are checked before any weight is read; dense weights and scales are
    checked for NaN while they are read. Experts stay MXFP4; on the CPU they, and dense weights already in
    `dtype`, stay mapped to their files, which must not change while the model is in use.
    Raises CheckpointError, and ValueError for a dtype other than bfloat16 and float32.
    """
    dtype = dtype or torch.bfloat16
    if dtype not in (torch.bfloat16, torch.float32):
        raise ValueError(f"dtype must be bfloat16 or float32, not {dtype}: float16 overflows in gpt-oss")
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise CheckpointError(
            f"{checkpoint.path}: cannot be loaded on {device}: PyTorch finds no CUDA GPU. Use the CPU."
        )
    config = checkpoint.config
    network = layout(config)
    stored = checkpoint.tensors(network)
    memory.require(str(checkpoint.path), config, device, dtype)
    dense = {stored[name].dtype for name, weight in network.items() if weight.is_floating_point()}
    if backend is None:
        backend = best_backend(device, config.head_dim)
        if dtype == torch.float32 and dense != {"BF16"}:
            backend = "plain"
    packed = backend == "native" and can_pack(config, device, dtype)
    kept = torch.bfloat16 if backend == "native" else dtype
    weights: dict[str, Tensor] = {}
    done, total = 0, sum(tensor.nbytes for tensor in stored.values())
    for name, weight in checkpoint.read(stored):
        _check_values(stored[name], weight)
        weights[name] = weight.to(device, _kept_dtype(name, weight, kept))
        done += stored[name].nbytes
        if on_progress is not None:
            on_progress("Loading weights", done, total)
    return Transformer(config, weights, backend, dtype, packed)


def can_pack(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether memory has room for a copy of the dense weights in 12 bits each."""
    return memory.has_room(config, device, dtype, config.dense_parameters * 3 // 2)


def _kept_dtype(name: str, weight: Tensor, dtype: torch.dtype) -> torch.dtype:
    """The stored dtype for blocks and scales, float32 for norms and sinks, `dtype` for other weights."""
    if weight.dtype == torch.uint8:
        return torch.uint8
    return torch.float32 if name.endswith(("norm.weight", ".sinks")) else dtype


def _check_values(stored: StoredTensor, weight: Tensor) -> None:
    """Refuse the values of a damaged file: NaN or infinity, or a scale tensor that is all zeros.

    Blocks have no invalid value, and reading all of them would forgo the quick start that the mapping gives.
    """
    fault = None
    if stored.name.endswith("_scales"):
        fault = {mxfp4.SCALE_NAN: "NaN", 0: "nothing but zeros"}.get(int(weight.amax()))
    elif not stored.name.endswith("_blocks") and not all(bound.isfinite() for bound in weight.aminmax()):
        fault = "NaN or infinity"
    if fault:
        raise CheckpointError(
            f"{stored.file}: tensor {stored.name} holds {fault}.\nThe file is damaged; fetch it again."
        )
