"""bfloat16 in numpy, which has no such type: a number is the upper half of a float32, as uint16."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def widen(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The same numbers in float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrow(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The nearest numbers in bfloat16, ties to even. `values` hold no NaN."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
