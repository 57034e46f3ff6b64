"""Closing: a short ending for an incomplete JSON document, found byte by byte."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

LONGEST = 4_000
"""Bytes of the longest ending that is looked for."""

DEEPEST = 200
"""Levels of nested arrays and objects, beyond which Python's JSON reader may give up."""

LONGEST_NUMBER = 1_000
"""Bytes of one number: Python reads integers of 4,300 digits at most."""

_QUOTE, _BACKSLASH = b'"\\'
_NUMBER = frozenset(b"0123456789+-.eE")
# The bytes in order of preference: outside strings, closing ones first and opening ones last; inside, the
# quote.
_OUTSIDE = b'}]ntf0123456789"-.e[{:,'
_INSIDE = b'"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@.:/-_'


class PartialDocument:
    """An incomplete JSON document, byte by byte, with the state of its grammar."""

    def __init__(self, grammar: str) -> None:
        from llguidance import LLMatcher

        self._matcher = LLMatcher(_byte_tokenizer(), grammar, log_level=0)
        self._place = _Place()

    def copy(self) -> PartialDocument:
        """A copy that can be continued in another way."""
        other = object.__new__(PartialDocument)
        other._matcher, other._place = self._matcher.deep_copy(), self._place.copy()
        return other

    @property
    def error(self) -> str:
        """The reason why the grammar cannot go on; empty if it can."""
        return self._matcher.get_error()

    @property
    def is_complete(self) -> bool:
        """Whether the document may end here."""
        return self._matcher.is_accepting()

    @property
    def is_extreme(self) -> bool:
        """Whether the document nests so deeply, or has so long a number, that a reader might refuse it."""
        return self._place.depth > DEEPEST or self._place.number > LONGEST_NUMBER

    def follow(self, text: bytes) -> bool:
        """Append `text`; false if the grammar does not allow it."""
        for byte in text:
            self._place.follow(byte)
        return bool(self._matcher.consume_tokens(list(text)))

    def ending(self) -> bytes | None:
        """Bytes that complete the document, not always the fewest; None if none were found."""
        return self._walk()[0]

    @property
    def is_endless(self) -> bool:
        """Whether the document can never be completed, like a list whose items each require another item."""
        ending, place = self._walk()
        return ending is None and (place.depth > DEEPEST or place.length == self._place.length)

    def _walk(self) -> tuple[bytes | None, _Place]:
        """Append the best byte at each step until the document is complete; returns the bytes and the place.

        The best byte closes something. Otherwise it is the byte appended least often in the current number or
        in any string, so that no pattern, and no choice between names, goes on for ever.
        """
        matcher, place, written = self._matcher.deep_copy(), self._place.copy(), bytearray()
        in_strings: Counter[int] = Counter()
        in_number: Counter[int] = Counter()
        generator = random.Random(0)
        while not matcher.is_accepting():
            taken = in_strings if place.in_string else in_number
            steps = matcher.compute_ff_bytes() or _best(matcher, place, taken, generator)
            if not steps or len(written) > LONGEST or place.depth > DEEPEST:
                return None, place
            for byte in steps:
                place.follow(byte)
                if place.in_string:
                    in_strings[byte] += 1
                elif place.number:
                    in_number[byte] += 1
                else:
                    in_number.clear()
            written += steps
            if not matcher.consume_tokens(list(steps)):
                return None, place
        return bytes(written), place


class _Place:
    """The place of a byte in a document: its depth, and whether it is in a string or a number."""

    def __init__(self) -> None:
        self.length = 0
        self.depth = 0
        self.number = 0
        self.in_string = False
        self._escaped = False

    def copy(self) -> _Place:
        other = _Place()
        other.length, other.depth, other.number = self.length, self.depth, self.number
        other.in_string, other._escaped = self.in_string, self._escaped
        return other

    def follow(self, byte: int) -> None:
        self.length += 1
        if self.in_string:
            if self._escaped:
                self._escaped = False
            elif byte == _BACKSLASH:
                self._escaped = True
            elif byte == _QUOTE:
                self.in_string = False
            return
        self.number = self.number + 1 if byte in _NUMBER else 0
        self.in_string = byte == _QUOTE
        self.depth += (byte in b"[{") - (byte in b"]}")


def _best(matcher: LLMatcher, place: _Place, taken: Counter[int], generator: random.Random) -> bytes:
    """The best allowed byte; empty if there is none."""
    mask = matcher.compute_bitmask()
    allowed = [byte for byte in range(256) if mask[byte >> 3] >> (byte & 7) & 1]
    order, closers = (_INSIDE, b'"') if place.in_string else (_OUTSIDE, b"}]")

    def cost(byte: int) -> tuple[bool, int, float]:
        # In a fixed order, the digits of a number might never make a multiple of its divisor.
        rank = generator.random() if place.number else order.find(byte) % 512
        return (byte not in closers, taken[byte], rank)

    return bytes([min(allowed, key=cost)]) if allowed else b""


_tokenizer: LLTokenizer | None = None


def _byte_tokenizer() -> LLTokenizer:
    """A vocabulary of the 256 bytes, and one control token."""
    global _tokenizer
    if _tokenizer is None:
        from llguidance import LLTokenizer, TokenizerWrapper

        _tokenizer = LLTokenizer(TokenizerWrapper(_Bytes()), slices=[])
    return _tokenizer


class _Bytes:
    """The tokenizer interface of llguidance, over single bytes."""

    tokens = (*(bytes([byte]) for byte in range(256)), b"<|end|>")
    special_token_ids = (256,)
    eos_token_id = 256
    bos_token_id = None

    def __call__(self, text: bytes) -> list[int]:
        return list(text)
