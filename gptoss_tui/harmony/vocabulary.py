"""The part of a tokenizer that rendering and parsing use; `tiktoken.Encoding` has all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Detokenizer(Protocol):
    """Token ids to bytes, and the ids of the control tokens."""

    @property
    def n_vocab(self) -> int:
        """One more than the highest token id."""

    def encode_single_token(self, text_or_bytes: str | bytes, /) -> int:
        """The id of the token with that text; raises KeyError if there is none."""

    def decode_single_token_bytes(self, token: int, /) -> bytes:
        """The bytes of one token; raises KeyError for an unknown id."""


class Tokenizer(Detokenizer, Protocol):
    """A Detokenizer that encodes ordinary text as well."""

    def encode_ordinary(self, text: str, /) -> list[int]:
        """Token ids of `text`, in which control tokens have no meaning."""


@dataclass(frozen=True, slots=True)
class ControlTokens:
    """The ids of harmony's control tokens in one vocabulary."""

    start: int
    end: int
    message: int
    channel: int
    constrain: int
    call: int
    return_: int
    end_of_text: int

    @classmethod
    def of(cls, tokenizer: Detokenizer) -> ControlTokens:
        """Look the control tokens up by name; raises KeyError if one is missing."""
        names = ("start", "end", "message", "channel", "constrain", "call", "return", "endoftext")
        return cls(*(tokenizer.encode_single_token(f"<|{name}|>") for name in names))

    @property
    def stops(self) -> tuple[int, ...]:
        """The tokens that end a sample. Never taken from a checkpoint's files: early ones lack `call`."""
        return (self.return_, self.call, self.end_of_text)
