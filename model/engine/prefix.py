"""The prefix that the network has read, and the places in it from which the next prompt can continue.

The next prompt mostly begins like the last one, and their common prefix need not be read again. Full layers
can be cut anywhere, but sliding layers are rings without the older tokens, so rewinding needs snapshots: one
at the end of each prompt, where the next turn usually differs first, one at every power of two from
FIRST_MILESTONE on, so that at least half of a longer common prefix is reused, and one at the end of the
opening, where other conversations begin. That one is kept on disk as well, for the next start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gptoss_tui.kernels.cache import Snapshot
from gptoss_tui.kernels.kernels import Stream
from gptoss_tui.model.engine.snapshots import SnapshotFolder
from gptoss_tui.model.transformer import Transformer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SNAPSHOTS = 32
"""Snapshots at most: about 3 MB each on gpt-oss-20b and 5 MB on 120b, in bfloat16."""

FIRST_MILESTONE = 512
"""A prompt is read in chunks up to it: smaller ones would read each expert for few tokens."""


class Prefix:
    """A cache that follows one prompt after another. Openings are on `disk` as well, if that is given."""

    def __init__(self, model: Transformer, disk: SnapshotFolder | None = None) -> None:
        self._model = model
        self._disk = disk
        self.opening = 0
        """The number of the prompt's tokens at which its opening ends; this place is marked."""
        self.forget()

    def forget(self) -> None:
        """Start again with an empty cache, in new memory."""
        self._cache = self._model.new_cache()
        self._ids: list[int] = []
        self._snapshots: dict[int, Snapshot[Any]] = {}
        self.mark()

    def rewind(self, prompt: Sequence[int], opening: int = 0) -> int:
        """Go back to where `prompt` continues; returns how many of its tokens are read already.

        These are never all: the last token must be read to draw the one after it. The first `opening` tokens
        are taken from disk, where they are not read yet.
        """
        shared = _shared(self._ids, prompt[:-1])
        if shared < len(self._ids):
            # The tokens behind later marks are about to be overwritten.
            self._snapshots = {length: s for length, s in self._snapshots.items() if length <= shared}
            self._return_to(self._deepest)
        opening = min(opening, len(prompt) - 1)
        self.opening = opening - opening % self._cache.block
        if self._disk is not None and len(self._ids) < self.opening:
            self._load(self._disk, prompt[: self.opening])
        return len(self._ids)

    def save(self, is_interrupted: Callable[[], bool]) -> None:
        """Write the opening to disk, unless it is there, or until `is_interrupted()`."""
        place = self._snapshots.get(self.opening)
        if self._disk is not None and place is not None:
            self._disk.save(self._ids[: self.opening], self._cache, place, is_interrupted)

    def read(
        self,
        ids: Sequence[int],
        before_layer: Callable[[], None] = lambda: None,
        fired: NDArray[np.int64] | None = None,
        last_only: bool = False,
    ) -> Stream:
        """Read `ids`, too, as `Transformer.read` does; returns their stream.

        If this or `before_layer` raises, the tokens read before remain.
        """
        place = self._cache.snapshot() if len(ids) > self._cache.slack + 1 else None
        try:
            stream = self._model.read(ids, self._cache, before_layer, fired, last_only)
        except BaseException:
            if place:
                self._return_to(place)
            raise
        self._ids += ids
        if is_milestone(len(self._ids)) or len(self._ids) == self.opening:
            self.mark()
        return stream

    @property
    def draftable(self) -> int:
        """The most tokens that may be read after the next one and `cut` again: none beyond a milestone."""
        place = len(self._ids)
        milestone = max(FIRST_MILESTONE, 1 << place.bit_length())
        return max(0, min(self._cache.slack, milestone - place - 2))

    def cut(self, length: int) -> None:
        """Forget the tokens from `length` on, which were read after the last mark; at most `draftable`."""
        self._cache.cut(length)
        del self._ids[length:]

    def mark(self, length: int | None = None) -> None:
        """Mark this place to return to it, or that after `length` tokens, to which `cut` could go back.

        Beyond `SNAPSHOTS` the first mark is dropped that is neither a milestone nor the end of the opening.
        """
        self._snapshots[len(self._ids) if length is None else length] = self._cache.snapshot(length)
        if len(self._snapshots) > SNAPSHOTS:
            lasting = {0, self.opening}
            del self._snapshots[min(n for n in self._snapshots if n not in lasting and not is_milestone(n))]

    def _load(self, disk: SnapshotFolder, ids: Sequence[int]) -> None:
        """Take `ids` from disk, if they are there; otherwise all stays as it is."""
        cache = self._model.new_cache(2 * len(ids))
        start = cache.snapshot()
        if disk.load(ids, cache):
            self._cache, self._ids, self._snapshots = cache, list(ids), {0: start}
            self.mark()

    @property
    def _deepest(self) -> Snapshot[Any]:
        return self._snapshots[max(self._snapshots)]

    def _return_to(self, place: Snapshot[Any]) -> None:
        self._cache.restore(place)
        del self._ids[place.length :]


def is_milestone(length: int) -> bool:
    """Whether `length` is always marked: a power of two from FIRST_MILESTONE on."""
    return length >= FIRST_MILESTONE and length & (length - 1) == 0


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """The length of the longest common prefix."""
    differing = (index for index, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differing, min(len(a), len(b)))
