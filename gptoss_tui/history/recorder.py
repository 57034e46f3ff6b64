"""The recorder of conversations: messages are committed before they are shown; a failure is reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Final

from .record import Record
from .store import Busy, StoreError

_RETRY_S: Final = 2.0
"""How long after a failure saving is tried again, even with nothing new to save."""

_PATIENCE_S: Final = 0.2
"""How long a turn waits for a commit while saving fails: a locked file must not hold up every message."""


_SLOW_S: Final = 20.0
"""How long a turn waits for a disk that does not answer."""

_LAST_TRIES: Final = 8
"""How often a file in which another program writes is tried on closing, each time for half a second."""

_DRAFT_S: Final = 0.5
"""How long what the model writes waits to be committed; with the commit itself, less than a second."""


class Recorder:
    """Saves the record of the current conversation, and the unsaved rest of earlier ones.

    `trouble` is the error of the last attempt, "" while all is well.
    """

    def __init__(self) -> None:
        self.trouble = ""
        self._records: list[Record] = []
        self._left: list[Record] = []  # the records that nobody adds to any more
        self._latest: Record | None = None
        self._is_closed = False
        self._is_busy = False  # whether the trouble is another program that writes
        self._attempt: asyncio.Task[None] | None = None
        self._retrying: asyncio.Task[None] | None = None
        self._tried = 0  # the number of missing messages when a turn last waited
        self._changed = asyncio.Event()

    @property
    def lost(self) -> str:
        """The messages that end with the program, being on no disk, as one sentence; "" for none."""
        parts = [self._lost(record) for record in self._records if record.missing]
        why = self.trouble or "there was no time left to write it"
        return f"Not saved: {' and '.join(parts)} ({why})" if parts else ""

    def take_up(self, record: Record) -> None:
        """Save this record from now on."""
        self._records.append(record)
        self._latest = record

    def leave(self, record: Record) -> None:
        """Stop saving this record once it is whole. Does nothing the second time."""
        if record in self._records and record not in self._left:
            self._left.append(record)
            self._forget()

    async def save(self) -> None:
        """Wait until all finished messages are committed; while saving fails, not for long. Never raises.

        Does nothing once the recorder is closed.
        """
        if self._is_closed:
            return
        if self.trouble and self._missing != self._tried:
            self._tried = self._missing
            await asyncio.wait({self._try()}, timeout=_PATIENCE_S)
        while not self.trouble and not self._is_whole:
            self._tried = self._missing
            attempt = self._try()
            done, _ = await asyncio.wait({attempt}, timeout=_SLOW_S)
            if not done:
                self._note("the disk does not answer")
        if self.trouble and (self._retrying is None or self._retrying.done()):
            self._retrying = asyncio.create_task(self._retry())

    @contextmanager
    def drafting(self) -> Iterator[None]:
        """Commit what the model is writing, twice a second while it grows."""
        following = asyncio.create_task(self._follow_drafts())
        try:
            yield
        finally:
            following.cancel()

    async def close(self) -> None:
        """Try once more, and check that the committed messages are still in the file.

        Another program that writes just now is waited for, but not for long.
        """
        self._is_closed = True
        if self._retrying is not None:
            self._retrying.cancel()
        if self._attempt is not None:
            await asyncio.shield(self._attempt)
        for _ in range(_LAST_TRIES):
            await asyncio.shield(self._try())
            if not self._is_busy:
                break
        for record in self._records:
            record.release()

    async def follow(self) -> AsyncGenerator[str, None]:
        """Each new sentence about the trouble, "" when it is over; without end."""
        last = ""
        while True:
            if (sentence := self.sentence) != last:
                last = sentence
                yield last
            else:
                await self._changed.wait()

    @property
    def sentence(self) -> str:
        """The trouble as a sentence for a person; "" while all is well."""
        return f"Not saved, and tried again until it is: {self.trouble}" if self.trouble else ""

    @property
    def _is_whole(self) -> bool:
        return all(record.is_whole for record in self._records)

    @property
    def _missing(self) -> int:
        return sum(record.missing for record in self._records)

    def _try(self) -> asyncio.Task[None]:
        """The attempt under way, or a new one. It goes on when whoever waits for it is cancelled."""
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._write())
        return self._attempt

    async def _write(self) -> None:
        trouble, self._is_busy = "", False
        for record in list(self._records):
            try:
                await record.write()
            except StoreError as error:
                trouble, self._is_busy = str(error), isinstance(error, Busy)
        self._forget()
        self._note(trouble)

    def _note(self, trouble: str) -> None:
        """Tell whoever follows of trouble, or that it is over."""
        if trouble != self.trouble:
            self.trouble = trouble
            self._changed.set()
            self._changed = asyncio.Event()

    async def _retry(self) -> None:
        while self.trouble:
            await asyncio.sleep(_RETRY_S)
            await asyncio.shield(self._try())

    async def _follow_drafts(self) -> None:
        while not self._is_closed:
            await asyncio.sleep(_DRAFT_S)
            if not self.trouble and any(record.has_grown for record in self._records):
                await asyncio.shield(self._try())

    def _forget(self) -> None:
        """Drop the records that are complete for good."""
        for record in [record for record in self._left if record.is_whole]:
            self._left.remove(record)
            self._records.remove(record)
            record.release()

    def _lost(self, record: Record) -> str:
        is_current = record is self._latest
        whose = "this conversation" if is_current else f"conversation {record.id}"
        if not record.saved_count:
            return whose if is_current else "an earlier conversation"
        count = f"{record.missing} messages" if record.missing > 1 else "message"
        return f"the last {count} of {whose}"
