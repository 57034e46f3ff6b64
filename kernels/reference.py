"""gpt-oss in plain PyTorch, on any device: readable, and the oracle of fast backends.

Works in the dtype of the weights, float32 or bfloat16; norms and softmax are always taken in float32.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gptoss_tui.kernels import mxfp4
from gptoss_tui.kernels.cache import SLACK, KVCache, Positions
from gptoss_tui.kernels.kernels import HOTTEST, ExpertWeights, Kept, NetworkWeights, Precision

DTYPES: dict[Precision, torch.dtype] = {"bfloat16": torch.bfloat16, "float32": torch.float32}

_FIRST_CAPACITY = 256  # tokens
_SCORES_AT_ONCE = 1 << 24  # 64 MiB of float32: bounds the memory of a long prompt
_WORD = 2**32 - 1


class Reference:
    """`Kernels` that keeps the weights in their given layout.

    Buffer i of a cache is layer i's: keys and values [2, kv_heads, slots, head_dim], in a ring with slack
    beyond its window, or in a buffer that doubles when it is full.
    """

    def __init__(self, weights: NetworkWeights[Tensor]) -> None:
        self.layers = list(weights.layers)
        self._weights = weights
        self.dense_bytes: float = weights.unembedding.dtype.itemsize
        self.unembedding_bytes: float = self.dense_bytes
        self._rotation_at: tuple[int, int] | None = None

    def new_cache(self, capacity: int | None = None) -> TensorCache:
        """A cache that can grow beyond `capacity`; in all else this class does as `Kernels` says."""
        buffers: list[Tensor] = []
        positions: list[Positions | None] = []
        for layer in self.layers:
            slots = (capacity or _FIRST_CAPACITY) if layer.window is None else layer.window + SLACK
            head_dim = self._weights.head_dim
            heads = len(layer.k.bias) // head_dim
            buffers.append(layer.k.bias.new_zeros(2, heads, slots, head_dim))
            positions.append(Positions(axis=2) if layer.window is None else None)
        device = self._weights.embedding.device
        position = torch.zeros((), dtype=torch.int64, device=device)
        return TensorCache(buffers, position, positions, f"reference {device.type}", SLACK)

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Look up the embeddings."""
        embedding = self._weights.embedding
        return F.embedding(torch.as_tensor(ids, device=embedding.device), embedding)

    def attend(self, layer: int, x: Tensor, cache: KVCache[Tensor]) -> Tensor:
        """Add grouped-query attention with sinks; heads * head_dim need not be the hidden size."""
        weights = self.layers[layer]
        normed = self._norm(x, weights.attention_norm)
        turn = self._rotation(cache, len(x))
        q = rotate(self._heads(F.linear(normed, *weights.q)), *turn)
        k = rotate(self._heads(F.linear(normed, *weights.k)), *turn)
        kv = torch.stack([k, self._heads(F.linear(normed, *weights.v))])
        if weights.window is None:
            keys, values = _append(cache, layer, kv)
        else:
            keys, values = _append_to_ring(cache, layer, kv, weights.window)
        mixed = attention(q, keys, values, weights.sinks, weights.window)
        return x + F.linear(mixed.transpose(0, 1).flatten(1), *weights.o)

    def mix(self, layer: int, x: Tensor, fired: NDArray[np.int64] | None = None) -> Tensor:
        """Add a mixture of experts."""
        weights, whole = self.layers[layer], self._weights
        normed = self._norm(x, weights.experts_norm)
        chosen, shares = route(F.linear(normed, *weights.router), whole.experts_per_token)
        if fired is not None:
            fired[...] = chosen.cpu()
        alpha, limit = whole.swiglu_alpha, whole.swiglu_limit
        return x + experts(normed, chosen, shares, weights.experts, alpha=alpha, limit=limit)

    def unembed(self, x: Tensor) -> NDArray[np.float32]:
        """Normalise and multiply with the unembedding."""
        logits: NDArray[np.float32] = self._logits(x).cpu().numpy()
        return logits

    def sample(
        self,
        x: Tensor,
        temperature: float,
        top_p: float,
        keys: Sequence[int],
        allowed: NDArray[np.bool_] | None = None,
        *,
        exact: bool = False,
    ) -> Tensor:
        """Draw from the logits."""
        mask = None if allowed is None else torch.from_numpy(allowed).to(x.device)
        rows = zip(self._logits(x), keys, strict=True)
        return torch.stack([sample(logits, temperature, top_p, key, mask) for logits, key in rows])

    def _logits(self, x: Tensor) -> Tensor:
        return F.linear(self._norm(x, self._weights.norm), self._weights.unembedding).float()

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """The root-mean-square norm, weight included in float32; the result takes the dtype of x last."""
        return F.rms_norm(x.float(), weight.shape, weight, self._weights.norm_eps).to(x.dtype)

    def _heads(self, x: Tensor) -> Tensor:
        """[tokens, heads * head_dim] -> [heads, tokens, head_dim]."""
        return x.view(len(x), -1, self._weights.head_dim).transpose(0, 1)

    def _rotation(self, cache: KVCache[Tensor], tokens: int) -> tuple[Tensor, Tensor]:
        """The rotation of the next `tokens`, computed once for all layers."""
        if self._rotation_at != (cache.length, tokens):
            whole = self._weights
            cos, sin = rotation(whole.frequencies, cache.position, tokens, whole.concentration)
            dtype = whole.embedding.dtype
            self._turn = cos.to(dtype), sin.to(dtype)
            self._rotation_at = cache.length, tokens
        return self._turn


