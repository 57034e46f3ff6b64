"""Networks with random weights, and the backends that compute them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from gptoss_tui.kernels import mxfp4
from gptoss_tui.kernels.cache import KVCache
from gptoss_tui.kernels.choose import Backend
from gptoss_tui.kernels.cpu import library
from gptoss_tui.kernels.cpu.native import Native
from gptoss_tui.kernels.kernels import ExpertWeights, LayerWeights, Linear, NetworkWeights

NetworkMaker = Callable[..., NetworkWeights[Tensor]]


def converted(weights: NetworkWeights[Tensor], change: Callable[[Tensor], Any]) -> NetworkWeights[Any]:
    """The network with `change` of each weight."""

    def layer(one: LayerWeights[Tensor]) -> LayerWeights[Any]:
        return LayerWeights(
            window=one.window,
            attention_norm=change(one.attention_norm),
            q=Linear(*map(change, one.q)),
            k=Linear(*map(change, one.k)),
            v=Linear(*map(change, one.v)),
            o=Linear(*map(change, one.o)),
            sinks=change(one.sinks),
            experts_norm=change(one.experts_norm),
            router=Linear(*map(change, one.router)),
            experts=ExpertWeights(*map(change, one.experts)),
        )

    whole: Any = weights
    return replace(
        whole,
        embedding=change(weights.embedding),
        layers=[layer(one) for one in weights.layers],
        norm=change(weights.norm),
        unembedding=change(weights.unembedding),
        frequencies=change(weights.frequencies),
    )


def to_array(tensor: Tensor) -> NDArray[Any]:
    """The tensor's memory as an array; bfloat16 as uint16."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    array: NDArray[Any] = tensor.numpy()
    return array


class TensorNative:
    """The kernels in C on tensors, with which the oracles of tests compute; in the same memory."""

    def __init__(self, weights: NetworkWeights[Tensor], *given: Any, **options: Any) -> None:
        self._native = Native(converted(weights, to_array), *given, **options)
        self.engine = self._native.engine

    def new_cache(self, capacity: int | None = None) -> KVCache[NDArray[Any]]:
        return self._native.new_cache(capacity)

    def embed(self, ids: Tensor) -> Tensor:
        return torch.from_numpy(self._native.embed(ids.tolist()))

    def attend(self, layer: int, x: Tensor, cache: KVCache[NDArray[Any]]) -> Tensor:
        return torch.from_numpy(self._native.attend(layer, x.numpy(), cache))

    def mix(self, layer: int, x: Tensor, fired: Tensor | None = None) -> Tensor:
        ids = None if fired is None else fired.numpy()
        return torch.from_numpy(self._native.mix(layer, x.numpy(), ids))

    def unembed(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self._native.unembed(x.numpy()))

    def sample(
        self,
        x: Tensor,
        temperature: float,
        top_p: float,
        keys: Sequence[int],
        allowed: Tensor | None = None,
        *,
        exact: bool = False,
    ) -> Tensor:
        mask = None if allowed is None else allowed.numpy()
        return torch.from_numpy(self._native.sample(x.numpy(), temperature, top_p, keys, mask, exact=exact))


@pytest.fixture(scope="session", params=["plain", "native"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend that runs here on the CPU."""
    if request.param == "native":
        request.getfixturevalue("native_library")
    chosen: Backend = request.param
    return chosen


@pytest.fixture(scope="session")
def native_library() -> ctypes.CDLL:
    """The kernels in C, where they are built."""
    try:
        return library.load()
    except library.LibraryError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def random_network() -> NetworkMaker:
    """`make_network` below."""
    return make_network


def make_network(
    seed: int = 0,
    *,
    hidden: int = 64,
    inner: int = 96,
    heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 32,
    experts: int = 4,
    experts_per_token: int = 2,
    windows: Sequence[int | None] = (None,),
    vocab: int = 80,
) -> NetworkWeights[Tensor]:
    """A network of a layer for each of the `windows`, dense weights in bfloat16.

    Projections keep the size of what they take, so that every part shows in the result.
    """
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(shape, generator=random) * scale

    def linear(rows: int, columns: int) -> Linear[Tensor]:
        weight, bias = normal(rows, columns, scale=columns**-0.5), normal(rows, scale=0.3)
        return Linear(weight.bfloat16(), bias.bfloat16())

    def matrices(rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of all experts: any codes, whose mean square is 8.1, and scales of six sizes."""
        blocks = (experts, rows, columns // mxfp4.BLOCK, mxfp4.BLOCK // 2)
        exponent = round(mxfp4.SCALE_BIAS - 0.5 * torch.log2(torch.tensor(columns * 8.1)).item())
        return (
            torch.randint(256, blocks, generator=random, dtype=torch.uint8),
            torch.randint(exponent - 4, exponent + 2, blocks[:-1], generator=random, dtype=torch.uint8),
            normal(experts, rows, scale=0.3).bfloat16(),
        )

    def layer(window: int | None) -> LayerWeights[Tensor]:
        return LayerWeights(
            window=window,
            attention_norm=1 + normal(hidden, scale=0.1),
            q=linear(heads * head_dim, hidden),
            k=linear(kv_heads * head_dim, hidden),
            v=linear(kv_heads * head_dim, hidden),
            o=linear(hidden, heads * head_dim),
            sinks=normal(heads),
            experts_norm=1 + normal(hidden, scale=0.1),
            router=linear(experts, hidden),
            experts=ExpertWeights(*matrices(2 * inner, hidden), *matrices(hidden, inner)),
        )

    return NetworkWeights(
        embedding=normal(vocab, hidden).bfloat16(),
        layers=[layer(window) for window in windows],
        norm=1 + normal(hidden, scale=0.1),
        unembedding=linear(vocab, hidden).weight,
        head_dim=head_dim,
        frequencies=150_000 ** -(torch.arange(0, head_dim, 2) / head_dim),
        concentration=1.2,
        experts_per_token=experts_per_token,
        swiglu_alpha=1.702,
        swiglu_limit=2.0,  # so low that it cuts
        norm_eps=1e-5,
    )
