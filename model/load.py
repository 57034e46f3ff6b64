"""load_network: from a checkpoint to a Transformer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from gptoss_tui.kernels.choose import Backend, best_backend, make_kernels, to_backend
from gptoss_tui.kernels.kernels import BYTES, Precision
from gptoss_tui.model import weights
from gptoss_tui.model.checkpoint import Checkpoint, StoredTensor, memory
from gptoss_tui.model.cores import default_threads
from gptoss_tui.model.errors import CheckpointError, EngineError
from gptoss_tui.model.rope import inverse_frequencies
from gptoss_tui.model.transformer import Transformer

OnProgress = Callable[[str, int, int], None]

_SCALE_NAN = 255  # of E8M0 (OCP Microscaling Formats specification v1.0, section 5.4.1)


def load_network(
    checkpoint: Checkpoint,
    device: str,
    dtype: Precision | None = None,
    on_progress: OnProgress | None = None,
    backend: Backend | None = None,
) -> Transformer:
    """Load `checkpoint` in `dtype`, bfloat16 unless given; `on_progress(stage, done, total)` counts bytes.

    `backend` None takes the fastest; the native one computes with the bfloat16 weights that are stored, on
    `default_threads`.

    Files, shapes, dtypes and memory are checked before any weight is read; dense weights and scales are
    checked for NaN while they are read. Experts stay MXFP4; on the CPU they, and dense weights already in
    `dtype`, stay mapped to their files, which must not change while the model is in use.
    Raises CheckpointError, EngineError if PyTorch has to compute and is not there, and ValueError for a dtype
    other than bfloat16 and float32.
    """
    dtype = dtype or "bfloat16"
    if dtype not in BYTES:
        raise ValueError(f"dtype must be bfloat16 or float32, not {dtype}: float16 overflows in gpt-oss")
    if device != "cpu" and not import_torch().cuda.is_available():
        raise CheckpointError(
            f"{checkpoint.path}: cannot be loaded on {device}: PyTorch finds no CUDA GPU. Use the CPU."
        )
    config = checkpoint.config
    network = weights.layout(config)
    stored = _in_order(checkpoint.tensors(network))
    memory.require(str(checkpoint.path), config, device, dtype)
    if backend is None:
        backend = best_backend(device, config.head_dim)
        dense = {stored[name].dtype for name in network if not weights.is_mxfp4(name)}
        if dtype == "float32" and dense != {"BF16"}:
            backend = "plain"
    if backend == "plain":
        import_torch()
    packed = backend == "native" and memory.fits(config, device, dtype, packed=True)
    if device == "cpu":
        checkpoint.read_ahead(stored.values())
    values: dict[str, Any] = {}
    done, total = 0, sum(tensor.nbytes for tensor in stored.values())
    for name, array in checkpoint.read(stored):
        _check_values(stored[name], array)
        kept = weights.kept(name, "bfloat16" if backend == "native" else dtype)
        values[name] = to_backend(array, kept, backend, device)
        done += stored[name].nbytes
        if on_progress is not None:
            on_progress("Loading weights", done, total)
    frequencies = inverse_frequencies(config.rope, config.head_dim)
    arranged = weights.for_kernels(config, values, to_backend(frequencies, "float32", backend, device))
    kernels = make_kernels(arranged, backend, dtype, default_threads(), packed)
    checkpoint.release()
    return Transformer(config, kernels, backend)


def _in_order(stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """First what is read while loading, then what a prompt reads, both in the order of the files."""

    def place(item: tuple[str, StoredTensor]) -> tuple[bool, Path, int]:
        name, tensor = item
        return name.endswith("_blocks"), tensor.file, tensor.start

    return dict(sorted(stored.items(), key=place))


def import_torch() -> ModuleType:
    """torch, which only plain PyTorch and GPUs need. Raises EngineError if it is not in order."""
    try:
        return import_module("torch")
    except (ImportError, OSError) as error:
        raise EngineError(f"PyTorch cannot be imported: {error}.\nInstall gptoss-chat again.") from error


def _check_values(stored: StoredTensor, values: NDArray[Any]) -> None:
    """Refuse the values of a damaged file: NaN or infinity, or a scale tensor that is all zeros.

    Blocks have no invalid value, and reading all of them would forgo the quick start that the mapping gives.
    """
    fault = None
    if stored.name.endswith("_scales"):
        fault = {_SCALE_NAN: "NaN", 0: "nothing but zeros"}.get(int(values.max()))
    elif not stored.name.endswith("_blocks") and not _is_finite(values):
        fault = "NaN or infinity"
    if fault:
        raise CheckpointError(
            f"{stored.file}: tensor {stored.name} holds {fault}.\nThe file is damaged; fetch it again."
        )


def _is_finite(values: NDArray[Any]) -> bool:
    """Whether bfloat16 (as uint16) or float32 values are all finite.

    Without regard to the sign their bits, taken as whole numbers, are in the order of the values.
    """
    bits = 8 * values.itemsize
    infinity = 0x7F80 << (bits - 16)
    positive, negative = values.view(f"i{values.itemsize}").max(), values.view(f"u{values.itemsize}").max()
    return bool(positive < infinity and negative < infinity + (1 << (bits - 1)))
