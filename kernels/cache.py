"""KVCache: keys and values of the tokens read so far, in buffers laid out by the backend that fills them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A place in a cache to return to: the length there, and a copy of each ring as it was."""

    length: int
    rings: tuple[Tensor, ...]


class KVCache:
    """The memory of one conversation."""

    def __init__(self, buffers: list[Tensor], rings: Sequence[int]) -> None:
        """Start empty. `rings` are the indices of those `buffers` in which new tokens overwrite old ones."""
        self.buffers = buffers
        """The backend's buffers; it may replace a full buffer that is no ring by a larger one."""
        self.length = 0
        """Tokens read so far."""
        self.position = torch.zeros((), dtype=torch.int64, device=buffers[0].device)
        """The length as a tensor on the device, always in one place, for steps that are captured there."""
        self._rings = rings

    def advance(self, tokens: int) -> None:
        """Add `tokens` to the length, once every layer has written their keys and values."""
        self.length += tokens
        self.position += tokens

    def snapshot(self) -> Snapshot:
        """Remember this place. Costs one copy of the rings, whatever the length."""
        return Snapshot(self.length, tuple(self.buffers[ring].clone() for ring in self._rings))

    def restore(self, snapshot: Snapshot) -> None:
        """Forget the tokens read since `snapshot` was taken from this cache.

        The first `snapshot.length` tokens must be the same as then: a buffer that is no ring is only cut.
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
