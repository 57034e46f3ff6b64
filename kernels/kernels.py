"""Kernels: the interface of a backend, which computes the layers of a network.

A backend is one class that takes `NetworkWeights` and implements `Kernels`. The layouts of its weights, keys
and values are its own; model/transformer.py calls its methods in order and looks into none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """The weights of one layer. Norms and sinks are float32, other dense ones have the network's dtype."""

    window: int | None
    """Tokens that a query sees, its own included; None means all."""
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
    """The weights of a network on one device: dense ones in float32 or bfloat16, experts in MXFP4.

    `layers` may be an iterator. A backend reads it once and keeps no weight that it has repacked, so that no
    weight is in memory twice.
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

    The backend chooses the dtype of the stream x [tokens, H], and a method may return its result in the
    memory of its argument. Tokens are read in steps: `embed`, then `attend` and `mix` of each layer in order,
    then `KVCache.advance`. No method waits for the device, and the position of a step is on the device too
    (`KVCache.position`), so that a step of one token can be captured and replayed.
    """

    dense_bytes: float
    """The bytes of a dense weight as it is read for a token."""

    def new_cache(self, capacity: int | None = None) -> KVCache:
        """An empty memory with room for `capacity` tokens; None lets the backend choose."""
        ...

    def embed(self, ids: Tensor) -> Tensor:
        """ids int64 [tokens] -> the stream before the first layer."""
        ...

    def attend(self, layer: int, x: Tensor, cache: KVCache) -> Tensor:
        """Add attention to the stream: norm, projections, rotation, sinks, output.

        The tokens follow those in `cache`, to which their keys and values are appended.
        """
        ...

    def mix(self, layer: int, x: Tensor, fired: Tensor | None = None) -> Tensor:
        """Add the experts to the stream: norm, router, the best `experts_per_token` of them.

        If `fired` int64 [tokens, experts_per_token] is given, their ids are written into it, best first.
        """
        ...

    def unembed(self, x: Tensor) -> Tensor:
        """The stream after the last layer -> logits float32 [tokens, vocab]."""
        ...

    def sample(
        self,
        x: Tensor,
        temperature: float,
        top_p: float,
        keys: Sequence[int],
        allowed: Tensor | None = None,
    ) -> Tensor:
        """Draw the token after each row of the stream x [tokens, H], by the noise of its key, of 64 bits.

        The token is the one with the largest logit + temperature * gumbel(key, id): `reference.gumbel` has
        the noise, the same on every backend. So equal keys and logits draw equal tokens, up to rounding, and
        what is cut off changes nothing as long as the winner is not. Only ids where `allowed` bool [vocab] is
        true are drawn. Temperature 0 takes the largest logit. Ties there and at the edge of top-p go to the
        lowest id.

        Returns float64 [tokens, 3], still on the device:
        - the id, or -1 if nothing is allowed;
        - the natural logarithm of its probability under softmax(logits / temperature), before top-p and
          `allowed` cut anything off; temperature 0 reports it at 1;
        - how many logits are NaN or infinite: if any, the other two mean nothing.
        """
        ...
