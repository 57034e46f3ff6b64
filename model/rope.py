"""Rotary positions with YaRN's NTK-by-parts stretching (arXiv 2309.00071, section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gptoss_tui.model.config import Rope


def inverse_frequencies(rope: Rope, head_dim: int) -> Tensor:
    """Radians per position of each pair of head values, float32 [head_dim / 2].

    Fast pairs keep their frequency, slow ones are slowed by `factor`, those between the two correction dims
    are blended. The dims are not rounded unless `truncate` says so: that alone moves a frequency by 76 %.
    Float32 throughout, as in training: a last bit here turns far positions visibly.
    """
    periods = rope.theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    plain = 1 / periods
    if rope.factor == 1:
        return plain

    def correction_dim(turns: float) -> float:
        return head_dim * math.log(rope.original_context / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = correction_dim(rope.beta_fast), correction_dim(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    pairs = torch.arange(head_dim // 2, dtype=torch.float32)
    kept = 1 - ((pairs - low) / (high - low if high != low else 1e-3)).clamp(0, 1)
    return 1 / (rope.factor * periods) * (1 - kept) + plain * kept
