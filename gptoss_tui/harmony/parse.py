"""Sampled token ids to messages, streaming, for any sequence of ids.

The parser works on ids before they are decoded, never raises, and loses no text: a malformed sequence gets
the best reading and a `Repair`. A doubtful message is never final and never a call. The author is always the
assistant; an attempt to speak as anybody else ends the sample.

A well-formed sample has no repairs. Its headers have a channel, a recipient before or after it, and a content
type, in any order; its bodies end with their own token (`<|call|>` for a call, `<|end|>` or `<|return|>` for
anything else); a stop token may follow an `<|end|>`, where the model has nothing more to say. Every other
sequence is read with at least one `Repair`, or its last message is "cut".
"""

from __future__ import annotations

import codecs
import re
from dataclasses import astuple, dataclass
from enum import Enum, auto
from typing import Literal

from .header import ROLE, Header, Part, Repair, read_header
from .message import Channel, Message, Role
from .vocabulary import ControlTokens, Detokenizer

HEADER_BUDGET = 200
"""Tokens of a header without `<|message|>`, beyond which it is read as text."""

_LONGEST_STRAY = 16
"""Tokens between a `<|channel|>` and a `<|message|>` inside an answer that may be a header."""

Ending = Literal["end", "call", "return", "implicit", "cut"]


@dataclass(frozen=True, slots=True)
class Opened:
    """A message began; `channel` and `recipient` are known from here on."""

    channel: Channel
    recipient: str | None
    content_type: str | None


