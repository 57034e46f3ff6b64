"""The record of one conversation in the store, in step with the conversation in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from ..harmony.message import Channel, Conversation, Message, Role
from .claim import Claim
from .cut import Cut
from .draft import SampleDraft
from .node import Node
from .sampled import Sampled
from .store import Gone, Store, new_id
from .stored import UNFINISHED, StoredSession

_LOST: Final = "[ERROR] The program ended while this ran; it may have had an effect, and all state is lost."
_LOST_TO_FORK: Final = "[ERROR] This runs elsewhere; it may have an effect, and its result is not known here."


@dataclass(slots=True, eq=False)  # two sessions may have taken up one conversation
class Record:
    """The part of `conversation` that is on disk. Without a store nothing is, and that is no fault.

    `sampled` are the samples that are not on disk yet, and `draft` is the sample under way. `id` names the
    session, for `--resume`. `path` are the nodes of the messages on disk, which are the first of the
    conversation. `cuts` say what the model is not shown of it any more; the last one holds. `endings` tell
    how turns ended otherwise than with an answer, by the number of messages up to there. `gaps` says what of
    a resumed conversation is left out, "" for nothing. While it has the `claim` nobody else goes on with the
    session. The first `forked` messages are copies of another session's: they are not written before one
    follows them.
    """

    store: Store | None
    model: str
    conversation: Conversation
    id: str = field(default_factory=new_id)
    path: list[Node] = field(default_factory=list)
    sampled: list[Sampled] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    draft: SampleDraft = field(default_factory=SampleDraft)
    endings: dict[int, str] = field(default_factory=dict)
    gaps: str = ""
    claim: Claim | None = None
    forked: int = 0
    _ended: set[int] = field(default_factory=set)  # the endings that are on disk
    _cut: list[Cut] = field(default_factory=list)  # the cuts that are on disk

    @property
    def saved_count(self) -> int:
        """The number of messages on disk."""
        return len(self.path)

    @property
    def missing(self) -> int:
        """The number of messages that should be on disk and are not."""
        return 0 if self._is_idle else len(self.conversation.messages) - self.saved_count

    @property
    def is_whole(self) -> bool:
        """True when all that should be on disk is there; the draft may lag behind."""
        return self._is_idle or not (
            self.missing or self.sampled or len(self.endings) != len(self._ended) or self.cuts != self._cut
        )

    @property
    def has_grown(self) -> bool:
        """True when there is more of the draft than on disk."""
        return self.store is not None and self.draft.has_grown

    @property
    def _is_idle(self) -> bool:
        """True while there is nothing that should be on disk."""
        is_copy = not self.path and 0 < len(self.conversation.messages) <= self.forked
        return self.store is None or is_copy

    async def write(self) -> None:
        """Commit what is not on disk yet, and again what the file has lost; raises StoreError."""
        if self.store is None or self._is_idle or not (self.conversation.messages or self.sampled):
            return
        if self.claim is None and not self.path:
            claimed = await self.store.claim(self.id)
            self.claim = claimed if isinstance(claimed, Claim) else None
        try:
            await self._write(self.store)
        except Gone as gone:
            self.path = gone.remaining[: self.saved_count]
            self._ended = {count for count in self._ended if count <= len(self.path)}
            self._cut = []
            self.draft.lose()
            await self._write(self.store)

    async def _write(self, store: Store) -> None:
        conversation, path, piece = self.conversation, self.path, self.draft.piece()
        new, sampled = tuple(conversation.messages[len(path) :]), tuple(self.sampled)
        endings = {count: why for count, why in self.endings.items() if count not in self._ended}
        cuts = list(self.cuts) if self.cuts != self._cut else None
        if path:
            nodes = await store.append(self.id, path, new, sampled, piece=piece, endings=endings, cuts=cuts)
        else:
            date, instructions = conversation.system.date, conversation.developer.instructions
            session = StoredSession(self.id, self.model, date, instructions, new)
            nodes = await store.begin(session, sampled, piece=piece, endings=endings, cuts=cuts)
        path += nodes
        del self.sampled[: len(sampled)]
        self._ended |= endings.keys()
        self._cut = self._cut if cuts is None else cuts
        if piece is not None:
            self.draft.keep(piece)

    def release(self) -> None:
        """Let others go on with the session."""
        if self.claim is not None:
            self.claim.release()
            self.claim = None

    def end_turn(self, reason: str) -> None:
        """Note that the turn ended here, otherwise than with an answer."""
        self.endings[len(self.conversation.messages)] = reason

    def branch(self, count: int) -> None:
        """Go on after the first `count` messages: the others leave the conversation, not the disk.

        The next message follows the last that is left, and becomes the leaf. Raises ValueError while messages
        or samples are missing on disk, for they would be lost.
        """
        if self.store is not None and (self.missing or self.sampled):
            raise ValueError("save what is missing first")
        del self.conversation.messages[count:]
        self.path = self.path[:count]
        self.endings = {place: why for place, why in self.endings.items() if place <= count}
        self._ended &= self.endings.keys()
        self.cuts[:] = [cut for cut in self.cuts if cut.at <= count]
        self._cut = list(self.cuts)

    def fork(self, session: StoredSession) -> None:
        """Begin a session of its own with the messages of one that somebody else goes on with."""
        name = self.id
        self.resume(replace(session, path=(), writing=(), drafted=None), _LOST_TO_FORK)
        self.id, self.forked, self._ended = name, len(self.conversation.messages), set()
        self._cut = []

    def resume(self, session: StoredSession, lost: str = _LOST) -> None:
        """Take up a stored session: its messages become the conversation's.

        A turn with which the program ended is unfinished: what the model had written of it is kept, and a
        call that was under way has `lost` for its result.
        """
        self.id, self.path, self._ended = session.id, list(session.path), set(session.endings)
        self.gaps = session.gaps
        session = session.with_draft()
        self.conversation.messages[:] = [*session.messages, *_missing_results(session.messages, lost)]
        if session.drafted is not None:
            self.sampled.append(session.drafted)
        self.endings = dict(session.endings)
        self.cuts[:], self._cut = session.cuts, list(session.cuts)
        if len(session.messages) not in self.endings and not _is_answered(session.messages):
            self.end_turn(UNFINISHED)


def _is_answered(messages: tuple[Message, ...]) -> bool:
    """True when the last message leaves nothing to be said; some models name no channel."""
    last = messages[-1] if messages else None
    return last is None or (
        last.role is Role.ASSISTANT and last.recipient is None and last.channel in (None, Channel.FINAL)
    )


def _missing_results(messages: tuple[Message, ...], lost: str) -> list[Message]:
    """A result for the call that was under way when the program ended: every call must have a result."""
    if not messages or messages[-1].role is not Role.ASSISTANT or messages[-1].recipient is None:
        return []
    call = messages[-1]
    return [Message(Role.TOOL, lost, name=call.recipient, channel=call.channel)]
