"""load_model: a checkpoint folder in the Hub layout becomes a Transformer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gptoss_tui.kernels import mxfp4
from gptoss_tui.model.checkpoint import memory
from gptoss_tui.model.checkpoint.shards import StoredTensor, read_shards
from gptoss_tui.model.config import ModelConfig
from gptoss_tui.model.errors import CheckpointError
from gptoss_tui.model.transformer import Transformer

OnProgress = Callable[[str, int, int], None]

_DENSE_DTYPES = ("BF16", "F32")


def load_model(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    on_progress: OnProgress | None = None,
) -> Transformer:
    """Load the checkpoint in the folder `path`; `on_progress(stage, done, total)` counts bytes.

    Files, shapes, dtypes and memory are checked before any weight is read, dense weights and scales for NaN
    as they are. Experts stay MXFP4; on the CPU they, and dense weights already in `dtype`, stay mapped to
    their files, which must not change while the model is in use.
    Raises CheckpointError, and ValueError for a dtype other than bfloat16 and float32.
    """
    if dtype not in (torch.bfloat16, torch.float32):
        raise ValueError(f"dtype must be bfloat16 or float32, not {dtype}: float16 overflows in gpt-oss")
    folder, device = Path(path), torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise CheckpointError(
            f"{folder}: cannot be loaded on {device}: PyTorch finds no CUDA GPU. Use the CPU."
        )
    config = ModelConfig.from_file(folder / "config.json")
    stored = read_shards(folder)
    with torch.device("meta"):
        model = Transformer(config).to(dtype)
    expected = model.state_dict()
    _check_layout(folder, stored, expected)
    memory.require(str(folder), config, device, dtype)
    weights = _read_weights(
        {name: stored[_stored_name(name)] for name in expected}, device, dtype, on_progress
    )
    model.load_state_dict(weights, assign=True)
    return model.requires_grad_(False).eval()


def _stored_name(name: str) -> str:
    """The checkpoint's name for a weight of the Transformer."""
    return name if name.startswith("lm_head.") else f"model.{name}"


def _check_layout(folder: Path, stored: Mapping[str, StoredTensor], expected: Mapping[str, Tensor]) -> None:
    """Compare the headers with the network that config.json asks for."""
    if any(name.endswith(("experts.gate_up_proj", "experts.down_proj")) for name in stored):
        raise CheckpointError(
            f"{folder}: its experts were saved dequantised (bfloat16), and gptoss-chat runs MXFP4 experts.\n"
            "Use the checkpoint with *_blocks and *_scales tensors, or quantise this one to MXFP4."
        )
    for name, tensor in expected.items():
        found = stored.get(_stored_name(name))
        if found is None:
            raise CheckpointError(
                f"{folder}: tensor {_stored_name(name)} is missing, config.json expects it."
            )
        if found.shape != tuple(tensor.shape):
            raise CheckpointError(
                f"{found.shard}: tensor {_stored_name(name)} has shape {list(found.shape)}, "
                f"config.json expects {list(tensor.shape)}.\nFetch config.json and weights from one source."
            )
        allowed = ("U8",) if tensor.dtype == torch.uint8 else _DENSE_DTYPES
        if found.dtype not in allowed:
            raise CheckpointError(
                f"{found.shard}: tensor {_stored_name(name)} is {found.dtype}, not {' or '.join(allowed)}.\n"
                "Use the checkpoint as released: experts in MXFP4, the rest in bfloat16."
            )


def _read_weights(
    stored: Mapping[str, StoredTensor],
    device: torch.device,
    dtype: torch.dtype,
    on_progress: OnProgress | None,
) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    done, total = 0, sum(tensor.nbytes for tensor in stored.values())
    for shard in sorted({tensor.shard for tensor in stored.values()}):
        try:
            with safe_open(shard, framework="pt", device="cpu") as file:
                for name, tensor in stored.items():
                    if tensor.shard == shard:
                        weight = file.get_tensor(_stored_name(name))
                        _check_values(shard, name, weight)
                        weights[name] = weight.to(device, _kept_dtype(name, weight, dtype))
                        done += tensor.nbytes
                        if on_progress is not None:
                            on_progress("Loading weights", done, total)
        except (SafetensorError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise CheckpointError(
                f"{shard}: cannot be read, {100 * done // total} % loaded ({reason}).\nFetch it again."
            ) from None
    return weights


def _kept_dtype(name: str, weight: Tensor, dtype: torch.dtype) -> torch.dtype:
    """Blocks and scales as stored; norms and sinks, which act in float32, in float32; the rest in `dtype`."""
    if weight.dtype == torch.uint8:
        return torch.uint8
    return torch.float32 if name.endswith(("norm.weight", ".sinks")) else dtype


def _check_values(shard: Path, name: str, weight: Tensor) -> None:
    """Refuse what a damaged file holds: NaN or infinity, or a scale tensor of nothing but zeros.

    Blocks have no wrong value, and reading them all would forgo the mapping's quick start.
    """
    fault = None
    if name.endswith("_scales"):
        fault = {mxfp4.SCALE_NAN: "NaN", 0: "nothing but zeros"}.get(int(weight.amax()))
    elif not name.endswith("_blocks") and not all(bound.isfinite() for bound in weight.aminmax()):
        fault = "NaN or infinity"
    if fault:
        raise CheckpointError(
            f"{shard}: tensor {_stored_name(name)} holds {fault}.\nThe file is damaged; fetch it again."
        )
