"""Native: the kernels in C, behind the protocol of kernels.py, in arrays of numpy: torch is not imported.

The stream is float32, and the dense weights bfloat16, as they are stored. Nothing is copied: the library
reads the arrays' own memory, mapped from the checkpoint where it is.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import c_uint64
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gptoss_tui.kernels.bfloat16 import narrow, widen
from gptoss_tui.kernels.cache import SLACK, KVCache, Positions
from gptoss_tui.kernels.cpu.build import Target
from gptoss_tui.kernels.cpu.interface import CpuEngine, Dense, ExpertMatrices, Layer, Network
from gptoss_tui.kernels.cpu.nucleus import draw_from_nucleus
from gptoss_tui.kernels.kernels import HOTTEST, Kept, LayerWeights, Linear, NetworkWeights, Precision

Values = NDArray[Any]
"""Numbers; those in bfloat16 as uint16."""

_FIRST_CAPACITY = 256  # tokens
_FEW = 16  # tokens that are computed as each would be alone
_TILE = 16  # positions whose keys lie together


class Native:
    """`Kernels` on the CPU.

    Buffer i of a cache is layer i's: keys, then values [2, kv_heads, slots / 16, 16 * head_dim]. Keys are
    turned within each tile of 16 positions: see `struct memory` in source/gptoss.h.
    """

    def __init__(
        self,
        weights: NetworkWeights[Values],
        library: ctypes.CDLL,
        threads: int,
        *,
        level: str | None = None,
        dtype: Precision = "bfloat16",
        packed: bool = False,
        coarse: bool = False,
    ) -> None:
        """Run on `threads` threads, with no instructions beyond those of `level`.

        `dtype` is that of keys and values; in float32, the activations of many tokens are not rounded to
        bfloat16 either. With `packed` dense weights are kept in 12 bits each, without loss, in a copy, of
        which a token reads a quarter less. With `coarse` most draws read a copy of the unembedding in 8 bits,
        and few of its rows themselves; tokens are the same.

        Raises ValueError for weights that the library cannot read, for other dtypes, and for a level that no
        processor of this kind has.
        """
        if dtype not in ("bfloat16", "float32"):
            raise ValueError(f"keys and values can be bfloat16 or float32, not {dtype}")
        wide = dtype == "float32"
        levels = list(Target.here().levels)
        if level not in (None, *levels):
            raise ValueError(f"the level is {level!r}, and can be {', '.join(levels)}")
        self._weights = weights
        self._dtype = np.dtype(np.float32 if wide else np.uint16)
        self._kept: list[Values] = []
        layers = list(weights.layers)
        if why := misfit(weights.head_dim):
            raise ValueError(why)
        self._windows = [layer.window for layer in layers]
        self._kv_heads = len(layers[0].k.bias) // weights.head_dim
        network = Network(
            hidden=weights.embedding.shape[1],
            heads=len(layers[0].sinks),
            kv_heads=self._kv_heads,
            head_dim=weights.head_dim,
            experts=len(layers[0].router.bias),
            experts_per_token=weights.experts_per_token,
            wide=wide,
            norm_eps=weights.norm_eps,
            swiglu_alpha=weights.swiglu_alpha,
            swiglu_limit=weights.swiglu_limit,
            concentration=weights.concentration,
            frequencies=self._keep(weights.frequencies, np.float32),
            norm=self._keep(weights.norm, np.float32),
            unembedding=self._dense(weights.unembedding, None),
        )
        table = (Layer * len(layers))(*map(self._layer, layers))
        if wide and "bf16" in (level or levels[-1]):
            level = [name for name in levels if "bf16" not in name][-1]
        self.engine = CpuEngine(library, network, table, threads, level)
        if coarse:
            self.engine.copy_coarse()
        if packed:
            self.engine.pack()
        self.dense_bytes = self.engine.dense_bytes()
        self.unembedding_bytes = self.engine.unembedding_bytes()

    def _keep(self, values: Values, dtype: DTypeLike = np.uint16) -> int:
        """The address of the values, which stay where they are as long as this object lives."""
        if values.dtype != dtype:
            raise ValueError(f"a weight is {values.dtype}, not {np.dtype(dtype)}")
        values = np.ascontiguousarray(values)
        self._kept.append(values)
        return values.ctypes.data

    def _dense(self, weight: Values, bias: Values | None) -> Dense:
        rows, columns = weight.shape
        return Dense(self._keep(weight), None if bias is None else self._keep(bias), rows, columns)

    def _layer(self, layer: LayerWeights[Values]) -> Layer:
        def dense(linear: Linear[Values]) -> Dense:
            return self._dense(linear.weight, linear.bias)

        def experts(blocks: Values, scales: Values, bias: Values) -> ExpertMatrices:
            _, rows, columns = scales.shape
            codes, powers = self._keep(blocks, np.uint8), self._keep(scales, np.uint8)
            return ExpertMatrices(codes, powers, self._keep(bias), rows, columns * 32)

        parts = layer.experts
        return Layer(
            window=layer.window or 0,
            attention_norm=self._keep(layer.attention_norm, np.float32),
            sinks=self._keep(layer.sinks, np.float32),
            experts_norm=self._keep(layer.experts_norm, np.float32),
            q=dense(layer.q),
            k=dense(layer.k),
            v=dense(layer.v),
            o=dense(layer.o),
            router=dense(layer.router),
            gate_up=experts(parts.gate_up_blocks, parts.gate_up_scales, parts.gate_up_bias),
            down=experts(parts.down_blocks, parts.down_scales, parts.down_bias),
        )

    def new_cache(self, capacity: int | None = None) -> ArrayCache:
        """A cache that can grow beyond `capacity`."""
        wanted = [(window and window + SLACK) or capacity or _FIRST_CAPACITY for window in self._windows]
        buffers = [self._buffer(slots) for slots in wanted]
        places = []
        for buffer, window in zip(buffers, self._windows, strict=True):
            places.append(Positions(2, _TILE) if window is None else None)
            if window is not None:
                buffer.fill(0)
        return ArrayCache(buffers, np.zeros((), np.int64), places, f"native {self.engine.level}", SLACK)

    def _buffer(self, slots: int) -> Values:
        shape = (2, self._kv_heads, -(-slots // _TILE), _TILE * self._weights.head_dim)
        return np.empty(shape, self._dtype)

    def embed(self, ids: Sequence[int]) -> Values:
        """Look up the embeddings; float32. Raises IndexError for an id that has none."""
        rows = np.asarray(ids, np.int64)
        if rows.min(initial=0) < 0:
            raise IndexError(f"token {rows.min()} has no embedding")
        return widen(self._weights.embedding[rows])

    def attend(self, layer: int, x: Values, cache: KVCache[Values]) -> Values:
        """Add grouped-query attention with sinks, in the memory of x if it is float32 in one piece."""
        x, layer = self._stream(x), self._place(layer)
        if not len(x):
            return x
        buffer, end = cache.buffers[layer], cache.length + len(x)
        window = self._windows[layer]
        self._check(buffer, 0 if window is None else window + SLACK)
        if window is None and end > buffer.shape[2] * _TILE:
            grown = self._buffer(max(end, 2 * buffer.shape[2] * _TILE))
            grown[:, :, : buffer.shape[2]] = buffer
            buffer = cache.buffers[layer] = grown
        slots = buffer.shape[2] * _TILE
        place = buffer.ctypes.data, slots, cache.length
        self._run(len(x), self.engine.attend, layer, x.ctypes.data, len(x), *place)
        return x

    def mix(self, layer: int, x: Values, fired: NDArray[np.int64] | None = None) -> Values:
        """Add a mixture of experts, in the memory of x if it is float32 in one piece."""
        x = self._stream(x)
        ids = np.empty((len(x), self._weights.experts_per_token), np.int64)
        if len(x):
            self._run(len(x), self.engine.mix, self._place(layer), x.ctypes.data, len(x), ids.ctypes.data)
        if fired is not None:
            fired[...] = ids
        return x

    def unembed(self, x: Values) -> NDArray[np.float32]:
        """Normalise and multiply with the unembedding."""
        x = self._stream(x)
        logits = np.empty((len(x), len(self._weights.unembedding)), np.float32)
        if len(x):
            self._run(len(x), self.engine.unembed, x.ctypes.data, len(x), logits.ctypes.data)
        return logits

    def sample(
        self,
        x: Values,
        temperature: float,
        top_p: float,
        keys: Sequence[int],
        allowed: NDArray[np.bool_] | None = None,
        *,
        exact: bool = False,
    ) -> Values:
        """Draw in the library; with top-p, where few tokens are left, from the logits."""
        x = self._stream(x)
        drawn = np.empty((len(x), 3))
        if len(keys) != len(x):
            raise ValueError(f"there are {len(keys)} keys for {len(x)} tokens")
        if top_p < 1 and temperature > 0:
            for place, key in enumerate(keys):
                if place % _FEW == 0:
                    logits = self.unembed(x[place : place + _FEW])
                drawn[place] = draw_from_nucleus(logits[place % _FEW], temperature, top_p, key, allowed)
            return drawn
        mask = None if allowed is None else np.ascontiguousarray(allowed, bool)
        self.engine.draw(
            self.engine.handle,
            x.ctypes.data,
            len(x),
            min(temperature, HOTTEST),
            (c_uint64 * len(x))(*keys),
            None if mask is None else mask.ctypes.data,
            exact,
            drawn.ctypes.data,
        )
        return drawn

    def _stream(self, x: Values) -> Values:
        """x itself, or a copy that the library can read."""
        hidden = self._weights.embedding.shape[1]
        if x.ndim != 2 or x.shape[1] != hidden:
            raise ValueError(f"the stream is of shape {list(x.shape)}, not [tokens, {hidden}]")
        return np.ascontiguousarray(x, np.float32)

    def _place(self, layer: int) -> int:
        """The index of a layer, counted from the first. Raises IndexError if there is none."""
        return range(len(self._windows))[layer]

    def _check(self, buffer: Values, slots: int) -> None:
        """Raise ValueError unless `buffer` is one of `_buffer`, with that many slots or more."""
        shape = buffer.shape
        fits = (*shape[:2], *shape[3:]) == (2, self._kv_heads, _TILE * self._weights.head_dim)
        fits = fits and buffer.flags.c_contiguous
        if not fits or buffer.dtype != self._dtype or shape[2] * _TILE < slots:
            raise ValueError("the cache is of another network")

    def _run(self, tokens: int, step: Callable[..., int], *arguments: float) -> None:
        """Raises MemoryError, which tells the bytes in torch's words."""
        if not step(self.engine.handle, *arguments):
            room = self.engine.room(self.engine.handle, tokens)
            raise MemoryError(f"tried to allocate {room} bytes for the activations of {tokens} tokens")


def to_array(values: Values, kept: Kept) -> Values:
    """A weight as it is stored, in the form `kept`; see `to_backend`."""
    if kept == "float32" and values.dtype == np.uint16:
        return widen(values)
    return narrow(values) if kept == "bfloat16" and values.dtype == np.float32 else values


class ArrayCache(KVCache[Values]):
    """A cache in arrays of numpy."""

    def to_bytes(self, part: Values) -> memoryview:
        """A view of the array's memory, or of a copy."""
        return np.ascontiguousarray(part).reshape(-1).view(np.uint8).data

    def from_bytes(self, content: memoryview, like: Values) -> Values:
        """An array in the memory of `content`."""
        return np.frombuffer(content, like.dtype).reshape(like.shape)


def misfit(head_dim: int) -> str | None:
    """Why the library cannot run a network with heads of `head_dim` values; None if it can."""
    if head_dim % 32 or head_dim > 256:
        return f"its heads have {head_dim} values, not 32, 64 or another multiple of 32 up to 256"
    return None
