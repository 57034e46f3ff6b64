"""The native draw against the reference's, from the same logits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.kernels import reference
from gptoss_tui.kernels.cpu import library
from gptoss_tui.model import load_model
from gptoss_tui.model.demo import checkpoint_path
from gptoss_tui.model.transformer import Transformer


@pytest.fixture(scope="module")
def network() -> Transformer:
    try:
        library.load()
    except library.LibraryError as error:
        pytest.skip(str(error))
    return load_model(checkpoint_path(), backend="native")


@given(
    ids=st.lists(st.integers(0, 2000), min_size=1, max_size=4),
    temperature=st.sampled_from([0.0, 1e-40, 0.3, 1.0, 2.0, 50.0]),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_the_same_number_draws_the_same_token(
    network: Transformer, ids: list[int], temperature: float, uniform: float
) -> None:
    kernels = network.kernels
    x = network.read(torch.tensor(ids), network.new_cache())[-1:]
    token, logprob, bad = kernels.sample(x, temperature, 1.0, uniform).tolist()
    logits = kernels.unembed(x)[0]
    expected = reference.sample(logits, temperature, 1.0, uniform).tolist()
    assert bad == expected[2] == 0
    if token != expected[0]:  # only where rounding can decide: at the edge between two tokens
        weights = (logits.double() / temperature).softmax(0)
        edges = weights.cumsum(0)
        between = edges[int(min(token, expected[0])) : int(max(token, expected[0]))]
        assert (between - uniform).abs().max() < 1e-5
    else:
        assert logprob == pytest.approx(expected[1], abs=1e-4, rel=1e-4)


def test_a_logit_that_is_no_number_is_counted(network: Transformer) -> None:
    x = torch.full((1, network.config.hidden_size), torch.nan)
    assert network.kernels.sample(x, 1.0, 1.0, 0.5).tolist()[2] == network.config.vocab_size
