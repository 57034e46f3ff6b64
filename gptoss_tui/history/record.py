"""The record of one conversation in the store, in step with the conversation in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..harmony.message import Conversation, Message, Role
from .node import Node
from .sampled import Sampled
from .store import Gone, Store, StoredSession, new_id


@dataclass(slots=True, eq=False)  # two sessions may have taken up one conversation
class Record:
    """The part of `conversation` that is on disk. Without a store nothing is, and that is no fault.

    `sampled` are the samples that are not on disk yet. `id` names the session, for `--resume`. `path` are the
    nodes of the messages on disk, which are the first of the conversation.
    """

    store: Store | None
    model: str
    conversation: Conversation
    id: str = field(default_factory=new_id)
    path: list[Node] = field(default_factory=list)
    sampled: list[Sampled] = field(default_factory=list)

    @property
    def saved_count(self) -> int:
        """The number of messages on disk."""
        return len(self.path)

    @property
    def missing(self) -> int:
        """The number of messages that should be on disk and are not."""
        return len(self.conversation.messages) - self.saved_count if self.store is not None else 0

    @property
    def is_whole(self) -> bool:
        """True when all that should be on disk is there."""
        return self.store is None or not (self.missing or self.sampled)

    async def write(self) -> None:
        """Commit what is not on disk yet, and again what the file has lost; raises StoreError."""
        if self.store is None or not (self.conversation.messages or self.sampled):
            return
        try:
            await self._write(self.store)
        except Gone as gone:
            self.path = gone.remaining[: self.saved_count]
            await self._write(self.store)

    async def _write(self, store: Store) -> None:
        conversation, path = self.conversation, self.path
        new, sampled = tuple(conversation.messages[len(path) :]), tuple(self.sampled)
        if path:
            nodes = await store.append(self.id, path, new, sampled)
        else:
            date, instructions = conversation.system.date, conversation.developer.instructions
            nodes = await store.begin(StoredSession(self.id, self.model, date, instructions, new), sampled)
        path += nodes
        del self.sampled[: len(sampled)]

    def branch(self, count: int) -> None:
        """Go on after the first `count` messages: the others leave the conversation, not the disk.

        The next message follows the last that is left, and becomes the leaf. Raises ValueError while messages
        or samples are missing on disk, for they would be lost.
        """
        if not self.is_whole:
            raise ValueError("save what is missing first")
        del self.conversation.messages[count:]
        self.path = self.path[:count]

    def resume(self, session: StoredSession) -> None:
        """Take up a stored session: its messages become the conversation's."""
        self.id, self.path = session.id, list(session.path)
        self.conversation.messages[:] = [*session.messages, *_missing_results(session.messages)]


def _missing_results(messages: tuple[Message, ...]) -> list[Message]:
    """A result for the call that was under way when the program ended: every call must have a result."""
    if not messages or messages[-1].role is not Role.ASSISTANT or messages[-1].recipient is None:
        return []
    call = messages[-1]
    lost = "[ERROR] The program ended while this ran; it may have had an effect, and all state is lost."
    return [Message(Role.TOOL, lost, name=call.recipient, channel=call.channel)]