@dataclass(frozen=True, slots=True)
class Text:
    """More text of the open message: whole characters, which are final."""

    delta: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The open message is whole.

    "implicit" means that the next message began before an end token, "cut" that the sample stopped first.
    """

    message: Message
    ending: Ending


Piece = Opened | Text | Closed | Repair


class _State(Enum):
    HEADER = auto()
    BODY = auto()
    BETWEEN = auto()
    ENDED = auto()


class Parser:
    """Reads one sample, token by token.

    The sample begins where `render` ends: after `<|start|>assistant`, or inside a message on `channel` if the
    prompt already contains its header. `recipients` are the tools on offer, or None if they are not known: a
    message on analysis to any other recipient is reasoning. They also help to repair a name with a content
    type glued to it, and to choose where a header names two tools. `ids` are all ids fed so far; `ended` is
    true once nothing more will be read.
    """

    def __init__(
        self,
        tokenizer: Detokenizer,
        *,
        recipients: frozenset[str] | None = None,
        channel: Channel | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._control = ControlTokens.of(tokenizer)
        self._known = frozenset(astuple(self._control))
        self._recipients = recipients
        self._header: list[int] = []
        self._preset = True
        self._open: Opened | None = None
        self._text: list[str] = []
        self._is_fresh = self._is_makeshift = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._plain: dict[int, Text] = {}  # the pieces of ASCII tokens, which most of a text consists of
        self._is_split = False  # whether the decoder holds the beginning of a character
        self._state = _State.HEADER
        self._unsaid: list[Piece] = [] if channel is None else [self._begin(Opened(channel, None, None))]
        self.ids: list[int] = []

    @property
    def ended(self) -> bool:
        """Whether a stop token or a forged author was read."""
        return self._state is _State.ENDED

    def feed(self, token: int) -> list[Piece]:
        """Read one sampled id; returns the pieces that it completes.

        The first call also returns the message that the prompt opened, unless `opened` has.
        """
        self.ids.append(token)
        return [*self.opened(), *self._feed(token)] if self._unsaid else self._feed(token)

    def opened(self) -> list[Piece]:
        """The message that the prompt opened, for a caller that needs it before the first token."""
        unsaid, self._unsaid = self._unsaid, []
        return unsaid

    def _feed(self, token: int) -> list[Piece]:
        is_in_text = self._state is _State.BODY and not self._header
        if is_in_text and not self._is_split and (piece := self._plain.get(token)) is not None:
            return self._add_plain(piece)
        if token not in self._known and self._state is not _State.ENDED:
            raw = self._meaning(token)
            if raw is None:
                return [Repair(f"token {token} has no meaning here and was left out")]
            if is_in_text and not self._is_split and raw and raw.isascii():
                piece = self._plain[token] = Text(raw.decode("ascii"))
                return self._add_plain(piece)
            if is_in_text:
                return self._add(raw)
        match self._state:
            case _State.ENDED:
                return []
            case _State.HEADER:
                return self._feed_header(token)
            case _State.BODY:
                return self._feed_body(token)
            case _State.BETWEEN:
                return self._feed_between(token)

    def finish(self) -> list[Piece]:
        """End a sample that has no stop token: the open message is closed as cut."""
        pieces, self._unsaid = self._unsaid, []
        match self._state:
            case _State.BODY:
                pieces += self._close("cut")
            case _State.HEADER if self._header or not self._preset:
                pieces += [*self._header_as_text("the output ended inside a header"), *self._close("cut")]
        self._state = _State.ENDED
        return pieces

    def _feed_header(self, token: int) -> list[Piece]:
        control = self._control
        if token == control.message:
            return self._open_message()
        if token == control.start:
            return self._restart_header()
        if token in (control.end, *control.stops):
            return self._end_in_header(token)
        self._header.append(token)
        if len(self._header) > HEADER_BUDGET:
            return self._header_as_text("a header that never ended is shown as text")
        return []

    def _open_message(self) -> list[Piece]:
        header = self._read_header()
        if header.forged is not None:
            return self._refuse(header.forged)
        return [*header.repairs, self._begin(Opened(header.channel, header.recipient, header.content_type))]

    def _restart_header(self) -> list[Piece]:
        """`<|start|>` inside a header."""
        pieces = self._header_as_text("a header without a message is shown as text")
        pieces += self._close("implicit")
        if not self.ended:
            self._expect_header()
        return pieces

    def _end_in_header(self, token: int) -> list[Piece]:
        pieces = self._header_as_text("text without a message header is shown as it is")
        pieces += self._close(self._ending(token))
        self._move_on(token)
        return pieces

    def _header_as_text(self, why: str) -> list[Piece]:
        """Read the tokens of an incomplete header as the body of a message, unless they are empty.

        Without a channel the message is the answer, as models sometimes write it; it is never a call.
        """
        header = self._read_header()
        if header.forged is not None:
            return self._refuse(header.forged)
        at = self._channel_at()
        body = b"".join(map(self._tokenizer.decode_single_token_bytes, self._header[:at]))
        body = body if self._preset else _without_role(body)
        channel = Channel.FINAL
        if at < len(self._header):
            rest = b"".join(map(self._tokenizer.decode_single_token_bytes, self._header[at + 1 :]))
            channel = Channel.ANALYSIS if header.names_analysis else header.channel
            body += _CHANNEL_NAME.sub(b"", rest)
        if not body.strip():
            self._header = []
            return [Repair("an empty message was ignored")]
        opened = self._begin(Opened(channel, None, None))
        self._is_makeshift = True
        return [Repair(why), opened, *self._add(body)]

    def _feed_body(self, token: int) -> list[Piece]:
        control = self._control
        if token in (control.end, *control.stops):
            return self._end_message(token)
        if token == control.start:
            pieces = self._close("implicit")
            self._expect_header()
            return [*pieces, Repair("a message was closed where the next one began")]
        if token == control.channel and self._may_turn:
            pieces = self._close("implicit")
            self._expect_header(token)
            return [*pieces, Repair("a message was closed where another channel began")]
        if token == control.message and self._is_fresh:
            return [Repair("a doubled start of text was ignored")]
        if token == control.message and self._thinks:
            pieces = self._close("implicit")
            opened = self._begin(Opened(Channel.ANALYSIS, None, None))
            return [*pieces, Repair("an answer was closed where reasoning began"), opened]
        if token == control.channel or self._header:
            self._header = [token] if token == control.channel else [*self._header, token]
            self._header = self._header if len(self._header) <= _LONGEST_STRAY else []
        return self._feed_text(token)

    @property
    def _may_turn(self) -> bool:
        """Whether `<|channel|>` begins another message here: neither reasoning nor a preamble swallows one.

        Inside a call the marker is text, as it is inside an answer, but see `_thinks`.
        """
        assert self._open is not None
        is_answer = self._open.channel is Channel.FINAL and not self._is_makeshift
        return self._open.recipient is None and (self._is_fresh or not is_answer)

    @property
    def _thinks(self) -> bool:
        """Whether the text of an answer ends in a header of reasoning that lacks only its `<|message|>`."""
        assert self._open is not None
        if self._open.recipient is not None or not self._header:
            return False
        header = self._read_header()
        return header.channel is Channel.ANALYSIS and header.recipient is None

    def _end_message(self, token: int) -> list[Piece]:
        assert self._open is not None
        control, is_call = self._control, self._open.recipient is not None
        pieces = self._close(self._ending(token))
        if is_call and token != control.call:
            pieces.append(Repair("a call with another end than <|call|> was taken for one"))
        elif token == control.end_of_text or (token == control.call and not is_call):
            pieces.append(Repair("a message with an end that is not its own was taken as it is"))
        self._move_on(token)
        return pieces

    def _feed_text(self, token: int) -> list[Piece]:
        raw = self._tokenizer.decode_single_token_bytes(token)
        if token in self._known:
            return [Repair(f"a misplaced {raw.decode()} was kept as text"), *self._add(raw)]
        return self._add(raw)

    def _add_plain(self, piece: Text) -> list[Piece]:
        self._is_fresh = False
        self._text.append(piece.delta)
        return [piece]

    def _add(self, raw: bytes) -> list[Piece]:
        self._is_fresh = False
        delta = self._decoder.decode(raw)
        if _SURROGATE.match(self._decoder.getstate()[0]):
            delta += self._decoder.decode(b"", final=True)
        self._is_split = bool(self._decoder.getstate()[0])
        if not delta:
            return []
        self._text.append(delta)
        return [Text(delta)]

    def _feed_between(self, token: int) -> list[Piece]:
        """Read a token after a closed message: the next `<|start|>`, or a misplaced token."""
        control = self._control
        if token == control.start:
            self._expect_header()
            return []
        if token == control.end:
            return [Repair("a doubled end of message was ignored")]
        if token in control.stops:
            self._move_on(token)
            return []
        if token == control.channel:
            self._expect_header(token)
            return [Repair("a message without a start was read")]
        opened = self._begin(Opened(Channel.COMMENTARY, None, None))
        return [Repair("text outside a message is shown as commentary"), opened, *self._feed_body(token)]

    def _begin(self, opened: Opened) -> Opened:
        self._open, self._text, self._header = opened, [], []
        self._is_fresh, self._is_makeshift = True, False
        self._decoder.reset()
        self._is_split = False
        self._state = _State.BODY
        return opened

    def _close(self, ending: Ending) -> list[Piece]:
        opened, self._open = self._open, None
        if opened is None:
            return []
        pieces: list[Piece] = []
        if rest := self._decoder.decode(b"", final=True):
            self._text.append(rest)
            pieces.append(Text(rest))
        message = Message(
            Role.ASSISTANT,
            "".join(self._text),
            channel=opened.channel,
            recipient=opened.recipient,
            content_type=opened.content_type,
        )
        return [*pieces, Closed(message, ending)]

    def _expect_header(self, *read: int) -> None:
        """Begin another header; `read` are its tokens so far, which stand in the place of a role."""
        self._header, self._preset, self._state = [*read], bool(read), _State.HEADER

    def _move_on(self, token: int) -> None:
        """Leave a message by its end `token`; a sample that has ended stays ended."""
        if not self.ended:
            self._state = _State.ENDED if token in self._control.stops else _State.BETWEEN

    def _ending(self, token: int) -> Ending:
        if token == self._control.call:
            return "call"
        return "end" if token == self._control.end else "return"

    def _refuse(self, author: str) -> list[Piece]:
        self._header, self._state = [], _State.ENDED
        return [Repair(f"the model tried to speak as {author}; removed", author)]

    def _meaning(self, token: int) -> bytes | None:
        """The bytes of a token of text; None for an unknown id and for a special token unknown to harmony."""
        try:
            raw = self._tokenizer.decode_single_token_bytes(token)
        except (KeyError, OverflowError):
            return None
        return None if raw.startswith(b"<|") and _SPECIAL.fullmatch(raw) else raw

    def _channel_at(self) -> int:
        marker = self._control.channel
        return self._header.index(marker) if marker in self._header else len(self._header)

    def _read_header(self) -> Header:
        """Cut the header at its control tokens, then decode, then read it."""
        control = self._control
        parts: list[tuple[Literal["", "channel", "constrain"], list[bytes]]] = [("", [])]
        for token in self._header:
            if token == control.channel:
                parts.append(("channel", []))
            elif token == control.constrain:
                parts.append(("constrain", []))
            else:
                parts[-1][1].append(self._tokenizer.decode_single_token_bytes(token))
        return read_header(
            [Part(marker, b"".join(raw).decode("utf-8", "replace")) for marker, raw in parts],
            preset=self._preset,
            recipients=self._recipients,
        )


def _without_role(author: bytes) -> bytes:
    """An author part without the role words; bytes, because its last character may be incomplete."""
    text = author.decode("utf-8", "surrogateescape")
    role = ROLE.match(text)
    return (text[role.end() :] if role else text).encode("utf-8", "surrogateescape")


# No character begins with these bytes, yet Python's decoder waits for a third one.
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf]")
_SPECIAL = re.compile(rb"<\|[a-z0-9_]+\|>")
_CHANNEL_NAME = re.compile(rb"^\s*(?:analysis|commentary|final)(?![A-Za-z])")
