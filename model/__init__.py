"""The runtime: token ids in, token ids out. Knows no roles and no screen.

Importing this package costs nothing: numpy is imported with the first call of `load_model`, torch only where
it computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

    from ..kernels.choose import Backend
    from ..kernels.kernels import Precision
    from .load import OnProgress
    from .transformer import Transformer

__all__ = ["load_model", "load_tokenizer"]


def load_model(
    path: str | Path,
    device: str = "cpu",
    dtype: Precision | None = None,
    on_progress: OnProgress | None = None,
    backend: Backend | None = None,
) -> Transformer:
    """The network of the checkpoint `path`, activations, keys and values in `dtype` (default: bfloat16).

    `backend` None takes the fastest kernels that run here; "plain" is PyTorch, the reference.

    `on_progress(stage, done, total)` counts bytes. On the CPU weights stay mapped to their files, which must
    not change while the network is in use.
    Raises CheckpointError, and ValueError for a dtype other than bfloat16 and float32.
    """
    from .checkpoint import checkpoint_at
    from .load import load_network

    return load_network(checkpoint_at(path), device, dtype, on_progress, backend)


def load_tokenizer(path: str | Path) -> tiktoken.Encoding:
    """The tokenizer of the checkpoint `path`, with as many ids as the network has rows.

    Ids without a token become `<|reserved_ID|>`. Raises CheckpointError.
    """
    from .checkpoint import checkpoint_at

    return checkpoint_at(path).tokenizer()
