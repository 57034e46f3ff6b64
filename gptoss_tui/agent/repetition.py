"""The detection of a model that repeats itself without end.

Two kinds of loop are found, from token ids alone and at a cost per token that does not grow with the text: a
passage that is repeated exactly, end to end, and text that consists of passages seen several times before (a
paragraph with a word changed now and then, or a few paragraphs in turn).

Honest text repeats itself too: tables, rulers, logs, what somebody asked to be written fifty times. The
thresholds are set against such text; tests/agent/test_repetition.py holds them to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

LONGEST_PERIOD = 512
"""The length in tokens of the longest passage whose exact repetition is detected."""

NEAREST = 4
"""The number of earlier places by which exact repetition is noticed."""

NGRAM = 24
"""Tokens by which a passage is recognised as one that was seen before."""


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

    A passage of p <= LONGEST_PERIOD tokens that is repeated, after whatever text, is detected at the latest
    max(run, copies * p) tokens after its first copy, if some NGRAM tokens in a row stand in it no more than
    NEAREST times. The memory of the counts of n-grams grows with the text, by about 100 bytes a token.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._length = min(NGRAM, max(limits.run, limits.copies))  # of the n-grams
        self._tokens: list[int] = []
        self._places: dict[int, int] = {}  # the last place of each n-gram, by hash
        self._earlier: list[int] = []  # the place before of the n-gram that ends at each place, -1 for none
        self._counts: list[int] = []  # how often it came before
        self._runs: dict[int, int] = {}  # the length of each exact repetition, by period
        self._stale = bytearray()  # by place, whether the token lies in an n-gram that came often
        self._stale_count = 0  # among the last `window` tokens

    def feed(self, token: int) -> bool:
        """Read one token; True when the stream is a loop by now."""
        tokens, stale, window = self._tokens, self._stale, self._limits.window
        place = len(tokens)
        tokens.append(token)
        ngram = hash(tuple(tokens[-self._length :]))  # 64 bits: two of 131,072 n-grams share one by 5e-10
        earlier = self._places.get(ngram, -1)
        self._places[ngram] = place
        self._earlier.append(earlier)
        self._counts.append(0 if earlier < 0 else self._counts[earlier] + 1)
        if place >= window:
            self._stale_count -= stale[-window]
        stale.append(False)
        if earlier >= 0 or self._runs:
            self._wear()
            self._follow(earlier)
        return self._stale_count >= self._limits.share * window or (bool(self._runs) and self._is_exact)

    @property
    def _is_exact(self) -> bool:
        limits = self._limits
        return any(run >= max(limits.run, limits.copies * period) for period, run in self._runs.items())

    def _wear(self) -> None:
        """Mark the tokens of the last n-gram, if it came often; a marked token has marked ones before it."""
        if self._counts[-1] < self._limits.before:
            return
        stale = self._stale
        for back in range(1, min(self._length, len(stale)) + 1):
            if stale[-back]:
                break
            stale[-back] = True
            self._stale_count += 1

    def _follow(self, earlier: int) -> None:
        """Follow exact repetition: for each period, count the tokens in a row equal to those a period before.

        A period is noticed by the nearest earlier places of the last n-gram, and followed from then on.
        """
        tokens, place = self._tokens, len(self._tokens) - 1
        token = tokens[place]
        self._runs = {p: run + 1 for p, run in self._runs.items() if tokens[place - p] == token}
        for _ in range(NEAREST):
            if earlier < self._length - 1 or place - earlier > LONGEST_PERIOD:
                break
            if (period := place - earlier) not in self._runs:
                self._runs[period] = self._run(period)
            earlier = self._earlier[earlier]

    def _run(self, period: int) -> int:
        """How many of the last tokens equal the token `period` before them."""
        tokens = self._tokens
        place = last = len(tokens) - 1
        while place >= period and tokens[place] == tokens[place - period]:
            place -= 1
        return last - place
