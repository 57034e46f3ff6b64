"""The gpt-oss network of its model card (arXiv 2508.10925, section 2): the kernels, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gptoss_tui.kernels.cache import KVCache
from gptoss_tui.kernels.choose import Backend
from gptoss_tui.kernels.kernels import Kernels, Stream
from gptoss_tui.model.config import ModelConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Transformer:
    """Token ids in, logits out."""

    def __init__(self, config: ModelConfig, kernels: Kernels[Any], backend: Backend = "plain") -> None:
        """`kernels` compute the layers of the network that `config` describes."""
        self.config = config
        self.kernels = kernels
        self.backend = backend

    def new_cache(self, capacity: int | None = None) -> KVCache[Any]:
        """An empty cache, with room for `capacity` tokens before it has to grow."""
        return self.kernels.new_cache(capacity)

    def __call__(
        self, ids: Sequence[int], cache: KVCache[Any] | None = None, last_only: bool = False
    ) -> NDArray[np.float32]:
        """Read at least one token; logits [tokens, vocab], or [1, vocab] of the last.

        With a cache, `ids` follow its tokens and are added to them.
        """
        cache = self.new_cache(len(ids)) if cache is None else cache
        return self.kernels.unembed(self.read(ids, cache, last_only=last_only))

    def read(
        self,
        ids: Sequence[int],
        cache: KVCache[Any],
        before_layer: Callable[[], None] = lambda: None,
        fired: NDArray[np.int64] | None = None,
        last_only: bool = False,
    ) -> Stream:
        """Add at least one token to `cache`; the stream [tokens, hidden] after the last layer.

        With `last_only` it is [1, hidden], after the last token. Of the others the last layer then only keeps
        keys and values; its experts are computed for one token. `before_layer` is called before each layer.
        It may raise to leave early; `cache` must then be restored. The chosen experts are written into
        `fired` [layers, tokens, experts per token], best first, as far as they are computed.
        """
        if not ids:
            raise ValueError("there must be at least one token to read")
        x: Any = self.kernels.embed(ids)
        for layer in range(self.config.num_hidden_layers):
            before_layer()
            x = self.kernels.attend(layer, x, cache)
            if last_only and layer == self.config.num_hidden_layers - 1:
                x = x[-1:]
            x = self.kernels.mix(layer, x, None if fired is None else fired[layer, -len(x) :])
        cache.advance(len(ids))
        stream: Stream = x
        return stream
