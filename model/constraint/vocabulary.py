"""Vocabulary: a tokenizer's tokens as the bytes that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tiktoken

if TYPE_CHECKING:
    from llguidance import LLTokenizer
    from numpy.typing import NDArray


class Vocabulary:
    """The ordinary tokens of `tokenizer`, for logits of `rows` ids.

    `ids` maps a token's bytes to its id. `ordinary` [rows] is true for ordinary tokens, and false for control
    tokens, reserved ones, and rows without a token.
    """

    def __init__(self, tokenizer: tiktoken.Encoding, rows: int) -> None:
        self.rows = rows
        self._tokenizer = tokenizer
        self._special = sorted(tokenizer.encode_single_token(name) for name in tokenizer.special_tokens_set)
        self._bytes = [b""] * max(rows, tokenizer.n_vocab)
        self.ids: dict[bytes, int] = {}
        for token in set(range(tokenizer.n_vocab)).difference(self._special):
            try:
                spelling = tokenizer.decode_single_token_bytes(token)
            except KeyError:  # an id without a token
                continue
            self._bytes[token] = spelling
            self.ids[spelling] = token
        self.longest = max(map(len, self.ids))
        self.ordinary: NDArray[np.bool_] = np.zeros(rows, dtype=bool)
        self.ordinary[list(self.ids.values())] = True
        self._matching: LLTokenizer | None = None

    def bytes_of(self, token: int) -> bytes:
        """The bytes of an ordinary `token`; empty for any other."""
        return self._bytes[token]

    def encode(self, text: bytes) -> list[int]:
        """Ordinary tokens for `text`, as the model would write it. Never a control token."""
        try:
            return self._tokenizer.encode_ordinary(text.decode())
        except UnicodeDecodeError:  # the text begins within a character
            return [self.ids[bytes([byte])] for byte in text]

    def for_matching(self) -> LLTokenizer:
        """The same vocabulary for llguidance, which takes a third of a second to sort 200,000 tokens."""
        if self._matching is None:
            from llguidance import LLTokenizer, TokenizerWrapper

            # Built by hand to keep its length: from a tiktoken.Encoding of 201,088 ids llguidance makes a
            # vocabulary of 201,089. Slices (precomputed masks) cost more to build than they save.
            self._matching = LLTokenizer(TokenizerWrapper(_Spellings(self, self._special)), slices=[])
        return self._matching


class _Spellings:
    """The tokenizer interface of llguidance."""

    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary, special: list[int]) -> None:
        self.tokens = [vocabulary.bytes_of(token) for token in range(vocabulary.rows)]
        for token in special:
            self.tokens[token] = b"<|%d|>" % token
        self.special_token_ids = special
        self.eos_token_id = special[0]
        self._encode = vocabulary.encode

    def __call__(self, text: bytes) -> list[int]:
        return self._encode(text)
