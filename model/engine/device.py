"""The device and the dtype of the computation, chosen by the machine's hardware."""

from __future__ import annotations

import torch

from gptoss_tui.kernels.choose import best_backend
from gptoss_tui.model.config import ModelConfig
from gptoss_tui.model.errors import EngineError
from gptoss_tui.model.load import can_pack

SMALL = 1 << 30
"""Bytes of dense weights up to which float32 costs little; beyond, reading them dominates decoding."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """The device called `name`; "auto" is the first GPU, or the CPU where there is none.

    Raises EngineError, which lists the devices of the machine.
    """
    found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if name == "auto":
        return torch.device(found[min(1, len(found) - 1)])
    if name == "cuda" and len(found) > 1:
        name = found[1]
    if name not in found:
        raise EngineError(f"There is no device {name!r} here. There is: auto, {', '.join(found)}.")
    return torch.device(name)


def choose_dtype(name: str, config: ModelConfig) -> torch.dtype:
    """The dtype of dense weights and activations called `name`; "auto" depends on the size of the weights.

    Raises EngineError for any other than float32 and bfloat16.
    """
    if name == "auto":
        experts = config.num_hidden_layers * config.num_local_experts * config.expert_parameters
        dense = config.total_parameters - experts
        return torch.float32 if dense * torch.float32.itemsize <= SMALL else torch.bfloat16
    if name not in DTYPES:
        raise EngineError(f"There is no dtype {name!r} for gpt-oss. Choose auto, {' or '.join(DTYPES)}.")
    return DTYPES[name]


def read_for_token(device: torch.device, dtype: torch.dtype, config: ModelConfig) -> int | None:
    """Bytes of weights in main memory that a token will read; None for a GPU's own memory."""
    if device.type != "cpu":
        return None
    width: float = dtype.itemsize
    if best_backend(device, config.head_dim) == "native":
        width = 1.5 if can_pack(config, device, dtype) else 2
    return config.read_for_token(width)


def describe(device: torch.device, dtype: torch.dtype) -> str:
    """The device in words, for the person: "CPU, 8 threads, bfloat16"."""
    precision = str(dtype).removeprefix("torch.")
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {precision}"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}, {precision}"
