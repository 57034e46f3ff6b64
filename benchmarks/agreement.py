"""Whether two engines run the same network: their logits for one prompt, compared."""

from __future__ import annotations

import sys
from statistics import median
from typing import Any

import numpy as np

LEAST = 0.98
"""The median correlation below which they are different networks.

Rounding leaves 0.997 between bfloat16 and float32, and 0.994 between llama.cpp's Q8_0 and float32. A window
of another size gives 0.96, and nibbles or rows in a wrong order far less.
"""


def agreement(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> str:
    """How alike they are, in words, from logits [tokens, vocabulary]. Exits if the networks are different."""
    correlations = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    alike = median(correlations)
    if not alike >= LEAST:
        sys.exit(f"The engines run different networks: their logits correlate by only {alike:.3f}.")
    p, q = _log_softmax(a), _log_softmax(b)
    divergences = (np.exp(p) * (p - q)).sum(1)
    return (
        f"correlation {alike:.5f} (least {min(correlations):.5f}), "
        f"divergence {median(divergences):.2g} nats (most {max(divergences):.2g}), "
        f"the same best token for {(a.argmax(1) == b.argmax(1)).mean():.0%}"
    )


def _log_softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
