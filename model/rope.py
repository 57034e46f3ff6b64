"""Rotary positions with YaRN's NTK-by-parts stretching (arXiv 2309.00071, section 3.2)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gptoss_tui.model.config import Rope


def inverse_frequencies(rope: Rope, head_dim: int) -> NDArray[np.float32]:
    """Radians per position of each pair of head values, float32 [head_dim / 2].

    Fast pairs keep their frequency, slow ones are slowed by `factor`, those between the two correction dims
    are blended. The dims are not rounded unless `truncate` says so: that alone moves a frequency by 76 %.
    Float32 throughout, as in training: a last bit here turns far positions visibly. Powers alone are rounded
    from float64, since a library's own in float32 may be off by that bit.
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    periods = (rope.theta ** exponents.astype(np.float64)).astype(np.float32)
    plain = np.float32(1) / periods
    if rope.factor == 1:
        return plain

    def correction_dim(turns: float) -> float:
        return head_dim * math.log(rope.original_context / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = correction_dim(rope.beta_fast), correction_dim(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    pairs = np.arange(head_dim // 2, dtype=np.float32)
    blended = (pairs - np.float32(low)) / np.float32(high - low if high != low else 1e-3)
    kept = np.float32(1) - blended.clip(0, 1)
    slowed = np.float32(1) / (np.float32(rope.factor) * periods)
    frequencies: NDArray[np.float32] = slowed * (np.float32(1) - kept) + plain * kept
    return frequencies