def to_tensor(values: NDArray[Any], kept: Kept, device: str) -> Tensor:
    """A weight as it is stored, on `device` in the form `kept`; see `to_backend`."""
    if values.dtype == np.uint16:  # torch has few operations on it
        values = values.view(np.int16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the file is mapped for reading only: nothing is written
        tensor = torch.from_numpy(values)
    if tensor.dtype == torch.int16:
        tensor = tensor.view(torch.bfloat16)
    return tensor.to(device, None if kept == "mxfp4" else DTYPES[kept])


class TensorCache(KVCache[Tensor]):
    """A cache in tensors."""

    def to_bytes(self, part: Tensor) -> memoryview:
        """A view of the tensor's memory, or of a copy."""
        content: memoryview = part.contiguous().cpu().view(-1).view(torch.uint8).numpy().data
        return content

    def from_bytes(self, content: memoryview, like: Tensor) -> Tensor:
        """A tensor in the memory of `content`."""
        return torch.frombuffer(content, dtype=like.dtype).view(like.shape)


def _append(cache: KVCache[Tensor], layer: int, kv: Tensor) -> Tensor:
    """Append kv [2, kv_heads, tokens, head_dim] to a full layer; returns all of them, oldest first."""
    buffer, length = cache.buffers[layer], cache.length
    end = length + kv.shape[2]
    if end > buffer.shape[2]:
        _, heads, capacity, head_dim = buffer.shape
        grown = buffer.new_empty(2, heads, max(end, 2 * capacity), head_dim)
        grown[:, :, :length] = buffer[:, :, :length]
        buffer = cache.buffers[layer] = grown
    buffer[:, :, length:end] = kv
    return buffer[:, :, :end]


def _append_to_ring(cache: KVCache[Tensor], layer: int, kv: Tensor, window: int) -> Tensor:
    """Write kv [2, kv_heads, tokens, head_dim], token t to slot t % slots; returns all that they may see.

    The oldest comes first.
    """
    ring, length = cache.buffers[layer], cache.length
    slots, tokens = ring.shape[2], kv.shape[2]
    if tokens == 1:
        ring[:, :, length % slots] = kv[:, :, 0]
        end = length % slots + 1
        start = end - min(length + 1, window)
        return (
            ring[:, :, start:end] if start >= 0 else torch.cat([ring[:, :, start:], ring[:, :, :end]], dim=2)
        )
    older = torch.arange(length - min(length, window), length, device=kv.device) % slots
    seen = torch.cat([ring[:, :, older], kv], dim=2)
    last = min(tokens, slots)
    newest = torch.arange(length + tokens - last, length + tokens, device=kv.device) % slots
    ring[:, :, newest] = kv[:, :, -last:]
    return seen


def rotation(
    frequencies: Tensor, start: Tensor | int, tokens: int, concentration: float
) -> tuple[Tensor, Tensor]:
    """Cosine and signed sine [tokens, head_dim] of the positions from `start`, for `rotate`."""
    positions = start + torch.arange(tokens, device=frequencies.device)
    angles = torch.outer(positions.to(frequencies.dtype), frequencies)
    cos, sin = angles.cos() * concentration, angles.sin() * concentration
    return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate x [heads, tokens, head_dim]: value i of the first half pairs with value i of the second."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)


def route(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Router logits [tokens, E] -> the k best experts int64 [tokens, k] and their weights [tokens, k].

    The softmax runs over the chosen k alone.
    """
    best, chosen = logits.topk(k, dim=-1)
    return chosen, best.float().softmax(dim=-1).to(logits.dtype)


def swiglu(x: Tensor, alpha: float = 1.702, limit: float = 7.0) -> Tensor:
    """The clamped activation of gpt-oss: [..., 2I] with gate and up interleaved -> [..., I].

    gate * sigmoid(alpha * gate) * (up + 1), gate clamped from above only, up on both sides.
    """
    gate = x[..., 0::2].clamp(max=limit)
    up = x[..., 1::2].clamp(-limit, limit)
    return gate * torch.sigmoid(alpha * gate) * (up + 1)


def experts(
    x: Tensor,
    chosen: Tensor,
    weights: Tensor,
    layer: ExpertWeights[Tensor],
    *,
    alpha: float = 1.702,
    limit: float = 7.0,
) -> Tensor:
    """Mix the chosen experts: x [tokens, H], chosen and weights [tokens, k] -> [tokens, H].

    Weights are decoded from MXFP4 when they are needed: for one token its k experts together, for several
    tokens each chosen expert in turn, once.
    """
    if len(x) == 1:
        return weights @ _run(x, chosen[0], layer, alpha, limit).squeeze(1)
    out = torch.zeros_like(x)
    for expert in torch.unique(chosen):
        token, slot = torch.where(chosen == expert)
        y = _run(x[token], expert.view(1), layer, alpha, limit).squeeze(0)
        out.index_add_(0, token, y * weights[token, slot].unsqueeze(-1))
    return out


def _run(x: Tensor, which: Tensor, layer: ExpertWeights[Tensor], alpha: float, limit: float) -> Tensor:
    """x [tokens, H] through each of the experts `which` int64 [n] -> [n, tokens, H]."""
    up_blocks, up_scales, up_bias, down_blocks, down_scales, down_bias = (
        part.index_select(0, which) for part in layer
    )
    inner = x @ mxfp4.decode(up_blocks, up_scales, x.dtype).mT + up_bias.unsqueeze(1)
    inner = swiglu(inner, alpha, limit)
    return inner @ mxfp4.decode(down_blocks, down_scales, x.dtype).mT + down_bias.unsqueeze(1)


def attention(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int | None = None) -> Tensor:
    """Causal attention: q [heads, tokens, d], k and v [kv_heads, keys, d], sinks [heads] -> like q.

    The last query has the position of the last key; earlier keys come from a cache. Heads from
    h * heads / kv_heads on share key head h. A head's learned sink joins its softmax as one more column,
    unscaled, whose value is dropped. With a `window` each query sees that many keys, its own included.
    """
    heads, tokens, _ = q.shape
    past = k.shape[1] - tokens
    at_once = max(1, _SCORES_AT_ONCE // (heads * k.shape[1]))
    if window is not None and window < k.shape[1]:
        at_once = max(window, 64)  # few enough that each query sees most of the keys of its piece
    parts = []
    for start in range(0, tokens, at_once):
        stop = min(start + at_once, tokens)
        first = 0 if window is None else max(0, past + start - window + 1)
        seen = slice(first, past + stop)
        parts.append(_attend(q[:, start:stop], k[:, seen], v[:, seen], sinks, window))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _attend(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int | None) -> Tensor:
    heads, tokens, head_dim = q.shape
    kv_heads, keys, _ = k.shape
    scores = (q.reshape(kv_heads, -1, head_dim) @ k.mT).view(heads, tokens, keys).float() * head_dim**-0.5
    if tokens > 1:  # a single query sees all keys
        distance = torch.arange(keys - tokens, keys, device=q.device).unsqueeze(1)
        distance = distance - torch.arange(keys, device=q.device)
        hidden = distance < 0 if window is None else (distance < 0) | (distance >= window)
        scores = scores.masked_fill(hidden, float("-inf"))
    sink = sinks.float().view(heads, 1, 1).expand(heads, tokens, 1)
    share = torch.cat([scores, sink], dim=-1).softmax(dim=-1)[..., :-1].to(v.dtype)
    return (share.reshape(kv_heads, -1, keys) @ v).view(heads, tokens, head_dim)


def sample(
    logits: Tensor, temperature: float, top_p: float, key: int, allowed: Tensor | None = None
) -> Tensor:
    """Draw from `logits` [vocab] float32 as `Kernels.sample` does for one row; float64 [3].

    The largest of the logits plus Gumbel noise is distributed as their softmax says: Gumbel, "Statistical
    Theory of Extreme Values" (1954); Maddison, Tarlow and Minka, "A* Sampling" (2014), section 2.
    """
    greedy = temperature == 0
    # Bounded, so that a temperature too small or large for float32 means greedy or any, and not 0 * infinity.
    temperature = min(temperature, HOTTEST)
    sharpness = 1.0 if greedy else min(1 / temperature, 1e30)
    bad = logits.numel() - logits.isfinite().count_nonzero()
    peak = logits.max()
    total = _unnormalised(logits, peak, sharpness).sum()
    candidates = logits if allowed is None else logits.masked_fill(~allowed, -math.inf)
    scores = candidates.double()
    if not greedy:
        noise = gumbel(key, len(logits), logits.device)
        scores = scores + temperature * noise
        if top_p < 1:
            # Relative to the best allowed logit, so that the allowed ones do not vanish beside a larger one.
            ids, size = nucleus(_unnormalised(candidates, candidates.max(), sharpness), top_p)
            kept = torch.zeros_like(logits, dtype=torch.bool)
            kept[ids] = torch.arange(len(ids), device=ids.device) < size
            scores = scores.masked_fill(~kept, -math.inf)
    best, token = scores.max(0)
    logprob = (logits.take(token).double() - peak.double()) * sharpness - total.log()
    return torch.stack([token.where(best != -math.inf, -1).double(), logprob, bad.double()])


def gumbel(key: int, rows: int, device: torch.device | str = "cpu") -> Tensor:
    """The noise of each of the ids below `rows` under `key`, of 64 bits: standard Gumbel, float64 [rows].

    Counter-based: a hash of key and id, which any backend computes in any order. Its upper tail decides
    draws, and is exact to one id in 2^32.
    """
    low, high = key & _WORD, key >> 32 & _WORD
    bits = _mix(_mix(torch.arange(rows, device=device) ^ low) ^ high)
    # Exponential, from the number in (0, 1) that the bits are of.
    return -(-torch.log1p(-((bits.double() + 0.5) / 2**32))).log()


def _mix(bits: Tensor) -> Tensor:
    """A permutation of 32 bits, in int64: lowbias32 (Wellons, "Prospecting for Hash Functions", 2018)."""
    bits = ((bits ^ bits >> 16) * 0x7FEB352D) & _WORD
    bits = ((bits ^ bits >> 15) * 0x846CA68B) & _WORD
    return bits ^ bits >> 16


def _unnormalised(logits: Tensor, peak: Tensor, sharpness: float) -> Tensor:
    """Probabilities [vocab] float64, 1 where the logits are at their `peak`."""
    return (logits - peak).mul_(sharpness).exp_().double()


def nucleus(weights: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """The smallest set with at least `p` of the mass of `weights` [vocab]: ids, and the size of the set.

    Ids are sorted by falling weight; those beyond the set follow it. The set has at least one id.
    Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020), section 3.1.
    """
    goal = p * weights.sum()
    # Sorting only the largest weights is quicker, but only a wait tells whether those were enough.
    window = 256 if weights.is_cpu else len(weights)
    while True:
        top, ids = weights.topk(min(window, len(weights)))
        size = (top.cumsum(0) < goal).sum() + 1
        # Equal weights at the edge go to the lowest ids, so all of them must lie inside the window.
        if len(top) == len(weights) or (size < len(top) and top[size - 1] > top[-1]):
            break
        window *= 16
    ids = ids.sort().values
    ids = ids[weights[ids].sort(descending=True, stable=True).indices]
    return ids, size.clamp(max=len(ids))
