"""Token ids taken apart: which message each belongs to, and what it does there."""

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
    """One token. `repairs` says what the parser mended when it read it."""

    id: int
    raw: bytes
    kind: Kind
    repairs: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        r"""The token as text; bytes that are only part of a character are written \xe2."""
        return self.raw.decode("utf-8", "backslashreplace")

    def as_json(self) -> dict[str, Any]:
        """The token with its text, or with its bytes where they are only part of a character."""
        try:
            shown: dict[str, Any] = {"text": self.raw.decode("utf-8")}
        except UnicodeDecodeError:
            shown = {"bytes": [*self.raw]}
        return {"id": self.id, **shown, "kind": self.kind}


@dataclass(slots=True)
class Block:
    """One message: what its header says, and its tokens. `role` is None until the header is read."""

    role: Role | None = None
    name: str = ""
    channel: str = ""
    recipient: str = ""
    content_type: str = ""
    pieces: list[Piece] = field(default_factory=list)

    @property
    def style(self) -> str:
        """What its body is coloured by: the channel of the assistant, or the role."""
        if self.role is None or self.role is Role.ASSISTANT:
            return self.channel or "assistant"
        return self.role.value

    def as_json(self) -> dict[str, Any]:
        """What is said of each of its tokens."""
        return {
            "role": self.role,
            "channel": self.channel or None,
            "recipient": self.recipient or None,
        }


def dissect(ids: Sequence[int], tokenizer: Tokenizer) -> list[Block]:
    """A rendered prompt as its messages, the last of them the header that the model goes on from."""
    control = ControlTokens.of(tokenizer)
    blocks: list[Block] = []
    kind: Kind = "body"
    for token in ids:
        if token == control.start:
            blocks.append(Block())
            kind = "header"
        is_control = token in _structure(control)
        raw = tokenizer.decode_single_token_bytes(token)
        blocks[-1].pieces.append(Piece(token, raw, "control" if is_control else kind))
        if token == control.message:
            kind = "body"
    for block in blocks:
        _read_header(block, control)
    return blocks


def _structure(control: ControlTokens) -> tuple[int, ...]:
    return control.start, control.channel, control.constrain, control.message, control.end, *control.stops


def _read_header(block: Block, control: ControlTokens) -> None:
    """Fill in what the header says. It was rendered, so it is well formed."""
    parts: dict[int, bytes] = {}
    place = control.start
    for piece in block.pieces:
        if piece.kind == "body":
            break
        if piece.kind == "control":
            place = piece.id
        else:
            parts[place] = parts.get(place, b"") + piece.raw
    author, _, recipient = parts.get(control.start, b"").decode("utf-8", "replace").partition(" to=")
    role, _, name = author.partition(":")
    is_tool = role not in set(Role)
    block.role = Role.TOOL if is_tool else Role(role)
    block.name = author if is_tool else name
    block.recipient = recipient
    channel, _, kind = parts.get(control.channel, b"").decode("utf-8", "replace").partition(" ")
    block.channel = channel
    block.content_type = kind.strip() or parts.get(control.constrain, b"").decode("utf-8", "replace")


def read_sample(
    ids: Sequence[int],
    tokenizer: Tokenizer,
    *,
    recipients: frozenset[str] = frozenset(),
    channel: Channel | None = None,
) -> list[Block]:
    """What the model sampled, as the messages that the parser reads in it, whatever the ids are.

    `recipients` and `channel` as for `Parser`. A repair stands with the token at which it was made. What
    comes after the end is "unread".
    """
    structure = _structure(ControlTokens.of(tokenizer))
    parser = Parser(tokenizer, recipients=recipients, channel=channel)
    blocks = [Block(Role.ASSISTANT, channel=channel or "")]
    is_open = channel is not None
    for token in ids:
        was_ended, was_open = parser.ended, is_open
        made = parser.feed(token)
        repairs = tuple(one.what for one in made if isinstance(one, Repair))
        is_over = False
        for one in made:
            if isinstance(one, Opened):
                is_open, is_over = True, False
                _name(blocks[-1], one)
            elif isinstance(one, Closed):
                is_open = False
                is_over = one.ending != "implicit"
                if not is_over:
                    blocks.append(Block(Role.ASSISTANT))
        if was_ended:
            kind: Kind = "unread"
        elif token in structure:
            kind = "control"
        else:
            kind = "body" if was_open or is_open else "header"
        blocks[-1].pieces.append(Piece(token, _bytes(tokenizer, token), kind, repairs))
        if is_over:
            blocks.append(Block(Role.ASSISTANT))
    last = next((block for block in reversed(blocks) if block.pieces), None)
    for one in parser.finish():
        if isinstance(one, Opened):
            _name(blocks[-1], one)
        elif isinstance(one, Repair) and last:
            last.pieces[-1] = replace(last.pieces[-1], repairs=(*last.pieces[-1].repairs, one.what))
    return [block for block in blocks if block.pieces]


def _name(block: Block, opened: Opened) -> None:
    block.channel, block.recipient = opened.channel.value, opened.recipient or ""
    block.content_type = (opened.content_type or "").removeprefix("<|constrain|>")


def _bytes(tokenizer: Tokenizer, token: int) -> bytes:
    try:
        return tokenizer.decode_single_token_bytes(token)
    except (KeyError, OverflowError):
        return "\ufffd".encode()
