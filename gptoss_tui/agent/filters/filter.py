"""The one interface to anything that looks at the raw reasoning before the person does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from ...model.engine import Loading


class FilterError(Exception):
    """A filter cannot be had, or gave no judgement; the message says why, and quotes no passage."""


class ReasoningFilter(Protocol):
    """Judges passages of reasoning, one at a time.

    `patience` is how many seconds one judgement may take.
    """

    patience: float

    def load(self) -> AsyncIterator[Loading]:
        """Get ready, yielding progress; ends at once when ready already. Raises FilterError."""

    async def look(self, text: str, before: str) -> str | None:
        """What may be shown of the passage `text`, which follows `before` in this turn; None withholds it.

        May raise anything, and may be cancelled: either way nothing of the passage is shown.
        """

    async def close(self) -> None:
        """Give back processes and memory."""
