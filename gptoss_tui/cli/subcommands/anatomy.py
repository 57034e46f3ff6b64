"""Token ids taken apart: the message that each token belongs to, and its part in that message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...harmony.header import Repair
from ...harmony.message import Channel, Role
from ...harmony.parse import Closed, Opened, Parser
from ...harmony.vocabulary import ControlTokens, Tokenizer

Kind = Literal["control", "header", "body", "unread"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One token. `repairs` are the repairs that the parser made at this token, in words."""

    id: int
    raw: bytes
    kind: Kind
    repairs: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        r"""The token as text; bytes of an incomplete character become escapes such as \xe2."""
        return self.raw.decode("utf-8", "backslashreplace")

    def as_json(self) -> dict[str, Any]:
        """The token with its text, or with its bytes where they are only part of a character."""
        try:
            content: dict[str, Any] = {"text": self.raw.decode("utf-8")}
        except UnicodeDecodeError:
            content = {"bytes": [*self.raw]}
        return {"id": self.id, **content, "kind": self.kind}


@dataclass(slots=True)
class Segment:
    """One message of a stream of ids: its header, and its tokens. `role` is None until the header is read."""

    role: Role | None = None
    name: str = ""
    channel: str = ""
    recipient: str = ""
    content_type: str = ""
    pieces: list[Piece] = field(default_factory=list)

    @property
    def style(self) -> str:
        """The name of the body's colour: the channel of an assistant's message, the role of any other."""
        if self.role is None or self.role is Role.ASSISTANT:
            return self.channel or "assistant"
        return self.role.value

    def as_json(self) -> dict[str, Any]:
        """The fields that stand beside each token of the message."""
        return {
            "role": self.role,
            "channel": self.channel or None,
            "recipient": self.recipient or None,
        }


def dissect(ids: Sequence[int], tokenizer: Tokenizer) -> list[Segment]:
    """The messages of a rendered prompt. The last is the header that the model continues."""
    control = ControlTokens.of(tokenizer)
    segments: list[Segment] = []
    kind: Kind = "body"
    for token in ids:
        if token == control.start:
            segments.append(Segment())
            kind = "header"
        is_control = token in _structure(control)
        raw = tokenizer.decode_single_token_bytes(token)
        segments[-1].pieces.append(Piece(token, raw, "control" if is_control else kind))
        if token == control.message:
            kind = "body"
    for segment in segments:
        _read_header(segment, control)
    return segments


def _structure(control: ControlTokens) -> tuple[int, ...]:
    return control.start, control.channel, control.constrain, control.message, control.end, *control.stops


def _read_header(segment: Segment, control: ControlTokens) -> None:
    """Read the header into `segment`. A rendered header is well formed."""
    parts: dict[int, bytes] = {}
    place = control.start
    for piece in segment.pieces:
        if piece.kind == "body":
            break
        if piece.kind == "control":
            place = piece.id
        else:
            parts[place] = parts.get(place, b"") + piece.raw
    author, _, recipient = parts.get(control.start, b"").decode("utf-8", "replace").partition(" to=")
    role, _, name = author.partition(":")
    is_tool = role not in set(Role)
    segment.role = Role.TOOL if is_tool else Role(role)
    segment.name = author if is_tool else name
    segment.recipient = recipient
    channel, _, kind = parts.get(control.channel, b"").decode("utf-8", "replace").partition(" ")
    segment.channel = channel
    segment.content_type = kind.strip() or parts.get(control.constrain, b"").decode("utf-8", "replace")


def read_sample(
    ids: Sequence[int],
    tokenizer: Tokenizer,
    *,
    recipients: frozenset[str] = frozenset(),
    channel: Channel | None = None,
) -> list[Segment]:
    """The messages that the parser reads in a sample, for any ids.

    `recipients` and `channel` as for `Parser`. A repair belongs to the token at which the parser made it.
    Tokens after the end are "unread".
    """
    structure = _structure(ControlTokens.of(tokenizer))
    parser = Parser(tokenizer, recipients=recipients, channel=channel)
    segments = [Segment(Role.ASSISTANT, channel=channel or "")]
    is_open = channel is not None
    for token in ids:
        was_ended, was_open = parser.ended, is_open
        events = parser.feed(token)
        repairs = tuple(event.what for event in events if isinstance(event, Repair))
        is_over = False
        for event in events:
            if isinstance(event, Opened):
                is_open, is_over = True, False
                _name(segments[-1], event)
            elif isinstance(event, Closed):
                is_open = False
                is_over = event.ending != "implicit"
                if not is_over:
                    segments.append(Segment(Role.ASSISTANT))
        if was_ended:
            kind: Kind = "unread"
        elif token in structure:
            kind = "control"
        else:
            kind = "body" if was_open or is_open else "header"
        segments[-1].pieces.append(Piece(token, _bytes(tokenizer, token), kind, repairs))
        if is_over:
            segments.append(Segment(Role.ASSISTANT))
    last = next((segment for segment in reversed(segments) if segment.pieces), None)
    for event in parser.finish():
        if isinstance(event, Opened):
            _name(segments[-1], event)
        elif isinstance(event, Repair) and last:
            last.pieces[-1] = replace(last.pieces[-1], repairs=(*last.pieces[-1].repairs, event.what))
    return [segment for segment in segments if segment.pieces]


def _name(segment: Segment, opened: Opened) -> None:
    segment.channel, segment.recipient = opened.channel.value, opened.recipient or ""
    segment.content_type = (opened.content_type or "").removeprefix("<|constrain|>")


def _bytes(tokenizer: Tokenizer, token: int) -> bytes:
    try:
        return tokenizer.decode_single_token_bytes(token)
    except (KeyError, OverflowError):
        return "\ufffd".encode()
