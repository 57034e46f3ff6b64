"""However a prompt is cut, cached or rewound, the logits are those of reading it at once.

test_fidelity.py checks the logits themselves.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gptoss_tui.kernels.choose import Backend
from gptoss_tui.kernels.reference import Reference
from gptoss_tui.model import load_model
from gptoss_tui.model.transformer import Transformer
from gptoss_tui.model.weights import for_kernels, is_mxfp4, layout

Logits = NDArray[np.float32]


def assert_close(model: Transformer, found: Logits, expected: Logits) -> None:
    """The native kernels round activations to 16 bits, in another order for few tokens than for many."""
    bound = 2e-5 if model.backend == "plain" else 5e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound)


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Callable[..., Path], backend: Backend
) -> Transformer:
    """Four layers, alternating; a window of 8."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("tiny"))
    return load_model(folder, dtype="float32", backend=backend)


def prompt(tokens: int, seed: int = 0) -> list[int]:
    return random.Random(seed).choices(range(320), k=tokens)


@given(cuts=st.lists(st.integers(1, 20), min_size=1, max_size=8))
@settings(max_examples=12)
def test_any_chunks_equal_one_shot(model: Transformer, cuts: list[int]) -> None:
    ids = prompt(sum(cuts))
    cache = model.new_cache(capacity=1)
    ends = list(accumulate(cuts))
    parts = [model(ids[end - cut : end], cache) for cut, end in zip(cuts, ends, strict=True)]
    assert cache.length == len(ids)
    assert_close(model, np.concatenate(parts), model(ids))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 14)), min_size=1, max_size=10))
@settings(max_examples=12)
def test_restoring_forgets_all_that_came_after(model: Transformer, moves: list[tuple[bool, int]]) -> None:
    """Walk: read some tokens, or go back to the last snapshot and take another way."""
    cache = model.new_cache()
    held = prompt(5)
    model(held, cache)
    marked, snapshot = held, cache.snapshot()
    for step, (back, tokens) in enumerate(moves):
        if back:
            cache.restore(snapshot)
            held = marked
        elif step % 2:
            marked, snapshot = held, cache.snapshot()
        more = prompt(tokens, seed=step + 1)
        held = held + more
        logits = model(more, cache)
        assert cache.length == len(held)
        assert_close(model, logits, model(held)[-tokens:])


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20), st.booleans()), min_size=1, max_size=14))
@settings(max_examples=25)
def test_cutting_forgets_the_last_tokens(model: Transformer, moves: list[tuple[int, int, bool]]) -> None:
    """Walk: read some tokens, and take some back or leave the next pass half-way."""
    cache = model.new_cache()
    assert cache.slack >= 15
    held = prompt(3)
    model(held, cache)
    for step, (tokens, back, fails) in enumerate(moves):
        more = prompt(tokens, seed=step + 1)
        logits = model(more, cache)
        held = held + more
        assert_close(model, logits, model(held)[-tokens:])
        if fails:
            layers = iter([None] * (step % 4))
            with pytest.raises(StopIteration):
                model.read(prompt(cache.slack + 1, seed=99), cache, layers.__next__)
        else:
            held = held[: len(held) - min(back, tokens, cache.slack)]
            cache.cut(len(held))
        assert (cache.length, int(cache.position)) == (len(held), len(held))
    assert_close(model, model(prompt(2, seed=98), cache), model(held + prompt(2, seed=98))[-2:])


def test_what_is_overwritten_cannot_be_cut(model: Transformer) -> None:
    cache = model.new_cache()
    model(prompt(100), cache)
    cache.cut(99)
    with pytest.raises(ValueError, match="a cache of 99 tokens can go back to 84 at least, not 83"):
        cache.cut(83)
    with pytest.raises(ValueError, match="not 100"):
        cache.cut(100)
    snapshot = cache.snapshot()
    model(prompt(1), cache)
    cache.restore(snapshot)
    with pytest.raises(ValueError, match="99 at least"):
        cache.cut(98)


def test_a_snapshot_is_not_touched_by_what_follows_and_serves_twice(model: Transformer) -> None:
    cache = model.new_cache()
    model(prompt(30), cache)
    snapshot = cache.snapshot()
    first = model(prompt(9, seed=7), cache)
    for _ in range(2):
        cache.restore(snapshot)
        assert cache.length == 30
        assert_close(model, model(prompt(9, seed=7), cache), first)


def test_a_snapshot_of_the_future_is_refused(model: Transformer) -> None:
    cache = model.new_cache()
    model(prompt(5), cache)
    later = cache.snapshot()
    with pytest.raises(ValueError, match="5 tokens cannot restore a cache of 0"):
        model.new_cache().restore(later)


def test_last_only_is_the_last_row(model: Transformer) -> None:
    last = model(prompt(12), last_only=True)
    assert last.shape == (1, 320) and last.dtype == np.float32
    assert_close(model, last, model(prompt(12))[-1:])


def test_there_must_be_a_token(model: Transformer) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        model([])


def test_a_step_waits_for_no_device(model: Transformer) -> None:
    """On the meta device there are no values, so whatever asks for one raises."""
    values = {
        name: torch.empty(shape, dtype=torch.uint8 if is_mxfp4(name) else None, device="meta")
        for name, shape in layout(model.config).items()
    }
    frequencies = torch.empty(model.config.head_dim // 2, device="meta")
    network = Transformer(model.config, Reference(for_kernels(model.config, values, frequencies)))
    cache, rows = network.new_cache(), model.config.vocab_size
    for _ in range(10):  # beyond the window
        stream = network.read([0], cache)
        for temperature, top_p in ((0.0, 1.0), (1.0, 1.0), (1.0, 0.9)):
            for allowed in (None, np.ones(rows, bool)):
                assert network.kernels.sample(stream, temperature, top_p, [7], allowed).shape == (1, 3)


def test_the_length_is_on_the_device_too(model: Transformer) -> None:
    cache = model.new_cache()
    place = cache.position
    model(prompt(7), cache)
    snapshot = cache.snapshot()
    model(prompt(1), cache)
    assert (cache.length, int(cache.position)) == (8, 8)
    cache.restore(snapshot)
    assert (cache.length, int(cache.position)) == (7, 7)
    assert cache.position is place
