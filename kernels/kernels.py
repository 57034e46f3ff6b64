"""Kernels: what a network is computed by, layer for layer, and the one place that chooses them.

A backend is one class that takes `NetworkWeights` and does what `Kernels` says. It keeps weights, keys and
values in layouts of its own; model/transformer.py calls its methods in order, and looks at none of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

from gptoss_tui.kernels.cache import KVCache


class Linear(NamedTuple):
    """A projection: x [tokens, in] -> x @ weight.T + bias [tokens, out]."""

    weight: Tensor  # [out, in]
    bias: Tensor  # [out]


class ExpertWeights(NamedTuple):
    """The experts of one layer: E experts, hidden size H, inner size I. Gate rows are even, up rows odd."""

    gate_up_blocks: Tensor  # uint8 [E, 2I, H/32, 16]
    gate_up_scales: Tensor  # uint8 [E, 2I, H/32]
    gate_up_bias: Tensor  # [E, 2I]
    down_blocks: Tensor  # uint8 [E, H, I/32, 16]
    down_scales: Tensor  # uint8 [E, H, I/32]
    down_bias: Tensor  # [E, H]


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer. The norms and sinks are float32, what is left without a dtype has that of the network."""

    window: int | None
    """Tokens a query sees, its own included; None sees all."""
    attention_norm: Tensor  # [H]
    q: Linear  # H -> heads * head_dim
    k: Linear  # H -> kv_heads * head_dim
    v: Linear  # H -> kv_heads * head_dim
    o: Linear  # heads * head_dim -> H
    sinks: Tensor  # [heads]
    experts_norm: Tensor  # [H]
    router: Linear  # H -> E
    experts: ExpertWeights


@dataclass(frozen=True, slots=True)
class NetworkWeights:
    """A whole network on one device, dense weights float32 or bfloat16, MXFP4 experts.

    `layers` may be an iterator. A backend goes through it once and holds on to as little as it needs, so that
    what it has packed anew is not kept twice.
    """

    embedding: Tensor  # [vocab, H]
    layers: Iterable[LayerWeights]
    norm: Tensor  # float32 [H]
    unembedding: Tensor  # [vocab, H]
    head_dim: int
    frequencies: Tensor
    """Radians per position of each pair of head values, float32 [head_dim / 2]."""
    concentration: float
    """A factor on the cosines and sines."""
    experts_per_token: int
    swiglu_alpha: float
    swiglu_limit: float
    norm_eps: float


class Kernels(Protocol):
    """One network on one device.

    The stream x [tokens, H] belongs to the backend: its dtype is the backend's, and a method may write the
    stream it returns over the one it was given. Tokens are read in steps: `embed`, then `attend` and `mix` of
    each layer in order, then `KVCache.advance`. No method waits for the device, and where a step stands is on
    the device too (`KVCache.position`), so that a step of one token can be captured and replayed.
    """

    def new_cache(self, capacity: int | None = None) -> KVCache:
        """An empty memory with room for `capacity` tokens; None lets the backend choose."""
        ...

    def embed(self, ids: Tensor) -> Tensor:
        """ids int64 [tokens] -> the stream they start as."""
        ...

    def attend(self, layer: int, x: Tensor, cache: KVCache) -> Tensor:
        """Add attention to the stream: norm, projections, rotation, sinks, output.

        The tokens follow those that `cache` holds, and their keys and values are written behind theirs.
        """
        ...

    def mix(self, layer: int, x: Tensor, fired: Tensor | None = None) -> Tensor:
        """Add the experts to the stream: norm, router, the best `experts_per_token` of them.

        Which they are is written into `fired` int64 [tokens, experts_per_token], best first, if it is given.
        """
        ...

    def unembed(self, x: Tensor) -> Tensor:
        """The stream after the last layer -> logits float32 [tokens, vocab]."""
        ...

    def sample(
        self, x: Tensor, temperature: float, top_p: float, uniform: float, allowed: Tensor | None = None
    ) -> Tensor:
        """Draw what follows the stream x [1, H] of one token, by the random number `uniform` in [0, 1).

        Only ids where `allowed` bool [vocab] is true. Temperature 0 takes the largest logit. Ties in that and
        at the edge of top-p go to the lowest id. Equal numbers draw equal tokens.

        Returns float64 [3], still on the device:
        - the id, or -1 if nothing is allowed;
        - the natural logarithm of its probability under softmax(logits / temperature), before top-p and
          `allowed` cut anything off; temperature 0 reports it at 1;
        - how many logits are NaN or infinite: if any, the other two mean nothing.
        """
        ...


def choose(weights: NetworkWeights) -> Kernels:
    """The kernels for a network where its weights are. A backend is imported only if it is chosen."""
    from gptoss_tui.kernels.reference import Reference

    return Reference(weights)
