"""PromptLookup: guesses how a text goes on, from where its last tokens stood in it before.

Answers copy: quotations, code that is edited, names, output of tools. What followed the same tokens the last
time is a good guess at what follows now, and costs no second network. The idea: Saxena, "Prompt Lookup
Decoding" (2023); the chains of earlier places are those of LZ77 compressors.
"""

from __future__ import annotations

from collections.abc import Sequence

SHORTEST = 2
"""The tokens that must stand in both places."""

LONGEST = 32
"""The tokens up to which two earlier places are compared."""

_PLACES = 8
"""The earlier places that are looked at: the newest ones."""


class PromptLookup:
    """A text, with an index of its n-grams. Each step costs the same however long the text is."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._ends: dict[tuple[int, ...], int] = {}  # n-gram -> the place after its last occurrence
        self._older: list[int] = []  # by the place of an occurrence, less 1: that of the one before, or 0
        self._at = 0
        self.length = 0
        """The tokens that were the same before the place that `draft` continues; 0 if there is none."""

    def begin(self, text: Sequence[int]) -> None:
        """Begin with `text`; what it shares with the text so far is not indexed again."""
        differing = (i for i, (a, b) in enumerate(zip(self._ids, text, strict=False)) if a != b)
        shared = next(differing, min(len(self._ids), len(text)))
        while len(self._ids) > shared:
            self._remove()
        for token in text[shared:]:
            self._append(token)
        self._search()

    def draft(self, most: int) -> list[int]:
        """A guess at the next `most` tokens; empty if there is none.

        A guess that reaches the end of the text goes on with itself, for texts that go round.
        """
        if not self.length:
            return []
        ids = self._ids[self._at : self._at + most]
        while len(ids) < most:
            ids += ids[: most - len(ids)]
        return ids

    def follow(self, token: int) -> bool:
        """Add the next token; whether the guess was right."""
        right = self.length > 0 and self._ids[self._at] == token
        self._append(token)
        if right:
            self._at += 1
            self.length += 1
        else:
            self._search()
        return right

    def _search(self) -> None:
        """Find the longest match among the newest places, of equal ones the newest."""
        self.length = 0
        place = self._older[-1] if self._older else 0
        for _ in range(_PLACES):
            if not place:
                break
            if (length := self._common(place)) > self.length:
                self._at, self.length = place, length
            place = self._older[place - 1]

    def _common(self, place: int) -> int:
        """The tokens, `LONGEST` at most, that are the same before `place` and before the end of the text."""
        ids, end = self._ids, len(self._ids)
        length = SHORTEST
        while length < min(LONGEST, place) and ids[place - length - 1] == ids[end - length - 1]:
            length += 1
        return length

    def _append(self, token: int) -> None:
        self._ids.append(token)
        gram = self._gram()
        self._older.append(self._ends.get(gram, 0))
        self._ends[gram] = len(self._ids)

    def _remove(self) -> None:
        """Take back the last `_append`."""
        gram = self._gram()
        older = self._older.pop()
        if older:
            self._ends[gram] = older
        else:
            del self._ends[gram]
        self._ids.pop()

    def _gram(self) -> tuple[int, ...]:
        """The last `SHORTEST` tokens."""
        return tuple(self._ids[-SHORTEST:])
