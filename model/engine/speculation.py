"""Speculation: decides how many tokens of a draft to read at once, by what that has come to so far.

A pass over the last token and n guesses yields one token more than there are right guesses before the first
wrong one. Whether it is worth its time depends on network, device and text, so nothing is taken for granted:

- How often a guess is right is counted by the length of its match, and at every token that is drawn: whether
  the guess was read or not, it is known then whether it was right.
- The cost of a pass is measured, in plain steps, which are measured too. What was not tried yet is taken to
  cost little more than a smaller pass, so that it is tried where guesses are mostly right.
- A balance of the time won and lost ends what does not pay, whatever the estimates say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile

from gptoss_tui.model.engine.draft import PromptLookup

PASSES = (2, 4, 8, 16)
"""The tokens that a pass may have: the last one, and guesses."""

ALLOWANCE = 0.01
"""The share of the time that trying may cost in the long run."""

RETRY = 256
"""The tokens after which costs that did not pay are measured anew."""

_MOST_LOST = 2.0  # plain steps, beyond ALLOWANCE
_WORTH = 1.05  # times plain decoding, to be taken up
_TRIALS = 2  # before a cost counts as known: the first pass of a size may have something to set up
_PLAIN_STEPS = 3  # before anything is compared with them
_REFRESH = 32  # passes, after which a plain step is measured again
_FIRST_HITS = (0.3, 0.5, 0.8, 0.9)  # by the length of the match: from 2, 4, 8 and 16 tokens on


class Speculation:
    """The drafts for one network, for one answer after another."""

    def __init__(self) -> None:
        self._lookup = PromptLookup()
        self._hits = list(_FIRST_HITS)
        self._costs: dict[int, deque[float]] = {tokens: deque(maxlen=5) for tokens in PASSES}
        self._drawing = 0.0  # seconds
        self._balance = _MOST_LOST  # plain steps
        self._idle = 0  # tokens since the last pass of several
        self._plain: deque[float] = deque(maxlen=9)  # seconds
        self._passes = 0  # since the last plain step

    def begin(self, prompt: Sequence[int]) -> None:
        """Begin another answer: elsewhere in the context, so that its plain steps are measured anew."""
        self._lookup.begin(prompt)
        self._plain.clear()
        self._passes = 0

    def follow(self, token: int) -> None:
        """Learn the next token of the text, whether it was in a draft or not."""
        match = self._lookup.length
        right = self._lookup.follow(token)
        self._idle += 1
        self._balance = min(self._balance + ALLOWANCE, _MOST_LOST)
        if match:
            kind = _kind(match)
            self._hits[kind] += (right - self._hits[kind]) / 16

    def measured(self, tokens: int, seconds: Sequence[float]) -> None:
        """Learn the cost of a pass over `tokens`: the seconds until each token that it yielded was drawn."""
        if tokens == 1:
            self._plain.append(seconds[0])
            self._passes = 0
            return
        self._passes += 1
        self._idle = 0
        for drawing in seconds[1:]:
            self._drawing += (drawing - self._drawing) / 8
        step = self._step
        cost = seconds[0] / step
        self._costs[tokens].append(cost)
        # A pass that was slow by what else the machine does is no loss of ours.
        cost = min(cost, self._cost(tokens)) + (len(seconds) - 1) * self._drawing / step
        self._balance = min(self._balance + len(seconds) - cost, _MOST_LOST)

    def draft(self, most: int, stop_ids: Sequence[int] = ()) -> list[int]:
        """The guesses to read with the last token, `most` at most; none for a plain step.

        Nothing follows one of the `stop_ids`, so that a draft ends before it.
        """
        ready = len(self._plain) >= _PLAIN_STEPS and self._passes < _REFRESH
        if not ready or not self._lookup.length or self._balance <= 0:
            return []
        guesses = self._lookup.draft(min(most, PASSES[-1] - 1))
        guesses = list(takewhile(lambda token: token not in stop_ids, guesses))
        worth = self._worth(len(guesses))
        if not worth and self._idle >= RETRY:
            for costs in self._costs.values():
                costs.clear()
            worth = self._worth(len(guesses))
        return guesses[:worth]

    def _worth(self, most: int) -> int:
        """The number of guesses that makes a token cheapest; one size beyond the known ones is tried."""
        best, found = _WORTH, 0
        cost, slope, before = 1.0, 0.4, 1
        yielded = likely = 1.0
        drawing = self._drawing / self._step
        for tokens in PASSES:
            if tokens - 1 > most:
                break
            for place in range(before - 1, tokens - 1):
                likely *= self._hits[_kind(self._lookup.length + place)]
                yielded += likely
            known = len(self._costs[tokens]) >= _TRIALS
            now = self._cost(tokens) if known else cost + slope / 2 * (tokens - before)
            gain = yielded / (now + (yielded - 1) * drawing)
            if gain > best:
                best, found = gain, tokens - 1
            if not known:
                break
            slope, cost, before = max(0.0, (now - cost) / (tokens - before)), now, tokens
        return found

    def _cost(self, tokens: int) -> float:
        """The plain steps that a pass over `tokens` takes: the median, of two the lower."""
        trials = sorted(self._costs[tokens])
        return trials[(len(trials) - 1) // 2]

    @property
    def _step(self) -> float:
        """The seconds of a plain step."""
        return max(sorted(self._plain)[len(self._plain) // 2], 1e-9)


def _kind(match: int) -> int:
    """The place in `_FIRST_HITS` of a match of `match` tokens."""
    return min(match.bit_length() - 2, len(_FIRST_HITS) - 1)
