"""MXFP4, the number format of the expert weights, on one page.

A block is 32 neighbouring values along the last (input) axis: 16 bytes of two 4-bit codes each and one
scale byte. Code: E2M1, sign in bit 3 (OCP Microscaling Formats specification v1.0, section 5.3.3). Byte j
holds element 2j in its low and element 2j+1 in its high nibble. Scale: E8M0, 2 ** (byte - 127), 255 is NaN.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

BLOCK = 32
"""Values that share one scale."""

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
"""The value of each code."""

SCALE_BIAS = 127
SCALE_NAN = 255
_LARGEST_EXPONENT = 2  # of E2M1: 6 = 1.5 * 2 ** 2
_LARGEST_SCALE = 125  # beyond it codes overflow float32


def decode(blocks: Tensor, scales: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Blocks uint8 [..., n/32, 16] and scales uint8 [..., n/32] -> values [..., n], exactly.

    Every value is exact in bfloat16, float32 and float64 (from 2 ** 128 on infinite in the first two).
    A scale byte of 255 makes its 32 values NaN. Raises ValueError for another dtype or shapes that do not
    fit: float16 has too little range.
    """
    if dtype not in (torch.bfloat16, torch.float32, torch.float64):
        raise ValueError(f"MXFP4 decodes to bfloat16, float32 or float64, not {dtype}")
    if blocks.shape != (*scales.shape, BLOCK // 2):
        raise ValueError(f"MXFP4 blocks {list(blocks.shape)} do not fit scales {list(scales.shape)}")
    pairs, powers = _tables(dtype, blocks.device)
    values = pairs.index_select(0, blocks.flatten().int()).view(*scales.shape, -1).view(dtype)
    return values.mul_(powers.index_select(0, scales.flatten().int()).view(*scales.shape, 1)).flatten(-2)


def encode(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Values [..., n], n a multiple of 32 -> blocks uint8 [..., n/32, 16] and scales uint8 [..., n/32].

    Each value is rounded to the nearest code, ties to even. The scale is the OCP one,
    2 ** (floor(log2(largest magnitude)) - 2), or twice that where the squared error of the block is smaller:
    the OCP scale cuts magnitudes above 6 down to 6. Works in float32; raises ValueError for NaN or infinity.
    """
    if weight.shape[-1] % BLOCK:
        raise ValueError(f"MXFP4 needs a last axis that is a multiple of {BLOCK}, not {weight.shape[-1]}")
    if not weight.isfinite().all():
        raise ValueError("MXFP4 encodes finite values only")
    values = weight.float().reshape(*weight.shape[:-1], -1, BLOCK)
    largest = values.abs().amax(-1, keepdim=True)
    # frexp's mantissa lies in [1/2, 1): its exponent is floor(log2) + 1.
    exponent = (torch.frexp(largest).exponent - 1 - _LARGEST_EXPONENT).clamp(min=-SCALE_BIAS)
    scaled = torch.ldexp(values, -exponent)
    codes, doubled = _nearest_codes(scaled), _nearest_codes(scaled / 2)
    table = torch.tensor(E2M1, device=weight.device)
    error = (table[codes.int()] - scaled).square().sum(-1, keepdim=True)
    error_doubled = (2 * table[doubled.int()] - scaled).square().sum(-1, keepdim=True)
    better = (error_doubled < error) & (exponent < _LARGEST_SCALE)
    codes = torch.where(better, doubled, codes)
    blocks = codes[..., 0::2] | codes[..., 1::2] << 4
    return blocks, (exponent + better + SCALE_BIAS).squeeze(-1).to(torch.uint8)


def _nearest_codes(scaled: Tensor) -> Tensor:
    """The code uint8 of the E2M1 value nearest to each of `scaled`."""
    size = scaled.abs()
    # The steps are 1/2 below 2, 1 below 4 and 2 above; torch rounds ties to even, as the codes require.
    coarse = torch.where(size < 4, size.round() + 2, (size / 2).round() + 4)
    code = torch.where(size < 2, (2 * size).round(), coarse).clamp(max=7).to(torch.uint8)
    return code | scaled.signbit().to(torch.uint8) << 3


@cache
def _tables(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The two values of every byte, packed into one integer of twice the width; 2 ** (byte - 127)."""
    byte = torch.arange(256)
    codes = torch.tensor(E2M1, dtype=torch.float64)
    pairs = torch.stack([codes[byte & 15], codes[byte >> 4]], dim=-1).to(dtype)
    powers = torch.exp2((byte - SCALE_BIAS).double())
    powers[SCALE_NAN] = torch.nan
    packed = {2: torch.int32, 4: torch.int64, 8: torch.complex128}[dtype.itemsize]
    return pairs.view(packed).flatten().to(device), powers.to(dtype=dtype, device=device)
