"""Sampling: token ids drawn one after another, by the settings and the seed of a request.

Free of numpy, so that a front end may `check` a request.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST_SEED = 2**63 - 1

Draw = Callable[[float, float, Sequence[int], "NDArray[np.bool_] | None"], Any]
"""`Kernels.sample` for one stream: temperature, top-p, a key for each row, the allowed ids."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """The settings by which the next token is drawn.

    `temperature` 0 is greedy; `top_p` in (0, 1]; `seed` None draws a fresh one; `max_tokens` bounds one
    sample, None leaves it to the checkpoint and the context. The defaults are those gpt-oss was released
    with.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = None

    def bound(self, longest_answer: int | None) -> int | None:
        """The most tokens of a sample, for a checkpoint with that `longest_answer`; None for no bound."""
        return longest_answer if self.max_tokens is None else self.max_tokens


class NumericalFault(ArithmeticError):
    """The network's logits are not finite numbers."""


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
        self._sampling = sampling
        self._seed = secrets.randbelow(LARGEST_SEED) if sampling.seed is None else sampling.seed

    def sample(
        self, draw: Draw, places: range, allowed: NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[int, float]]:
        """Draw a token for each of `places`, counted from the start of the generation, at once.

        Each is drawn among the ids where `allowed` bool [vocab] is true. The noise depends on the seed and
        the place alone: not on what was drawn elsewhere, or at the same place before. That remains right
        for a place that is drawn again among fewer ids because the first token would not do.
        Yields the ids and the natural logarithms of their probabilities, as `Kernels.sample` defines them.
        The first waits for the device.

        Raises NumericalFault for NaN or infinite logits, ValueError if nothing is allowed, when it comes to
        the place.
        """
        keys = [self._key(place) for place in places]
        drawn = draw(self._sampling.temperature, self._sampling.top_p, keys, allowed)
        for token, logprob, bad in drawn.tolist():
            if bad:
                raise NumericalFault(f"{bad:,.0f} logits are NaN or infinite")
            if token < 0:
                raise ValueError("no token is allowed here")
            yield int(token), logprob

    def _key(self, place: int) -> int:
        """The key of the noise, of 64 bits."""
        counter = self._seed.to_bytes(8, "little") + place.to_bytes(8, "little")
        return int.from_bytes(blake2b(counter, digest_size=8).digest(), "little")
