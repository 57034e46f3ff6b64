"""The record of one conversation in the store, kept in step with the conversation in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..harmony.message import Conversation, Message, Role
from .sampled import Sampled
from .store import Gone, Store, StoredSession, new_id


@dataclass(slots=True)
class Record:
    """What of `conversation` is on disk. Without a store nothing is, and that is no fault.

    `sampled` takes what the model samples, until it is on disk as well. `id` names the session, for
    `--resume`. `kept` counts the messages that are on disk.
    """

    store: Store | None
    model: str
    conversation: Conversation
    id: str = field(default_factory=new_id)
    kept: int = 0
    sampled: list[Sampled] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """How many messages should be on disk and are not."""
        return len(self.conversation.messages) - self.kept if self.store is not None else 0

    @property
    def is_whole(self) -> bool:
        """True when all that should be on disk is there."""
        return self.store is None or not (self.missing or self.sampled)

    async def write(self) -> None:
        """Commit what is not on disk yet, and see that the file still has the rest; raises StoreError."""
        if self.store is None or not (self.conversation.messages or self.sampled):
            return
        try:
            await self._write(self.store)
        except Gone as gone:
            self.kept = gone.held
            await self._write(self.store)

    async def _write(self, store: Store) -> None:
        conversation = self.conversation
        new, sampled = tuple(conversation.messages[self.kept :]), tuple(self.sampled)
        if self.kept:
            await store.append(self.id, self.kept, new, sampled)
        else:
            date, instructions = conversation.system.date, conversation.developer.instructions
            await store.begin(StoredSession(self.id, self.model, date, instructions, new), sampled)
        self.kept += len(new)
        del self.sampled[: len(sampled)]

    def resume(self, session: StoredSession) -> None:
        """Take up a stored session: its messages become the conversation's."""
        self.id, self.kept = session.id, len(session.messages)
        self.conversation.messages[:] = [*session.messages, *_missing_results(session.messages)]


def _missing_results(messages: tuple[Message, ...]) -> list[Message]:
    """A result for the call that was under way when the program ended: no call may go without one."""
    if not messages or messages[-1].role is not Role.ASSISTANT or messages[-1].recipient is None:
        return []
    call = messages[-1]
    lost = "[ERROR] The program ended while this ran; it may have had an effect, and all state is lost."
    return [Message(Role.TOOL, lost, name=call.recipient, channel=call.channel)]
