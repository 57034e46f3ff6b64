"""Sampling: one token id from one row of logits.

Free of torch at import (tensors bring their own methods), so that a front end may `check` a request.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn.

    `temperature` 0 is greedy; `top_p` in (0, 1]; `seed` None draws a fresh one; `max_tokens` bounds one
    sample, None leaves it to the checkpoint and the context. The defaults are those gpt-oss was released
    with.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = None

    def bound(self, longest_answer: int | None) -> int | None:
        """The most tokens of a sample by a checkpoint of that `longest_answer`; None for no bound."""
        return longest_answer if self.max_tokens is None else self.max_tokens


class NumericalFault(ArithmeticError):
    """The network answered with logits that are not numbers."""


def check(sampling: Sampling) -> None:
    """Raise ValueError, naming the setting, its range and its value, if `sampling` cannot be honoured."""
    if not 0 <= sampling.temperature < math.inf:
        raise ValueError(f"temperature must be 0 (greedy) or a number above, not {sampling.temperature}")
    if not 0 < sampling.top_p <= 1:
        raise ValueError(f"top-p must be above 0 and at most 1, not {sampling.top_p}")
    if sampling.seed is not None and not 0 <= sampling.seed <= LARGEST_SEED:
        raise ValueError(f"seed must be a whole number from 0 to {LARGEST_SEED}, not {sampling.seed}")
    if sampling.max_tokens is not None and sampling.max_tokens < 1:
        raise ValueError(f"max-tokens must be at least 1, not {sampling.max_tokens}")


class Sampler:
    """Draws the tokens of one generation; equal seeds and equal logits give equal tokens on any device."""

    def __init__(self, sampling: Sampling) -> None:
        check(sampling)
        self._greedy = sampling.temperature == 0
        # Bounded, so that a temperature too small for float32 means greedy and not 0 * infinity.
        self._sharpness = 1.0 if self._greedy else min(1 / sampling.temperature, 1e30)
        self._top_p = sampling.top_p
        self._random = random.Random(sampling.seed)

    def sample(self, logits: Tensor, allowed: Tensor | None = None) -> tuple[int, float]:
        """Draw from `logits` [vocab] float32, only among ids where `allowed` [vocab] (bool) is true.

        Returns the id and the natural logarithm of its probability under softmax(logits / temperature),
        before top-p and `allowed` cut anything off; greedy reports it at temperature 1. Ties in greedy and
        at the edge of top-p go to the lowest id.

        Raises NumericalFault for NaN or infinite logits, ValueError if nothing is allowed.
        """
        peak, lowest = float(logits.max()), float(logits.min())  # NaN wins both
        if not (math.isfinite(peak) and math.isfinite(lowest)):
            bad = int((~logits.isfinite()).sum())
            raise NumericalFault(f"{bad} of {len(logits)} logits are NaN or infinite")
        weights = self._weights(logits, peak)
        total = float(weights.sum())

        candidates = logits
        if allowed is not None:
            candidates = logits.masked_fill(~allowed, -math.inf)
            best = float(candidates.max())
            if best == -math.inf:
                raise ValueError("no token is allowed here")
            # Anew from the best allowed one, beside which the others may not vanish.
            weights = self._weights(candidates, best)
        token = int(candidates.argmax()) if self._greedy else self._draw(weights)
        return token, (float(logits[token]) - peak) * self._sharpness - math.log(total)

    def _weights(self, logits: Tensor, peak: float) -> Tensor:
        """Unnormalised probabilities [vocab] float64, 1 where the logits are at their `peak`."""
        return (logits - peak).mul_(self._sharpness).exp_().double()

    def _draw(self, weights: Tensor) -> int:
        """Invert the cumulative distribution of `weights`, after top-p, at one uniform number."""
        kept = None if self._top_p == 1 else nucleus(weights, self._top_p)
        cumulative = (weights if kept is None else weights[kept]).cumsum(0)
        target = self._random.random() * float(cumulative[-1])
        index = int((cumulative <= target).sum())
        return index if kept is None else int(kept[index])


def nucleus(weights: Tensor, p: float) -> Tensor:
    """The ids of the smallest set that holds at least `p` of the mass of `weights` [vocab], largest first.

    Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020), section 3.1. At least one id is
    kept. A window of the largest weights is sorted, never the whole vocabulary unless `p` needs it.
    """
    goal = p * float(weights.sum())
    window = 256
    while True:
        top, ids = weights.topk(min(window, len(weights)))
        size = int((top.cumsum(0) < goal).sum()) + 1
        # Equal weights at the edge go to the lowest ids, so all of them must lie inside the window.
        if len(top) == len(weights) or (size < len(top) and top[size - 1] > top[-1]):
            break
        window *= 16
    ids = ids.sort().values
    return ids[weights[ids].sort(descending=True, stable=True).indices[:size]]
