"""The state of a cache, told to another one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.kernels.cache import Positions
from gptoss_tui.kernels.reference import TensorCache


def cache_of(slots: int, blocks: tuple[int, int], *, filled: bool = False) -> TensorCache:
    """A full buffer with its tokens last, a ring, and one with its tokens first."""
    shapes = (3, slots // blocks[0]), (5, 7), (slots // blocks[1], 2, blocks[1])
    buffers = [torch.randn(shape) if filled else torch.zeros(shape) for shape in shapes]
    positions = [Positions(1, blocks[0]), None, Positions(0, blocks[1])]
    return TensorCache(buffers, torch.zeros((), dtype=torch.int64), positions, kind="test")


@given(blocks=st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([1, 3])), times=st.integers(0, 4))
def test_the_state_of_a_place_is_all_that_another_cache_needs(blocks: tuple[int, int], times: int) -> None:
    cache, other = cache_of(48, blocks, filled=True), cache_of(96, blocks)
    length = times * cache.block
    assert cache.block == blocks[0] * blocks[1]
    cache.advance(length)
    place, ring = cache.snapshot(), cache.buffers[1].clone()
    cache.buffers[1].zero_()  # later tokens
    cache.advance(3)
    state = cache.state(place)
    assert [part.shape for part in state] == [view.shape for view in other.used(length)]
    other.take_over(length, state)
    assert (other.length, int(other.position)) == (length, length)
    assert torch.equal(other.buffers[1], ring)
    for full, block in ((0, blocks[0]), (2, blocks[1])):
        axis, taken = (1, 0)[full > 0], length // block
        ours, theirs = cache.buffers[full], other.buffers[full]
        assert torch.equal(theirs.narrow(axis, 0, taken), ours.narrow(axis, 0, taken))
        assert not theirs.narrow(axis, taken, theirs.shape[axis] - taken).any(), "nothing beyond it"


def test_a_state_ends_at_a_block() -> None:
    with pytest.raises(ValueError, match="5 tokens do not fill blocks of 4"):
        cache_of(48, (4, 1)).used(5)
    with pytest.raises(ValueError, match="13 places are more than the 12 there are"):
        cache_of(48, (4, 1)).used(52)


def test_a_place_to_return_to_may_lie_a_few_tokens_back() -> None:
    cache = TensorCache([torch.zeros(9)], torch.zeros((), dtype=torch.int64), [None], kind="test", slack=3)
    cache.advance(8)
    place = cache.snapshot(6)
    cache.advance(5)
    cache.restore(place)
    assert (cache.length, int(cache.position)) == (6, 6)
    cache.advance(3)
    for length in (5, 10):
        with pytest.raises(ValueError, match=f"9 tokens can go back to 6 at least, not {length}"):
            cache.snapshot(length)
