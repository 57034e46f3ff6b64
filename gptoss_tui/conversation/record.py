"""The record of one conversation in the store, kept in step with the conversation in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ..harmony.message import Conversation, Message, Role
from .sampled import Sampled
from .store import Session, Store, StoreError, new_id


@dataclass(slots=True)
class Record:
    """What of `conversation` is on disk. Without a store nothing is, and that is no fault.

    `sampled` takes what the model samples, until it is on disk as well. `id` names the session, for
    `--resume`. `trouble` is what went wrong last, None while all is well.
    """

    store: Store | None
    model: str
    conversation: Conversation
    id: str = field(default_factory=new_id)
    trouble: str | None = None
    sampled: list[Sampled] = field(default_factory=list)
    _begun: bool = False
    _saved: int = 0
    _saving: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def save(self) -> None:
        """Commit the messages and samples that are not on disk yet; a failure goes to `trouble`, never up."""
        async with self._saving:
            if self.store is None or (len(self.conversation.messages) == self._saved and not self.sampled):
                return
            try:
                await self._write(self.store)
                self.trouble = None
            except StoreError as error:
                self.trouble = str(error)

    async def _write(self, store: Store) -> None:
        conversation = self.conversation
        if not self._begun:
            date, instructions = conversation.system.date, conversation.developer.instructions
            await store.begin(Session(self.id, self.model, date, instructions))
            self._begun = True
        new = tuple(conversation.messages[self._saved :])
        sampled = tuple(self.sampled)
        await store.append(self.id, self._saved, new, sampled)
        self._saved += len(new)
        del self.sampled[: len(sampled)]

    def resume(self, session: Session) -> None:
        """Take up a stored session: its messages become the conversation's."""
        self.id, self._begun, self._saved = session.id, True, len(session.messages)
        self.conversation.messages[:] = [*session.messages, *_missing_results(session.messages)]


def _missing_results(messages: tuple[Message, ...]) -> list[Message]:
    """A result for the call that was under way when the program ended: no call may go without one."""
    if not messages or messages[-1].role is not Role.ASSISTANT or messages[-1].recipient is None:
        return []
    call = messages[-1]
    lost = "[ERROR] The program ended while this ran; it may have had an effect, and all state is lost."
    return [Message(Role.TOOL, lost, name=call.recipient, channel=call.channel)]
