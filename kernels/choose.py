"""The choice of a backend: the one place that knows them all."""

from __future__ import annotations

import logging
from typing import Any, Literal

from numpy.typing import NDArray

from gptoss_tui.kernels.cpu import library
from gptoss_tui.kernels.kernels import Kept, Kernels, NetworkWeights, Precision

Backend = Literal["native", "plain"]
"""The kernels in C (`cpu/`), or plain PyTorch (`reference.py`)."""

_SMALL = 1 << 22
"""Weights of an unembedding up to which one thread computes: several hardly gain there, and each of their
many meetings may last a time slice when other programs want the processor."""

_COARSE = 1 << 22
"""Weights of an unembedding from which draws gain by a coarse copy of it."""

_LOG = logging.getLogger(__name__)


def best_backend(device: str, head_dim: int) -> Backend:
    """The fastest backend on `device` for a network with heads of `head_dim` values."""
    if device != "cpu":
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


def to_backend(values: NDArray[Any], kept: Kept, backend: Backend, device: str) -> Any:
    """A weight as the backend wants it: on `device`, in the form `kept`, in an array of its own kind.

    `values` are as they are stored: uint8 for MXFP4, float32, or uint16 for bfloat16. Where nothing is to be
    changed they are not copied.
    """
    if backend == "native":
        from gptoss_tui.kernels.cpu.native import to_array

        return to_array(values, kept)
    from gptoss_tui.kernels.reference import to_tensor

    return to_tensor(values, kept, device)


def draws_coarsely(weights: int) -> bool:
    """Whether native kernels with room for copies take one in 8 bits of an unembedding of so many weights."""
    return weights >= _COARSE


def make_kernels(
    weights: NetworkWeights[Any], backend: Backend, dtype: Precision, threads: int, packed: bool = False
) -> Kernels[Any]:
    """The kernels for a network, whose weights `to_backend` made. A backend is imported only if it is chosen.

    `dtype` is that of keys, values and activations. The native backend computes on `threads` threads and
    wants dense weights in bfloat16, whatever `dtype` is; it raises ValueError for others. `packed` lets it
    keep a copy of these in 12 bits each, without loss, so that it reads less for a token, and one of a large
    unembedding in 8 bits, which spares draws most of it.
    """
    if backend == "native":
        from gptoss_tui.kernels.cpu.native import Native

        threads = threads if weights.unembedding.size > _SMALL else 1
        coarse = packed and draws_coarsely(weights.unembedding.size)
        return Native(weights, library.load(), threads, dtype=dtype, packed=packed, coarse=coarse)
    from gptoss_tui.kernels.reference import Reference

    return Reference(weights)
