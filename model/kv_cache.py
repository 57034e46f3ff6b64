"""Keys and values of the tokens read so far: rings for sliding layers, growing buffers for full ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gptoss_tui.model.config import ModelConfig

_FIRST_CAPACITY = 256


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A place in a cache to come back to: its length, and a copy of each ring as it was there."""

    length: int
    rings: tuple[Tensor, ...]


class KVCache:
    """The memory of one conversation, filled by the network as it reads."""

    def __init__(
        self, config: ModelConfig, device: torch.device, dtype: torch.dtype, capacity: int | None = None
    ) -> None:
        """Reserve room for `capacity` tokens in the full layers; more is made when it is needed."""
        self.length = 0
        """Tokens read so far."""
        shape = (2, config.num_key_value_heads, capacity or _FIRST_CAPACITY, config.head_dim)
        ring = (2, config.num_key_value_heads, config.sliding_window, config.head_dim)
        self.layers: list[FullLayer | SlidingLayer] = [
            SlidingLayer(torch.empty(ring, device=device, dtype=dtype))
            if kind == "sliding_attention"
            else FullLayer(torch.empty(shape, device=device, dtype=dtype))
            for kind in config.layer_types
        ]

    def snapshot(self) -> Snapshot:
        """Remember this place. Costs one copy of the rings, whatever the length."""
        return Snapshot(
            self.length, tuple(layer.ring.clone() for layer in self.layers if isinstance(layer, SlidingLayer))
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Forget what was read after `snapshot` was taken from this cache.

        The first `snapshot.length` tokens must still be those of that time: full layers are only cut.
        Raises ValueError if the cache is shorter than the snapshot.
        """
        if snapshot.length > self.length:
            raise ValueError(
                f"a snapshot of {snapshot.length} tokens cannot restore a cache of {self.length}"
            )
        self.length = snapshot.length
        sliding = [layer for layer in self.layers if isinstance(layer, SlidingLayer)]
        for layer, ring in zip(sliding, snapshot.rings, strict=True):
            layer.ring.copy_(ring)


class FullLayer:
    """Every token's key and value, in one buffer [2, kv_heads, capacity, head_dim] that doubles when full."""

    def __init__(self, buffer: Tensor) -> None:
        self.buffer = buffer

    def extend(self, kv: Tensor, length: int) -> Tensor:
        """Add kv [2, kv_heads, tokens, head_dim] after the first `length`; return all, oldest first."""
        end = length + kv.shape[2]
        if end > self.buffer.shape[2]:
            _, heads, capacity, head_dim = self.buffer.shape
            grown = self.buffer.new_empty(2, heads, max(end, 2 * capacity), head_dim)
            grown[:, :, :length] = self.buffer[:, :, :length]
            self.buffer = grown
        self.buffer[:, :, length:end] = kv
        return self.buffer[:, :, :end]


class SlidingLayer:
    """The last `window` tokens, token t in slot t % window of a ring [2, kv_heads, window, head_dim]."""

    def __init__(self, ring: Tensor) -> None:
        self.ring = ring

    def extend(self, kv: Tensor, length: int) -> Tensor:
        """Add kv [2, kv_heads, tokens, head_dim] after `length` tokens; return all that the new ones may see.

        Oldest first for several tokens. A single one sees the ring in any order: keys carry their position.
        """
        window, tokens = self.ring.shape[2], kv.shape[2]
        if tokens == 1:
            self.ring[:, :, length % window] = kv[:, :, 0]
            return self.ring[:, :, : min(length + 1, window)]
        kept = min(length, window)
        order = torch.arange(length - kept, length, device=kv.device) % window
        seen = torch.cat([self.ring[:, :, order], kv], dim=2)
        last = min(tokens, window)
        slots = torch.arange(length + tokens - last, length + tokens, device=kv.device) % window
        self.ring[:, :, slots] = kv[:, :, -last:]
        return seen
