"""KVCache: keys and values of the tokens read so far, in buffers laid out by the backend that fills them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from typing import NamedTuple

import torch
from torch import Tensor

SLACK = 16
"""Tokens beyond its window that a backend has room for in a ring: the longest draft can be taken back."""


class Positions(NamedTuple):
    """The order of the tokens in a full buffer: along `axis`, `block` of them at each index."""

    axis: int
    block: int = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A place in a cache to return to: the length there, and a copy of each ring as it was."""

    length: int
    rings: tuple[Tensor, ...]


class KVCache:
    """The memory of one conversation."""

    def __init__(
        self, buffers: list[Tensor], positions: Sequence[Positions | None], kind: str, slack: int = 0
    ) -> None:
        """Start empty.

        `positions` has for each of the `buffers` the order of its tokens, None for a ring, in which new
        tokens overwrite old ones. A ring must be zero at first, so that nothing else of the machine's memory
        is ever part of a state. `kind` names the backend, and in it whatever changes the numbers or their
        places: caches of one kind and shape, of one network, may take over each other's state. Each ring has
        room for `slack` tokens more than its layer looks back, so that these are still there when the last
        `slack` tokens turn out to be wrong.
        """
        self.buffers = buffers
        """The backend's buffers; it may replace a full buffer that is no ring by a larger one."""
        self.length = 0
        """Tokens read so far."""
        self.position = torch.zeros((), dtype=torch.int64, device=buffers[0].device)
        """The length as a tensor on the device, always in one place, for steps that are captured there."""
        self.kind = kind
        self.block = lcm(*(place.block for place in positions if place is not None))
        """The state of the cache can be told for lengths that are multiples of this."""
        self._positions = positions
        self._rings = [index for index, place in enumerate(positions) if place is None]
        self.slack = slack
        """Tokens that `cut` can forget. Where a pass over one more fails, nothing read before is lost."""
        self._least = 0

    def advance(self, tokens: int) -> None:
        """Add `tokens` to the length, once every layer has written their keys and values."""
        self.length += tokens
        self.position += tokens
        self._least = max(self._least, self.length - self.slack)

    def cut(self, length: int) -> None:
        """Forget the tokens from `length` on. Costs nothing: what they overwrote is not looked at again.

        Raises ValueError if these are more than `slack`, counted from the greatest length since a `restore`.
        """
        self._check(length)
        self.length = length
        self.position.fill_(length)

    def _check(self, length: int) -> None:
        if not self._least <= length <= self.length:
            raise ValueError(
                f"a cache of {self.length} tokens can go back to {self._least} at least, not {length}"
            )

    def snapshot(self, length: int | None = None) -> Snapshot:
        """Remember this place, or that after `length` tokens. Costs a copy of the rings, whatever the length.

        Raises ValueError for a place to which `cut` could not go back.
        """
        length = self.length if length is None else length
        self._check(length)
        return Snapshot(length, tuple(self.buffers[ring].clone() for ring in self._rings))

    def restore(self, snapshot: Snapshot) -> None:
        """Forget the tokens read since `snapshot` was taken from this cache.

        The first `snapshot.length` tokens must be the same as then: a buffer that is no ring is only cut.
        Raises ValueError if the cache is shorter than the snapshot.
        """
        if snapshot.length > self.length:
            raise ValueError(
                f"a snapshot of {snapshot.length} tokens cannot restore a cache of {self.length}"
            )
        self.length = self._least = snapshot.length
        self.position.fill_(snapshot.length)
        for ring, kept in zip(self._rings, snapshot.rings, strict=True):
            self.buffers[ring].copy_(kept)

    def used(self, length: int) -> list[Tensor]:
        """Views of the buffers as far as `length` tokens fill them, rings whole.

        Raises ValueError unless `length` is a multiple of `block`, RuntimeError if there is no room for so
        many.
        """
        if length % self.block:
            raise ValueError(f"{length} tokens do not fill blocks of {self.block}")
        return [
            buffer if place is None else buffer.narrow(place.axis, 0, length // place.block)
            for buffer, place in zip(self.buffers, self._positions, strict=True)
        ]

    def state(self, snapshot: Snapshot) -> list[Tensor]:
        """All that this cache held at `snapshot`, in the shapes of `used(snapshot.length)`.

        The first tokens must be the same as then, as for `restore`.
        """
        state = self.used(snapshot.length)
        for ring, kept in zip(self._rings, snapshot.rings, strict=True):
            state[ring] = kept
        return state

    def take_over(self, length: int, state: Sequence[Tensor]) -> None:
        """Go on, in this cache, after the first `length` tokens of another, whose `state` there this is."""
        for view, part in zip(self.used(length), state, strict=True):
            view.copy_(part)
        self.length = self._least = length
        self.position.fill_(length)
