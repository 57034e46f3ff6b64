"""MXFP4 against its definition in float64, written here a second time without our tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from gptoss_tui.kernels import mxfp4

GRID = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
DTYPES = (torch.bfloat16, torch.float32, torch.float64)

finite = st.floats(-(2.0**100), 2.0**100, width=32)
blocks_of_32 = arrays.arrays(np.float32, (2, 64), elements=finite)


def definition(blocks: Tensor, scales: Tensor) -> np.ndarray:
    """OCP MX v1.0: sign, two exponent bits of bias 1, one mantissa bit; element 2j in the low nibble."""
    raw = blocks.numpy()
    codes = np.stack([raw & 15, raw >> 4], axis=-1).reshape(*raw.shape[:-1], 32).astype(int)
    sign, exponent, mantissa = codes >> 3, codes >> 1 & 3, codes & 1
    size = np.where(exponent == 0, mantissa / 2, (1 + mantissa / 2) * np.exp2(exponent - 1.0))
    power = np.exp2(scales.numpy().astype(np.float64) - 127)[..., None]
    return np.asarray(np.where(sign, -size, size) * power).reshape(*raw.shape[:-2], -1)


def test_the_documented_byte() -> None:
    blocks = torch.full((1, 16), 0x2B, dtype=torch.uint8)
    for scale, expected in ((127, (-1.5, 1.0)), (128, (-3.0, 2.0)), (120, (-1.5 / 128, 1.0 / 128))):
        decoded = mxfp4.decode(blocks, torch.tensor([scale], dtype=torch.uint8))
        assert decoded.dtype == torch.bfloat16
        assert decoded.tolist() == list(expected) * 16


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_byte_under_every_scale(dtype: torch.dtype) -> None:
    blocks = torch.arange(256, dtype=torch.uint8).view(16, 16).expand(255, 16, 16)
    scales = torch.arange(255, dtype=torch.uint8).view(255, 1).expand(255, 16)
    expected = definition(blocks, scales)
    if dtype != torch.float64:
        expected[np.abs(expected) >= 2.0**128] *= np.inf
    assert np.array_equal(mxfp4.decode(blocks, scales, dtype).double().numpy(), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_last_scale_makes_nan_of_every_byte(dtype: torch.dtype) -> None:
    """Of zeros alone an infinite scale would make NaN too."""
    blocks = torch.arange(256, dtype=torch.uint8).view(16, 16)
    decoded = mxfp4.decode(blocks, torch.full((16,), 255, dtype=torch.uint8), dtype)
    assert decoded.isnan().all()


def test_the_last_scale_spoils_no_neighbour() -> None:
    blocks = torch.full((3, 16), 0x22, dtype=torch.uint8)
    decoded = mxfp4.decode(blocks, torch.tensor([127, 255, 127], dtype=torch.uint8))
    assert decoded.isnan().tolist() == [False] * 32 + [True] * 32 + [False] * 32


@given(blocks_of_32)
def test_each_value_is_the_nearest_under_a_scale_no_worse_than_the_standard(values: np.ndarray) -> None:
    blocks, scales = mxfp4.encode(torch.from_numpy(values))
    assert blocks.shape == (2, 2, 16) and scales.shape == (2, 2)
    decoded = definition(blocks, scales).reshape(-1, 32)
    for block, found, scale in zip(
        values.reshape(-1, 32).astype(float), decoded, scales.flatten(), strict=True
    ):
        power = 2.0 ** (int(scale) - 127)
        nearest = np.abs(np.abs(block)[:, None] / power - GRID).min(axis=1) * power
        # float32 subnormals lose bits before they are rounded: allow their last one
        assert (np.abs(block - found) <= nearest * (1 + 1e-6) + 1e-44).all()
        largest = np.abs(block).max()
        standard = 2.0 ** max(np.floor(np.log2(largest)) - 2, -127) if largest else 1.0
        errors = np.abs(np.abs(block)[:, None] / standard - GRID).min(axis=1) * standard
        if largest > 1e-15:  # smaller squares vanish in float32
            assert ((block - found) ** 2).sum() <= (errors**2).sum() * (1 + 1e-5)


@given(blocks_of_32)
def test_encoding_again_changes_nothing(values: np.ndarray) -> None:
    once = mxfp4.decode(*mxfp4.encode(torch.from_numpy(values)), torch.float32)
    assert torch.equal(mxfp4.decode(*mxfp4.encode(once), torch.float32), once)


def test_ties_go_to_the_even_code() -> None:
    ties = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 6.0])
    values = torch.cat([ties, -ties, ties, -ties])
    expected = torch.tensor([0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 6.0])
    blocks, scales = mxfp4.encode(values)
    assert scales.tolist() == [127]
    assert torch.equal(
        mxfp4.decode(blocks, scales, torch.float32), torch.cat([expected, -expected, expected, -expected])
    )


def test_a_lone_outlier_is_not_cut() -> None:
    """The standard's scale would read 7.9 as 6; twice that scale reads it as 8."""
    values = torch.zeros(32)
    values[5] = 7.9
    assert mxfp4.decode(*mxfp4.encode(values))[5] == 8


def test_gaussian_weights_lose_a_ninth() -> None:
    weight = torch.randn(64, 1024, generator=torch.Generator().manual_seed(0))
    error = mxfp4.decode(*mxfp4.encode(weight), torch.float32) - weight
    assert 0.10 < error.norm() / weight.norm() < 0.115


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mxfp4.encode(torch.zeros(33)), "multiple of 32, not 33"),
        (lambda: mxfp4.encode(torch.full((32,), torch.nan)), "finite"),
        (lambda: mxfp4.decode(torch.zeros(2, 16), torch.zeros(3)), "do not fit"),
        (lambda: mxfp4.decode(torch.zeros(1, 16), torch.zeros(1), torch.float16), "float16"),
    ],
)
def test_refusals(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
