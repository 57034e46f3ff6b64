"""JsonBody: a JSON document in tokens, valid against its schema however the tokens are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gptoss_tui.model.constraint.closing import PartialDocument
from gptoss_tui.model.constraint.schema import grammar
from gptoss_tui.model.constraint.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llguidance import LLMatcher
    from numpy.typing import NDArray

NEAR = 64
"""Tokens left, beyond twice an ending, below which each token is checked to leave room for an ending."""

FAR = 4_096
"""Tokens left below which a token that opens something is checked; an ending is assumed to be shorter."""

PAUSE = 64
"""Tokens without a check after no ending was found, which is the slowest search."""

_OPENING = frozenset(b'{["')


class Schemas:
    """Compiles schemas for `vocabulary`, once each."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._compiled: dict[str, JsonBody] = {}

    def begin(self, schema: str) -> JsonBody:
        """An empty document with `schema` (JSON) as its JSON Schema. Raises ValueError."""
        if schema not in self._compiled:
            body = JsonBody(self.vocabulary, schema)
            if len(self._compiled) >= 16:
                self._compiled.clear()
            self._compiled[schema] = body
        return self._compiled[schema].copy()


class JsonBody:
    """The document of one "json" state.

    Two grammars follow it: one in tokens, which determines the allowed ones, and one in bytes, which finds
    the endings. After `close` only the ending is allowed.
    """

    def __init__(self, vocabulary: Vocabulary, schema: str) -> None:
        from llguidance import LLMatcher

        self._vocabulary = vocabulary
        rules = grammar(schema)
        self._matcher: LLMatcher = LLMatcher(vocabulary.for_matching(), rules, log_level=0)
        self._document = PartialDocument(rules)
        if reason := self._matcher.get_error() or self._document.error:
            raise ValueError(reason.partition("\n")[0])
        self._ending: list[int] | None = None
        self._closing = False
        self._pause = 0

    def copy(self) -> JsonBody:
        """A copy that can be continued in another way."""
        other = object.__new__(JsonBody)
        other._vocabulary, other._matcher = self._vocabulary, self._matcher.deep_copy()
        other._document, other._ending = self._document.copy(), self._ending
        other._closing, other._pause = self._closing, self._pause
        return other

    @property
    def is_complete(self) -> bool:
        """Whether the document may end here."""
        return not self._ending if self._closing else self._matcher.is_accepting()

    def allowed(self) -> NDArray[np.bool_]:
        """True [rows] for the tokens that may continue the document."""
        rows = self._vocabulary.rows
        if self._closing:
            mask = np.zeros(rows, dtype=bool)
            mask[(self._ending or [])[:1]] = True
            return mask
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        mask = np.unpackbits(bits, count=rows, bitorder="little").view(bool)
        # Ordinary tokens only: where the document may end, llguidance allows its own control token.
        return np.logical_and(mask, self._vocabulary.ordinary, out=mask)

    def leaves_room(self, token: int, room: int) -> bool:
        """Whether the document can still be completed within `room` tokens after `token`, an allowed one.

        Also false where a reader might refuse the JSON, for its depth or for the length of a number.
        """
        if self._closing:
            return True
        text = self._vocabulary.bytes_of(token)
        after = self._document.copy()
        after.follow(text)
        if after.is_extreme:
            return False
        self._pause -= 1
        near = room <= NEAR + 2 * len(self._ending or ())
        if self._pause > 0 or not (near or (room <= FAR and _OPENING.intersection(text))):
            return True
        ending = after.ending()
        if ending is None:
            self._pause = PAUSE
            return True
        self._ending = self._vocabulary.encode(ending)
        return len(self._ending) <= room

    def close(self) -> None:
        """Allow nothing but a short ending from here on, if one is found."""
        ending = self._document.ending()
        if ending is not None:
            self._ending, self._closing = self._vocabulary.encode(ending), True

    def follow(self, token: int) -> bool:
        """Append `token`; false if the document does not allow it."""
        text = self._vocabulary.bytes_of(token)
        if not self._matcher.consume_token(token):
            return False
        if self._closing and self._ending:
            self._ending = self._ending[1:]
        return self._document.follow(text)
