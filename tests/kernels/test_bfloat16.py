"""bfloat16 in numpy against torch's own."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gptoss_tui.kernels.bfloat16 import narrow, widen


def test_every_number_is_widened_exactly() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    expected = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).float()
    assert np.array_equal(widen(bits).view(np.uint32), expected.numpy().view(np.uint32))


@given(arrays.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32, allow_nan=False)))
def test_numbers_are_rounded_to_the_nearest_ties_to_even(
    values: np.ndarray[tuple[int], np.dtype[np.float32]],
) -> None:
    expected = torch.from_numpy(values).bfloat16().view(torch.int16).numpy().view(np.uint16)
    assert np.array_equal(narrow(values), expected)
