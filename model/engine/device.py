"""The device and the dtype of the computation, chosen by the machine's hardware.

torch is imported only where there may be a GPU: it takes more than a second.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gptoss_tui.kernels.choose import best_backend
from gptoss_tui.kernels.kernels import BYTES, Precision
from gptoss_tui.model.checkpoint.memory import fits, packed_widths
from gptoss_tui.model.config import ModelConfig
from gptoss_tui.model.cores import default_threads
from gptoss_tui.model.errors import EngineError
from gptoss_tui.model.load import import_torch

SMALL = 1 << 30
"""Bytes of dense weights up to which float32 costs little; beyond, reading them dominates decoding."""

_DRIVERS = ("nvidiactl", "nvidia0", "nvhost-ctrl-gpu", "dxg", "kfd")
"""In /dev, of the systems through which torch finds a GPU: NVIDIA's driver, Jetson's, WSL's, AMD's."""


def choose_device(name: str) -> str:
    """The device called `name`; "auto" is the first GPU, or the CPU where there is none.

    Raises EngineError, which lists the devices of the machine.
    """
    if name == "cpu":
        return name
    found = ["cpu", *(f"cuda:{index}" for index in range(_gpus()))]
    if name == "auto":
        return found[min(1, len(found) - 1)]
    if name == "cuda" and len(found) > 1:
        name = found[1]
    if name not in found:
        raise EngineError(f"There is no device {name!r} here. There is: auto, {', '.join(found)}.")
    return name


def _gpus() -> int:
    """The GPUs that torch can use. Raises EngineError if there may be one, and torch cannot be imported."""
    if sys.platform == "darwin" or (
        sys.platform == "linux" and not any(Path("/dev", driver).exists() for driver in _DRIVERS)
    ):
        return 0
    count: int = import_torch().cuda.device_count()
    return count


def choose_dtype(name: str, config: ModelConfig) -> Precision:
    """The dtype of dense weights and activations called `name`; "auto" depends on the size of the weights.

    Raises EngineError for any other than float32 and bfloat16.
    """
    if name == "auto":
        experts = config.num_hidden_layers * config.num_local_experts * config.expert_parameters
        dense = config.total_parameters - experts
        return "float32" if dense * BYTES["float32"] <= SMALL else "bfloat16"
    for dtype in BYTES:
        if name == dtype:
            return dtype
    raise EngineError(f"There is no dtype {name!r} for gpt-oss. Choose auto, {' or '.join(BYTES)}.")


def will_pack(device: str, dtype: Precision, config: ModelConfig) -> bool:
    """Whether dense weights will be copied into 12 bits each."""
    return best_backend(device, config.head_dim) == "native" and fits(config, device, dtype, packed=True)


def read_for_token(device: str, dtype: Precision, config: ModelConfig) -> int | None:
    """Bytes of weights in main memory that a token will read; None for a GPU's own memory."""
    if device != "cpu":
        return None
    if will_pack(device, dtype, config):
        return config.read_for_token(*packed_widths(config))
    width = BYTES["bfloat16" if best_backend(device, config.head_dim) == "native" else dtype]
    return config.read_for_token(width, width)


def describe(device: str, dtype: Precision) -> str:
    """The device in words, for the person: "CPU, 8 threads, bfloat16"."""
    if device != "cpu":
        import torch

        return f"{torch.cuda.get_device_name(device)}, {dtype}"
    threads = default_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}, {dtype}"
