"""The detection of a model that repeats itself without end.

Two kinds of loop are found, from token ids alone and at a cost per token that does not grow with the text: a
passage that is repeated exactly, end to end, and text that consists of passages seen several times before (a
paragraph with a word changed now and then, or a few paragraphs in turn).

Honest text repeats itself too: tables, rulers, logs, a line that somebody asked for fifty times. The limits
are chosen so that such text is no loop, and tests/conversation/test_loops.py checks them.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

LONGEST_PERIOD = 512
"""The length in tokens of the longest passage whose exact repetition is detected."""

NGRAM = 24
"""The length in tokens of the passages that are counted where repetition is not exact."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The amount of repetition that is a loop.

    An exact loop is a passage of up to LONGEST_PERIOD tokens that comes again `copies` times in a row, over
    at least `run` tokens. An inexact loop is `window` tokens, the part `share` of which lies in n-grams that
    came `before` times before.
    """

    copies: int
    run: int
    before: int
    window: int
    share: float

    def within(self, tokens: int | None) -> Limits:
        """The limits for a stream that is cut after `tokens` (None: never); a loop is found before it."""
        return self if tokens is None else replace(self, run=min(self.run, tokens // 2))


REASONING = Limits(copies=4, run=1536, before=4, window=2048, share=0.75)
"""For the chain of thought, which may be closed early: the answer still comes."""

SPEECH = Limits(copies=16, run=8192, before=16, window=8192, share=0.98)
"""For answers, preambles and calls, which may repeat text on request and consist mostly of boilerplate."""


class LoopDetector:
    """Detects a loop in one stream of token ids.

    A passage of p <= LONGEST_PERIOD tokens that is repeated, after any text, is found at the latest when
    max(run, copies * p) tokens have followed its first p tokens. The memory for the counts of n-grams grows
    with the text, by about 100 bytes a token; all other memory is bounded.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._read = 0
        self._places: dict[int, deque[int]] = {}
        self._recent: deque[int] = deque(maxlen=LONGEST_PERIOD)
        self._runs: dict[int, int] = {}
        self._ngram: deque[int] = deque(maxlen=NGRAM)
        self._counts: Counter[int] = Counter()
        self._stale: deque[bool] = deque(maxlen=limits.window)
        self._stale_count = 0

    def feed(self, token: int) -> bool:
        """Read one token; returns True when the stream is a loop by now."""
        is_exact = self._repeats(token)  # both detectors must read every token
        return self._is_stale(token) or is_exact

    def _repeats(self, token: int) -> bool:
        """Read a token for exact repetition; returns True when the stream is an exact loop.

        For each period, `_runs` counts the latest tokens in a row that equal the token one period before.
        Only the periods that lead back to an earlier place of this token can have such a run.
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
        """Forget the oldest place of `token`, which is further back than the longest period."""
        places = self._places[token]
        places.popleft()
        if not places:
            del self._places[token]

    def _is_stale(self, token: int) -> bool:
        """Read a token for inexact repetition; returns True when the stream is an inexact loop.

        A token is stale when it lies in an n-gram that came `before` times before.
        """
        self._ngram.append(token)
        key = hash(tuple(self._ngram))  # 64 bits: two of 131,072 n-grams share one by a chance of 5e-10
        if len(self._stale) == self._limits.window:
            self._stale_count -= self._stale[0]
        is_stale = self._counts[key] >= self._limits.before
        self._counts[key] += 1
        self._stale.append(False)
        if is_stale:
            self._mark_stale()
        return self._stale_count >= self._limits.share * self._limits.window

    def _mark_stale(self) -> None:
        """Mark the tokens of the last n-gram as stale; those before a marked one are marked already."""
        for back in range(1, min(NGRAM, len(self._stale)) + 1):
            if self._stale[-back]:
                break
            self._stale[-back] = True
            self._stale_count += 1
