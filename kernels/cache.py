"""KVCache: keys and values of the tokens read so far, in buffers laid out by the backend that fills them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import lcm
from typing import Generic, NamedTuple

from gptoss_tui.kernels.arrays import A

SLACK = 16
"""Tokens beyond its window that a backend has room for in a ring: the longest draft can be taken back."""


class Positions(NamedTuple):
    """The order of the tokens in a full buffer: along `axis`, `block` of them at each index."""

    axis: int
    block: int = 1


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[A]):
    """A place in a cache to return to: the length there, and a copy of each ring as it was."""

    length: int
    rings: tuple[A, ...]


class KVCache(ABC, Generic[A]):
    """The memory of one conversation, in buffers of the kind that a subclass is for."""

    def __init__(
        self,
        buffers: list[A],
        position: A,
        positions: Sequence[Positions | None],
        kind: str,
        slack: int = 0,
    ) -> None:
        """Start empty.

        `positions` has for each of the `buffers` the order of its tokens, None for a ring, in which new
        tokens overwrite old ones. A ring must be zero at first, so that nothing else of the machine's memory
        is ever part of a state. `kind` names the backend, and in it whatever changes the numbers or their
        places: caches of one kind and shape, of one network, may take over each other's state. Each ring has
        room for `slack` tokens more than its layer looks back, so that these are still there when the last
        `slack` tokens turn out to be wrong. `position`, a zero in int64, lies where the buffers are.
        """
        self.buffers = buffers
        """The backend's buffers; it may replace a full buffer that is no ring by a larger one."""
        self.length = 0
        """Tokens read so far."""
        self.position = position
        """The length on the device, always in one place, for steps that are captured there."""
        self.kind = kind
        self.block = lcm(*(place.block for place in positions if place is not None))
        """The state of the cache can be told for lengths that are multiples of this."""
        self._positions = positions
        self._rings = [index for index, place in enumerate(positions) if place is None]
        self.slack = slack
        """Tokens that `cut` can forget. Where a pass over one more fails, nothing read before is lost."""
        self._least = 0

    @abstractmethod
    def to_bytes(self, part: A) -> memoryview:
        """The bytes of a part of a state, in main memory."""

    @abstractmethod
    def from_bytes(self, content: memoryview, like: A) -> A:
        """The part of a state that `to_bytes` had, in main memory, in shape and dtype as `like`."""

    def advance(self, tokens: int) -> None:
        """Add `tokens` to the length, once every layer has written their keys and values."""
        self._move(self.length + tokens)
        self._least = max(self._least, self.length - self.slack)

    def cut(self, length: int) -> None:
        """Forget the tokens from `length` on. Costs nothing: what they overwrote is not looked at again.

        Raises ValueError if these are more than `slack`, counted from the greatest length since a `restore`.
        """
        self._check(length)
        self._move(length)

    def _check(self, length: int) -> None:
        if not self._least <= length <= self.length:
            raise ValueError(
                f"a cache of {self.length} tokens can go back to {self._least} at least, not {length}"
            )

    def snapshot(self, length: int | None = None) -> Snapshot[A]:
        """Remember this place, or that after `length` tokens. Costs a copy of the rings, whatever the length.

        Raises ValueError for a place to which `cut` could not go back.
        """
        length = self.length if length is None else length
        self._check(length)
        return Snapshot(length, tuple(deepcopy(self.buffers[ring]) for ring in self._rings))

    def restore(self, snapshot: Snapshot[A]) -> None:
        """Forget the tokens read since `snapshot` was taken from this cache.

        The first `snapshot.length` tokens must be the same as then: a buffer that is no ring is only cut.
        Raises ValueError if the cache is shorter than the snapshot.
        """
        if snapshot.length > self.length:
            raise ValueError(
                f"a snapshot of {snapshot.length} tokens cannot restore a cache of {self.length}"
            )
        self._least = snapshot.length
        self._move(snapshot.length)
        for ring, kept in zip(self._rings, snapshot.rings, strict=True):
            self.buffers[ring][...] = kept

    def used(self, length: int) -> list[A]:
        """Views of the buffers as far as `length` tokens fill them, rings whole.

        Raises ValueError unless `length` is a multiple of `block` for which there is room.
        """
        if length % self.block:
            raise ValueError(f"{length} tokens do not fill blocks of {self.block}")
        return [
            buffer if place is None else _first(buffer, place.axis, length // place.block)
            for buffer, place in zip(self.buffers, self._positions, strict=True)
        ]

    def state(self, snapshot: Snapshot[A]) -> list[A]:
        """All that this cache held at `snapshot`, in the shapes of `used(snapshot.length)`.

        The first tokens must be the same as then, as for `restore`.
        """
        state = self.used(snapshot.length)
        for ring, kept in zip(self._rings, snapshot.rings, strict=True):
            state[ring] = kept
        return state

    def take_over(self, length: int, state: Sequence[A]) -> None:
        """Go on, in this cache, after the first `length` tokens of another, whose `state` there this is."""
        for view, part in zip(self.used(length), state, strict=True):
            view[...] = part
        self._least = length
        self._move(length)

    def _move(self, length: int) -> None:
        self.length = length
        self.position[...] = length


def _first(buffer: A, axis: int, count: int) -> A:
    """A view of the first `count` places along an axis. Raises ValueError if there are fewer."""
    if count > buffer.shape[axis]:
        raise ValueError(f"{count} places are more than the {buffer.shape[axis]} there are")
    view: A = buffer[(slice(None),) * axis + (slice(count),)]
    return view
