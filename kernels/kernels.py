"""Kernels: the interface of a backend, which computes the layers of a network.

A backend is one class that takes `NetworkWeights` and implements `Kernels`. Its arrays (tensors of torch, or
arrays of numpy) and the layouts of its weights, keys and values are its own; model/transformer.py calls its
methods in order and looks into none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, Protocol

from gptoss_tui.kernels.arrays import A
from gptoss_tui.kernels.cache import KVCache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Precision = Literal["bfloat16", "float32"]
"""The dtype of numbers that are not in MXFP4. Not float16: the residual stream of the 120b passes 65,504."""

BYTES: Mapping[Precision, int] = {"float32": 4, "bfloat16": 2}
"""The size of a number."""

HOTTEST = 1e30
"""The highest temperature: all tokens are as likely, and scores are still finite in float32."""

Kept = Precision | Literal["mxfp4"]
"""The form of a weight: a dtype, or blocks or scales as they are stored."""


class Linear(NamedTuple, Generic[A]):
    """A projection: x [tokens, in] -> x @ weight.T + bias [tokens, out]."""

    weight: A  # [out, in]
    bias: A  # [out]


class ExpertWeights(NamedTuple, Generic[A]):
    """The experts of one layer: E experts, hidden size H, inner size I. Gate rows are even, up rows odd."""

    gate_up_blocks: A  # uint8 [E, 2I, H/32, 16]
    gate_up_scales: A  # uint8 [E, 2I, H/32]
    gate_up_bias: A  # [E, 2I]
    down_blocks: A  # uint8 [E, H, I/32, 16]
    down_scales: A  # uint8 [E, H, I/32]
    down_bias: A  # [E, H]


@dataclass(frozen=True, slots=True)
class LayerWeights(Generic[A]):
    """The weights of one layer. Norms and sinks are float32, other dense ones have the network's dtype."""

    window: int | None
    """Tokens that a query sees, its own included; None means all."""
    attention_norm: A  # [H]
    q: Linear[A]  # H -> heads * head_dim
    k: Linear[A]  # H -> kv_heads * head_dim
    v: Linear[A]  # H -> kv_heads * head_dim
    o: Linear[A]  # heads * head_dim -> H
    sinks: A  # [heads]
    experts_norm: A  # [H]
    router: Linear[A]  # H -> E
    experts: ExpertWeights[A]


@dataclass(frozen=True, slots=True)
class NetworkWeights(Generic[A]):
    """The weights of a network on one device: dense ones in float32 or bfloat16, experts in MXFP4.

    `layers` may be an iterator. A backend reads it once and keeps no weight that it has repacked, so that no
    weight is in memory twice.
    """

    embedding: A  # [vocab, H]
    layers: Iterable[LayerWeights[A]]
    norm: A  # float32 [H]
    unembedding: A  # [vocab, H]
    head_dim: int
    frequencies: A
    """Radians per position of each pair of head values, float32 [head_dim / 2]."""
    concentration: float
    """A factor on the cosines and sines."""
    experts_per_token: int
    swiglu_alpha: float
    swiglu_limit: float
    norm_eps: float


class Stream(Protocol):
    """The stream x [tokens, H] in an array of its backend, as others see it."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


class Kernels(Protocol[A]):
    """One network on one device.

    The backend chooses the dtype of the stream x [tokens, H], and a method may return its result in the
    memory of its argument. Tokens are read in steps: `embed`, then `attend` and `mix` of each layer in order,
    then `KVCache.advance`. Only what is returned in main memory is waited for, and the position of a step is
    on the device too (`KVCache.position`), so that a step of one token can be captured and replayed.
    """

    dense_bytes: float
    """The bytes of a dense weight as it is read for a token."""
    unembedding_bytes: float
    """The same of the unembedding's weights."""

    def new_cache(self, capacity: int | None = None) -> KVCache[A]:
        """An empty memory with room for `capacity` tokens; None lets the backend choose."""
        ...

    def embed(self, ids: Sequence[int]) -> A:
        """Token ids -> the stream before the first layer."""
        ...

    def attend(self, layer: int, x: A, cache: KVCache[A]) -> A:
        """Add attention to the stream: norm, projections, rotation, sinks, output.

        The tokens follow those in `cache`, to which their keys and values are appended.
        """
        ...

    def mix(self, layer: int, x: A, fired: NDArray[np.int64] | None = None) -> A:
        """Add the experts to the stream: norm, router, the best `experts_per_token` of them.

        If `fired` [tokens, experts_per_token], in main memory, is given, their ids are written into it, best
        first.
        """
        ...

    def unembed(self, x: A) -> NDArray[np.float32]:
        """The stream after the last layer -> logits [tokens, vocab] in main memory."""
        ...

    def sample(
        self,
        x: A,
        temperature: float,
        top_p: float,
        keys: Sequence[int],
        allowed: NDArray[np.bool_] | None = None,
        *,
        exact: bool = False,
    ) -> A:
        """Draw the token after each row of the stream x [tokens, H], by the noise of its key, of 64 bits.

        The token is the one with the largest logit + temperature * gumbel(key, id): `reference.gumbel` has
        the noise, the same on every backend. So equal keys and logits draw equal tokens, up to rounding, and
        what is cut off changes nothing as long as the winner is not. Only ids where `allowed` bool [vocab] is
        true are drawn. Temperature 0 takes the largest logit. Ties there and at the edge of top-p go to the
        lowest id.

        The token is always the one that all logits give. Unless it is to be `exact`, its probability may
        rest on logits of which only the likely ones are: docs/performance.md has the error, about 1e-4 and
        at most a few thousandths at temperature 1.

        Returns float64 [tokens, 3], still on the device:
        - the id, or -1 if nothing is allowed;
        - the natural logarithm of its probability under softmax(logits / temperature), before top-p and
          `allowed` cut anything off; temperature 0 reports it at 1;
        - how many logits are NaN or infinite: if any, the other two mean nothing.
        """
        ...
