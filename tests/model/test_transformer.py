"""However a prompt is cut, cached or rewound, the logits are those of reading it at once.

test_fidelity.py checks the logits themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_tui.kernels.choose import Backend
from gptoss_tui.model import load_model
from gptoss_tui.model.transformer import Transformer
from gptoss_tui.model.weights import layout


def assert_close(model: Transformer, found: torch.Tensor, expected: torch.Tensor) -> None:
    """The native kernels round activations to 16 bits, in another order for few tokens than for many."""
    bound = 2e-5 if model.backend == "plain" else 5e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=bound)


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Callable[..., Path], backend: Backend
) -> Transformer:
    """Four layers, alternating; a window of 8."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("tiny"))
    return load_model(folder, dtype=torch.float32, backend=backend)


def prompt(tokens: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(320, (tokens,), generator=torch.Generator().manual_seed(seed))


@given(cuts=st.lists(st.integers(1, 20), min_size=1, max_size=8))
@settings(max_examples=12)
def test_any_chunks_equal_one_shot(model: Transformer, cuts: list[int]) -> None:
    ids = prompt(sum(cuts))
    cache = model.new_cache(capacity=1)
    parts = [model(part, cache) for part in torch.split(ids, cuts)]
    assert cache.length == len(ids)
    assert_close(model, torch.cat(parts), model(ids))


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
        held = torch.cat([held, more])
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
        held = torch.cat([held, more])
        assert_close(model, logits, model(held)[-tokens:])
        if fails:
            layers = iter([None] * (step % 4))
            with pytest.raises(StopIteration):
                model.read(prompt(cache.slack + 1, seed=99), cache, layers.__next__)
        else:
            held = held[: len(held) - min(back, tokens, cache.slack)]
            cache.cut(len(held))
        assert (cache.length, int(cache.position)) == (len(held), len(held))
    assert_close(model, model(prompt(2, seed=98), cache), model(torch.cat([held, prompt(2, seed=98)]))[-2:])


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
    assert last.shape == (1, 320) and last.dtype == torch.float32
    assert_close(model, last, model(prompt(12))[-1:])


@pytest.mark.parametrize("shape", [(0,), (1, 3)])
def test_ids_must_be_one_row(model: Transformer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one row of at least one token"):
        model(torch.zeros(shape, dtype=torch.int64))


def test_a_step_waits_for_no_device(model: Transformer) -> None:
    """On the meta device there are no values, so whatever asks for one raises."""
    network = Transformer(model.config, layout(model.config))
    cache, rows = network.new_cache(), model.config.vocab_size
    for _ in range(10):  # beyond the window
        stream = network.read(torch.zeros(1, dtype=torch.int64, device="meta"), cache)
        for temperature, top_p in ((0.0, 1.0), (1.0, 1.0), (1.0, 0.9)):
            for allowed in (None, torch.ones(rows, dtype=torch.bool, device="meta")):
                assert network.kernels.sample(stream, temperature, top_p, [7], allowed).shape == (1, 3)


def test_the_length_is_on_the_device_too(model: Transformer) -> None:
    cache = model.new_cache()
    place = cache.position.data_ptr()
    model(prompt(7), cache)
    snapshot = cache.snapshot()
    model(prompt(1), cache)
    assert (cache.length, int(cache.position)) == (8, 8)
    cache.restore(snapshot)
    assert (cache.length, int(cache.position)) == (7, 7)
    assert cache.position.data_ptr() == place
