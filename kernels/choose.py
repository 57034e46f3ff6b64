"""The choice of a backend: the one place that knows them all."""

from __future__ import annotations

import logging
from typing import Literal

import torch

from gptoss_tui.kernels.cpu import library
from gptoss_tui.kernels.kernels import Kernels, NetworkWeights

Backend = Literal["native", "plain"]
"""The kernels in C (`cpu/`), or plain PyTorch (`reference.py`)."""

_SMALL = 1 << 22
"""Weights of an unembedding up to which one thread computes: several hardly gain there, and each of their
many meetings may last a time slice when other programs want the processor."""

_LOG = logging.getLogger(__name__)


def best_backend(device: torch.device, head_dim: int) -> Backend:
    """The fastest backend on `device` for a network with heads of `head_dim` values."""
    if device.type != "cpu":
        return "plain"
    from gptoss_tui.kernels.cpu.native import misfit

    try:
        library.load()
    except library.LibraryError as error:
        _LOG.warning("%s Plain PyTorch computes instead, many times slower.", error)
        return "plain"
    if why := misfit(head_dim):
        _LOG.warning("The native kernels cannot run this network: %s. Plain PyTorch computes instead.", why)
        return "plain"
    return "native"


def make_kernels(
    weights: NetworkWeights, backend: Backend, dtype: torch.dtype, packed: bool = False
) -> Kernels:
    """The kernels for a network on the device of its weights. A backend is imported only if it is chosen.

    `dtype` is that of keys, values and activations. The native backend wants dense weights in bfloat16,
    whatever it is; it raises ValueError for others. `packed` lets it keep a copy of these in 12 bits each,
    without loss, so that it reads less for a token.
    """
    if backend == "native":
        from gptoss_tui.kernels.cpu.native import Native

        threads = torch.get_num_threads() if weights.unembedding.numel() > _SMALL else 1
        return Native(weights, library.load(), threads, dtype=dtype, packed=packed)
    from gptoss_tui.kernels.reference import Reference

    return Reference(weights)
