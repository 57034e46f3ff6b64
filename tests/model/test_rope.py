"""Rotary positions against the numbers of the released models' configuration."""

from __future__ import annotations

import pytest
import torch

from gptoss_tui.kernels.reference import rotation
from gptoss_tui.model.config import Rope
from gptoss_tui.model.rope import inverse_frequencies

YARN = {
    0: 1.0,
    1: 0.6890443058881633,
    8: 0.050813274815461475,
    9: 0.03170569618466377,
    12: 0.006794959489732219,
    17: 1.2931870124506317e-4,
    18: 3.8308812373753384e-5,
    31: 3.0235114281192144e-7,
}


def test_yarn_does_not_round_its_bounds() -> None:
    frequencies = inverse_frequencies(Rope(), head_dim=64)
    assert frequencies.shape == (32,)
    for pair, expected in YARN.items():
        assert frequencies[pair].item() == pytest.approx(expected, rel=1e-6)


def test_truncate_rounds_them() -> None:
    frequencies = inverse_frequencies(Rope(truncate=True), head_dim=64)
    assert frequencies[17].item() == pytest.approx(2.279479778e-4, rel=1e-6)
    assert frequencies[9].item() == pytest.approx(0.0316207523, rel=1e-6)


def test_concentration_multiplies_cosine_and_sine() -> None:
    rope = Rope()
    assert rope.concentration == pytest.approx(1.3465735902799727, rel=1e-12)
    frequencies = torch.from_numpy(inverse_frequencies(rope, head_dim=64))
    cos, sin = rotation(frequencies, 1, 1, rope.concentration)
    assert cos[0, 0].item() == pytest.approx(0.7275568158, rel=1e-6)
    assert sin[0, 32].item() == pytest.approx(1.1331026051, rel=1e-6)
    far, _ = rotation(frequencies, 4096, 1, rope.concentration)
    assert far[0, 17].item() == pytest.approx(1.1620445956, rel=1e-6)
