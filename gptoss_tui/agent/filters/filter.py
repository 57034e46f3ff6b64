"""The interface of the filters that judge raw reasoning before a person sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from ...model.engine import Loading


class FilterError(Exception):
    """A filter cannot be loaded, or gave no judgement; the message says why, and quotes no passage."""


class ReasoningFilter(Protocol):
    """Judges passages of reasoning, one at a time.

    `patience` is how many seconds one judgement may take.
    """

    patience: float

    def load(self) -> AsyncIterator[Loading]:
        """Load the filter, yielding progress; ends at once when it is loaded. Raises FilterError."""

    async def look(self, text: str, before: str) -> str | None:
        """The text to show for the passage `text`, which follows `before` in this turn; None withholds it.

        May raise anything, and may be cancelled: either way nothing of the passage is shown.
        """

    async def close(self) -> None:
        """Release processes and memory."""
