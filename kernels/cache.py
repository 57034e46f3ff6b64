"""KVCache: keys and values of the tokens read so far, in buffers laid out by the backend that fills them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A place in a cache to come back to: its length, and a copy of each ring as it was there."""

    length: int
    rings: tuple[Tensor, ...]


class KVCache:
    """The memory of one conversation."""

    def __init__(self, buffers: list[Tensor], rings: Sequence[int]) -> None:
        """Begin empty. `rings` are the indices of those `buffers` in which new tokens overwrite old ones."""
        self.buffers = buffers
        """The backend's own; it may put a larger one in the place of one that is full and no ring."""
        self.length = 0
        """Tokens read so far."""
        self.position = torch.zeros((), dtype=torch.int64, device=buffers[0].device)
        """The length once more, on the device and always in the same place, for what is captured there."""
        self._rings = rings

    def advance(self, tokens: int) -> None:
        """Count `tokens` more as read, after every layer has written them."""
        self.length += tokens
        self.position += tokens

    def snapshot(self) -> Snapshot:
        """Remember this place. Costs one copy of the rings, whatever the length."""
        return Snapshot(self.length, tuple(self.buffers[ring].clone() for ring in self._rings))

    def restore(self, snapshot: Snapshot) -> None:
        """Forget what was read after `snapshot` was taken from this cache.

        The first `snapshot.length` tokens must still be those of that time: what is no ring is only cut.
        Raises ValueError if the cache is shorter than the snapshot.
        """
        if snapshot.length > self.length:
            raise ValueError(
                f"a snapshot of {snapshot.length} tokens cannot restore a cache of {self.length}"
            )
        self.length = snapshot.length
        self.position.fill_(snapshot.length)
        for ring, kept in zip(self._rings, snapshot.rings, strict=True):
            self.buffers[ring].copy_(kept)
