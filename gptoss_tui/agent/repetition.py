"""Noticing that a model repeats itself without end.

Two kinds of loop, both told from token ids alone, at a cost that does not grow with the text: a passage
repeated exactly, end to end, and text that is made up of passages seen several times before (a paragraph with
a word changed now and then, or a few that take turns).

Honest text repeats itself too: tables, rulers, logs, what somebody asked to be written fifty times. The
thresholds are set against such text; tests/agent/test_repetition.py holds them to it.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

LONGEST_PERIOD = 512
"""Tokens of the longest passage whose exact repetition is followed."""

NGRAM = 24
"""Tokens that make a passage one that was seen before, where repetition is not exact."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much repetition is a loop.

    Either a passage of up to LONGEST_PERIOD tokens that comes again `copies` times in a row, and for `run`
    tokens at least; or `window` tokens of which the part `share` lies in n-grams that came `before` times
    before.
    """

    copies: int
    run: int
    before: int
    window: int
    share: float

    def within(self, tokens: int | None) -> Limits:
        """These limits for a stream that is cut after `tokens` (None: never): a loop is told before that."""
        return self if tokens is None else replace(self, run=min(self.run, tokens // 2))


REASONING = Limits(copies=4, run=1536, before=4, window=2048, share=0.75)
"""A chain of thought loses little when it is closed: the answer still comes."""

SPEECH = Limits(copies=16, run=8192, before=16, window=8192, share=0.98)
"""For answers, preambles and calls, which may repeat on request, and be boilerplate for the most part."""


class LoopDetector:
    """Reads one stream of token ids.

    A passage of p <= LONGEST_PERIOD tokens that is written over and over, after whatever text, is a loop at
    the latest when max(run, copies * p) tokens of it followed its first p. Of its memory only the counts of
    n-grams grow with the text, by about 100 bytes a token.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._read = 0
        self._places: dict[int, deque[int]] = {}
        self._recent: deque[int] = deque(maxlen=LONGEST_PERIOD)
        self._runs: dict[int, int] = {}
        self._ngram: deque[int] = deque(maxlen=NGRAM)
        self._seen: Counter[int] = Counter()
        self._stale: deque[bool] = deque(maxlen=limits.window)
        self._stale_count = 0

    def feed(self, token: int) -> bool:
        """Read one token; True when the stream is a loop by now."""
        exact = self._repeats(token)  # both must read every token
        return self._is_stale(token) or exact

    def _repeats(self, token: int) -> bool:
        """Follow exact repetition: for each period, how many tokens in a row equal the one a period before.

        Only periods with such a run are looked at: those that lead back to an earlier place of this token.
        """
        periods = [self._read - place for place in self._places.get(token, ())]
        self._runs = {period: self._runs.get(period, 0) + 1 for period in periods}
        if len(self._recent) == LONGEST_PERIOD:
            self._forget(self._recent[0])
        self._recent.append(token)
        self._places.setdefault(token, deque()).append(self._read)
        self._read += 1
        limits = self._limits
        return any(run >= max(limits.run, limits.copies * period) for period, run in self._runs.items())

    def _forget(self, token: int) -> None:
        """The oldest token is further back than the longest period."""
        places = self._places[token]
        places.popleft()
        if not places:
            del self._places[token]

    def _is_stale(self, token: int) -> bool:
        """Follow inexact repetition: how many of the last tokens lie in n-grams that are worn out."""
        self._ngram.append(token)
        key = hash(tuple(self._ngram))  # 64 bits: two of 131,072 n-grams share one by a chance of 5e-10
        if len(self._stale) == self._limits.window:
            self._stale_count -= self._stale[0]
        is_worn = self._seen[key] >= self._limits.before
        self._seen[key] += 1
        self._stale.append(False)
        if is_worn:
            self._wear()
        return self._stale_count >= self._limits.share * self._limits.window

    def _wear(self) -> None:
        """Mark the tokens of the last n-gram; those before a marked one are marked already."""
        for back in range(1, min(NGRAM, len(self._stale)) + 1):
            if self._stale[-back]:
                break
            self._stale[-back] = True
            self._stale_count += 1
