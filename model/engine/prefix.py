"""The prefix that the network has read, and the places in it from which the next prompt can continue.

The next prompt mostly begins like the last one, and their common prefix need not be read again. Full layers
can be cut anywhere, but sliding layers are rings without the older tokens, so rewinding needs snapshots: one
at the end of each prompt, where the next turn usually differs first, and one at every power of two, so that
at least half of a common prefix is always reused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gptoss_tui.kernels.cache import Snapshot
from gptoss_tui.model.transformer import Transformer

SNAPSHOTS = 32
"""Snapshots at most: about 3 MB each on gpt-oss-20b and 5 MB on 120b, in bfloat16."""

FIRST_MILESTONE = 128


class Prefix:
    """A cache that follows one prompt after another."""

    def __init__(self, model: Transformer) -> None:
        self._model = model
        self.forget()

    def forget(self) -> None:
        """Start again with an empty cache, in new memory."""
        self._cache = self._model.new_cache()
        self._ids: list[int] = []
        self._snapshots: dict[int, Snapshot] = {}
        self.mark()

    def rewind(self, prompt: Sequence[int]) -> int:
        """Go back to where `prompt` continues; returns how many of its tokens are read already.

        These are never all: the last token must be read to draw the one after it.
        """
        shared = _shared(self._ids, prompt[:-1])
        if shared < len(self._ids):
            # The tokens behind later marks are about to be overwritten.
            self._snapshots = {length: s for length, s in self._snapshots.items() if length <= shared}
            self._return_to(self._deepest)
        return len(self._ids)

    def read(
        self,
        ids: Sequence[int],
        before_layer: Callable[[], None] = lambda: None,
        fired: Tensor | None = None,
    ) -> Tensor:
        """Read `ids`, too, as `Transformer.read` does; returns the stream [1, hidden] of the last one.

        If this or `before_layer` raises, the tokens read before remain, or if `ids` is a single one, at least
        those up to the last mark.
        """
        place = self._cache.snapshot() if len(ids) > 1 else self._deepest
        try:
            tokens = torch.tensor(ids, device=self._model.device)
            stream = self._model.read(tokens, self._cache, before_layer, fired)
        except BaseException:
            self._return_to(place)
            raise
        self._ids += ids
        if is_milestone(len(self._ids)):
            self.mark()
        return stream[-1:]

    def mark(self) -> None:
        """Mark this place to return to it; beyond `SNAPSHOTS`, the first mark but a milestone is dropped."""
        self._snapshots[len(self._ids)] = self._cache.snapshot()
        if len(self._snapshots) > SNAPSHOTS:
            del self._snapshots[min(n for n in self._snapshots if n and not is_milestone(n))]

    @property
    def _deepest(self) -> Snapshot:
        return self._snapshots[max(self._snapshots)]

    def _return_to(self, place: Snapshot) -> None:
        self._cache.restore(place)
        del self._ids[place.length :]


def is_milestone(length: int) -> bool:
    """Whether `length` is always marked: a power of two from FIRST_MILESTONE on."""
    return length >= FIRST_MILESTONE and length & (length - 1) == 0


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """The length of the longest common prefix."""
    differing = (index for index, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differing, min(len(a), len(b)))
