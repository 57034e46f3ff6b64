"""The gpt-oss network of its model card (arXiv 2508.10925, section 2): the kernels, in order."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gptoss_tui.kernels.cache import KVCache
from gptoss_tui.kernels.choose import Backend, make_kernels
from gptoss_tui.model import weights
from gptoss_tui.model.config import ModelConfig


class Transformer:
    """Token ids in, logits out. Activations float32 or bfloat16, experts MXFP4.

    Not float16: the residual stream of the 120b passes 65,504, the largest float16.
    """

    def __init__(
        self,
        config: ModelConfig,
        values: dict[str, Tensor],
        backend: Backend = "plain",
        dtype: torch.dtype | None = None,
        packed: bool = False,
    ) -> None:
        """Move the weights that `weights.layout` names out of `values`, which is empty afterwards.

        `dtype` is that of keys, values and activations; None takes that of the dense weights. `packed` spends
        memory on speed: see `make_kernels`.
        """
        self.config = config
        self.device = values["lm_head.weight"].device
        """The device of the weights."""
        self.dtype = dtype or values["lm_head.weight"].dtype
        """The dtype of keys, values and activations."""
        self.backend = backend
        self.kernels = make_kernels(weights.for_kernels(config, values), backend, self.dtype, packed)

    def new_cache(self, capacity: int | None = None) -> KVCache:
        """An empty cache, with room for `capacity` tokens before it has to grow."""
        return self.kernels.new_cache(capacity)

    def __call__(self, ids: Tensor, cache: KVCache | None = None, last_only: bool = False) -> Tensor:
        """Read ids int64 [tokens], at least one; logits float32 [tokens, vocab], or [1, vocab] of the last.

        With a cache, `ids` follow its tokens and are added to them.
        """
        x = self.read(ids, self.new_cache(len(ids)) if cache is None else cache)
        return self.kernels.unembed(x[-1:] if last_only else x)

    def read(
        self,
        ids: Tensor,
        cache: KVCache,
        before_layer: Callable[[], None] = lambda: None,
        fired: Tensor | None = None,
    ) -> Tensor:
        """Add ids int64 [tokens], at least one, to `cache`; the stream [tokens, hidden] after the last layer.

        `before_layer` is called before each layer. It may raise to leave early; `cache` must then be
        restored. The chosen experts are written into `fired` int64 [layers, tokens, experts per token], best
        first.
        """
        if ids.dim() != 1 or not len(ids):
            raise ValueError(f"ids must be one row of at least one token, not of shape {list(ids.shape)}")
        x = self.kernels.embed(ids)
        for layer in range(self.config.num_hidden_layers):
            before_layer()
            x = self.kernels.attend(layer, x, cache)
            x = self.kernels.mix(layer, x, None if fired is None else fired[layer])
        cache.advance(len(ids))
        return x
