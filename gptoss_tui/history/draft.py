"""The draft: a sample under way, on disk piece by piece, which goes when the sample takes its place."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ..harmony.message import Channel, Message, Role
from .node import ODD, pack, unpack
from .sampled import Sampled, pack_ids, pack_logprobs, unpack_ids, unpack_logprobs

Columns = tuple[str | None, bytes, bytes | str, bytes, int | None, str | None, bytes | None]
Row = tuple[int | None, str | None, bytes, bytes | str, bytes, int | None, str | None, bytes | None]

INSERT: Final = """
insert into draft (session, parent, channel, text, ids, logprobs, prompt_tokens, asked, prompts)
values (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

PIECES: Final = """
select parent, channel, text, ids, logprobs, prompt_tokens, asked, prompts from draft
where session = ? order by id
"""


@dataclass(frozen=True, slots=True)
class DraftPiece:
    """What a sample has gained since the piece before: tokens, and more text of the message on `channel`.

    `of` is the sample as it began, without tokens. `ends` are the tokens and the parts of text up to here.
    """

    of: Sampled
    channel: Channel | None
    text: str
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    is_first: bool
    ends: tuple[int, int]

    def columns(self) -> Columns:
        """The stored values of the piece, without its place."""
        prompts = self.of.columns()[-1]
        return (
            self.channel,
            pack(self.text),
            pack_ids(self.ids),
            pack_logprobs(self.logprobs),
            *((self.of.prompt_tokens, self.of.channel, prompts) if self.is_first else (None, None, None)),
        )


@dataclass(slots=True, eq=False)
class SampleDraft:
    """The sample that the model is writing, if there is one; whoever samples fills it.

    The ids and logprobs of its tokens grow by themselves. Of its messages the text is kept, but not that of
    calls: a call that is cut short is never run.
    """

    _of: Sampled | None = None
    _ids: Sequence[int] = ()
    _logprobs: Sequence[float] = ()
    _channel: Channel | None = None
    _text: list[str] = field(default_factory=list)
    _message_at: int = 0  # where in `_text` the open message begins
    _kept: tuple[int, int] | None = None  # the tokens and the parts of text that are on disk

    def begin(self, sampled: Sampled, ids: Sequence[int], logprobs: array[float]) -> None:
        """Follow a sample that begins; `sampled` has its prompts and no tokens."""
        self._of, self._ids, self._logprobs = sampled, ids, logprobs
        self._channel, self._text, self._message_at, self._kept = None, [], 0, None

    def open(self, channel: Channel, *, is_call: bool) -> None:
        """A message began."""
        self._channel, self._message_at = None if is_call else channel, len(self._text)

    def add(self, text: str) -> None:
        """The open message has more text."""
        if self._channel is not None:
            self._text.append(text)

    def close(self) -> None:
        """The open message is whole, and part of the conversation if it is to be."""
        self._channel, self._message_at = None, len(self._text)

    def end(self, reason: str) -> Sampled:
        """The sample, which ended for this reason; nothing of it is a draft any more."""
        assert self._of is not None
        sampled = replace(self._of, ids=tuple(self._ids), logprobs=tuple(self._logprobs), reason=reason)
        self._of = None
        return sampled

    @property
    def has_grown(self) -> bool:
        """True when there is something that is not on disk."""
        return self._of is not None and self._kept != (len(self._ids), len(self._text))

    def piece(self) -> DraftPiece | None:
        """What is not on disk yet; None for nothing."""
        if self._of is None or not self.has_grown:
            return None
        ids, text = self._kept or (0, 0)
        return DraftPiece(
            self._of,
            self._channel,
            "".join(self._text[max(text, self._message_at) :]),
            tuple(self._ids[ids:]),
            tuple(self._logprobs[ids:]),
            self._kept is None,
            (len(self._ids), len(self._text)),
        )

    def keep(self, piece: DraftPiece) -> None:
        """The piece is on disk."""
        if piece.of is self._of:
            self._kept = piece.ends

    def lose(self) -> None:
        """Nothing of the draft is on disk any more."""
        self._kept = None


def drafted(
    rows: Iterable[Row], leaf: int | None, places: Mapping[int | None, int]
) -> tuple[list[Message], Sampled | None]:
    """The message and the sample that the pieces in the file make up; those that no store wrote are left out.

    `leaf` is the last message that is whole, and `places` counts the messages up to each one.
    """
    channel: Channel | None = None
    text: list[str] = []
    ids: list[int] = []
    logprobs: list[float] = []
    begun: Sampled | None = None
    for parent, named, raw, more_ids, more_logprobs, prompt_tokens, asked, prompts in rows:
        try:
            if prompts is not None:
                columns = (b"", b"", prompt_tokens or 0, "", asked, prompts)
                begun = Sampled.of(places.get(parent, 0), columns)
            ids += unpack_ids(more_ids)
            logprobs += unpack_logprobs(more_logprobs)
            if parent == leaf and named is not None:
                channel = Channel(named)
                text.append(unpack(raw))
        except ODD:
            continue
    messages = [Message(Role.ASSISTANT, "".join(text), channel=channel)] if any(text) else []
    sampled = replace(begun, ids=tuple(ids), logprobs=tuple(logprobs)) if begun is not None else None
    return messages, sampled
