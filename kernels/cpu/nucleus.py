"""Draws with top-p from logits, as `Kernels.sample` says, in numpy: reference.py has the same in torch."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gptoss_tui.kernels.kernels import HOTTEST

_FIRST = 256  # weights that are sorted first: mostly they are enough


def draw_from_nucleus(
    logits: NDArray[np.float32],
    temperature: float,
    top_p: float,
    key: int,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[float, float, float]:
    """Draw from `logits` [vocab] at a temperature above 0."""
    bad = int(np.count_nonzero(~np.isfinite(logits)))
    if bad or not (allowed is None or allowed.any()):
        return -1, math.nan, bad
    # Bounded, so that a temperature too small or large for float32 means greedy or any, and not 0 * infinity.
    temperature = min(temperature, HOTTEST)
    sharpness = min(1 / temperature, 1e30)
    weights = _unnormalised(logits, sharpness)
    total = weights.sum()
    if allowed is not None:
        # Relative to the best allowed logit, so that the allowed ones do not vanish beside a larger one.
        weights = _unnormalised(np.where(allowed, logits, np.float32(-math.inf)), sharpness)
    ids = np.sort(nucleus(weights, top_p))
    scores = logits[ids] + temperature * gumbel(key, ids)
    token = int(ids[scores.argmax()])
    return token, (float(logits[token]) - float(logits.max())) * sharpness - math.log(total), 0


def _unnormalised(logits: NDArray[np.float32], sharpness: float) -> NDArray[np.float64]:
    """Probabilities [vocab], 1 for the largest logit."""
    shares: NDArray[np.float32] = np.exp((logits - logits.max()) * np.float32(sharpness))
    return shares.astype(np.float64)


def gumbel(key: int, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """The noise of `ids` under `key`: that of reference.py, whose docstring tells what it is."""
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32 & 0xFFFFFFFF)
    bits = _mix(_mix(ids.astype(np.uint32) ^ low) ^ high)
    return -np.log(-np.log1p(-((bits + 0.5) / 2**32)))


def _mix(bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A permutation of 32 bits: lowbias32 (Wellons, "Prospecting for Hash Functions", 2018)."""
    bits = (bits ^ bits >> np.uint32(16)) * np.uint32(0x7FEB352D)
    bits = (bits ^ bits >> np.uint32(15)) * np.uint32(0x846CA68B)
    return bits ^ bits >> np.uint32(16)


def nucleus(weights: NDArray[np.float64], p: float) -> NDArray[np.int64]:
    """The ids of the smallest set with at least `p` of the mass of `weights` [vocab].

    Equal weights at its edge go to the lowest ids. The set has at least one id.
    Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020), section 3.1.
    """
    goal, window = p * weights.sum(), _FIRST
    while True:
        ids = _largest(weights, min(window, len(weights)))
        size = int(np.searchsorted(weights[ids].cumsum(), goal)) + 1
        if size <= len(ids) or window >= len(weights):
            return ids[:size]
        window *= 16


def _largest(weights: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The ids of all weights that are at least the `count`th largest, by falling weight, then by id."""
    edge = np.partition(weights, len(weights) - count)[len(weights) - count]
    ids = np.flatnonzero(weights >= edge)
    return ids[np.argsort(-weights[ids], kind="stable")]
