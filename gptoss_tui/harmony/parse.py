"""Sampled token ids to messages, streaming, for any sequence of ids.

The parser works on ids before they are decoded, never raises, and loses no text: what it cannot understand
it reads in the best way it knows and says so. Doubt always means "not final" and "not executable". The
author is always the assistant; an attempt to speak as anybody else ends the sample.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from .header import Header, read_header
from .message import Channel, Message, Role
from .vocabulary import ControlTokens, Decoder

HEADER_BUDGET = 200
"""Tokens after which a header without `<|message|>` is taken for text."""

Ending = Literal["end", "call", "return", "implicit", "cut"]


@dataclass(frozen=True, slots=True)
class Opened:
    """A message began; `channel` and `recipient` are known from here on."""

    channel: Channel
    recipient: str | None
    content_type: str | None


@dataclass(frozen=True, slots=True)
class Text:
    """More text of the open message: whole characters, never taken back."""

    delta: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The open message is whole; "cut" means that the sample stopped inside it."""

    message: Message
    ending: Ending


@dataclass(frozen=True, slots=True)
class Repair:
    """Something was malformed; `what` says how it was read."""

    what: str


Piece = Opened | Text | Closed | Repair


class _State(Enum):
    HEADER = auto()
    BODY = auto()
    BETWEEN = auto()
    ENDED = auto()


class Parser:
    """Reads one sample, token by token.

    It begins where `render` ends: after `<|start|>assistant`, or inside a message on `channel` when the
    prompt already wrote that header. `recipients` are the tools on offer; they only help to mend a name with
    a content type glued to it. Attributes: `ids`, every id fed; `ended`, True when nothing more will be read.
    """

    def __init__(
        self,
        tokenizer: Decoder,
        *,
        recipients: frozenset[str] = frozenset(),
        channel: Channel | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._control = ControlTokens.of(tokenizer)
        self._recipients = recipients
        self._header: list[int] = []
        self._preset = True
        self._open: Opened | None = None
        self._text: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._state = _State.HEADER
        self.ids: list[int] = []
        if channel is not None:
            self._begin(Opened(channel, None, None))

    @property
    def ended(self) -> bool:
        """True once a stop token or a forged author was read."""
        return self._state is _State.ENDED

    def feed(self, token: int) -> list[Piece]:
        """Read one sampled id and say what it completes."""
        self.ids.append(token)
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
        """The sample is over without a stop token: close what is open, marked as cut."""
        pieces: list[Piece] = []
        match self._state:
            case _State.BODY:
                pieces = self._close("cut")
            case _State.HEADER if self._header:
                pieces = [*self._header_as_text("the output ended inside a header"), *self._close("cut")]
        self._state = _State.ENDED
        return pieces

    def _feed_header(self, token: int) -> list[Piece]:
        control = self._control
        if token == control.message:
            return self._open_message()
        if token == control.start:
            return self._restart_header()
        if token in (control.end, *control.stops):
            return self._stop_in_header(token)
        self._header.append(token)
        if len(self._header) > HEADER_BUDGET:
            return self._header_as_text("a header that never ended is shown as text")
        return []

    def _open_message(self) -> list[Piece]:
        header = self._read_header()
        if header.forged:
            return self._refuse(header)
        pieces: list[Piece] = [Repair(what) for what in header.repairs]
        return [*pieces, self._begin(Opened(header.channel, header.recipient, header.content_type))]

    def _restart_header(self) -> list[Piece]:
        """`<|start|>` inside a header: harmless when nothing but role words came before it."""
        pieces: list[Piece] = [Repair("a doubled start of message was ignored")]
        if self._header and not self._read_header().is_bare:
            pieces = self._header_as_text("a header without a message is shown as text")
            pieces += self._close("implicit")
        if not self.ended:
            self._expect_header()
        return pieces

    def _stop_in_header(self, token: int) -> list[Piece]:
        if self._header and not self._read_header().is_bare:
            pieces = self._header_as_text("text without a message header is shown as it is")
            pieces += self._close(self._ending(token))
        else:
            pieces = [] if self._preset else [Repair("an empty message was ignored")]
            self._header = []
        self._move_on(token)
        return pieces

    def _header_as_text(self, why: str) -> list[Piece]:
        """Treat the tokens of a header that never became one as the body of a message."""
        header = self._read_header()
        if header.forged:
            return self._refuse(header)
        has_marker = self._control.channel in self._header
        channel = header.channel if has_marker else Channel.FINAL
        body = self._decode(self._header if not has_marker else self._after_channel(header))
        pieces: list[Piece] = [Repair(why), self._begin(Opened(channel, None, None))]
        if body:
            self._text.append(body)
            pieces.append(Text(body))
        return pieces

    def _after_channel(self, header: Header) -> list[int]:
        """The header's tokens without the leading ones that make up a recognised channel."""
        rest = self._header[self._header.index(self._control.channel) + 1 :]
        before = self._header[: self._header.index(self._control.channel)]
        if header.recognised and rest:
            return rest[1:] if self._word(rest[0]) in {c.value for c in Channel} else rest
        return [*before, *rest] if not self._preset else rest

    def _feed_body(self, token: int) -> list[Piece]:
        control = self._control
        if token in (control.end, *control.stops):
            self._move_on(token)
            return self._close(self._ending(token))
        if token == control.start:
            pieces = self._close("implicit")
            self._expect_header()
            return [*pieces, Repair("a message was closed where the next one began")]
        if token == control.channel and self._open and self._open.channel is Channel.ANALYSIS:
            pieces = self._close("implicit")
            self._expect_header(token)
            return [*pieces, Repair("reasoning was closed where another channel began")]
        return self._feed_text(token)

    def _feed_text(self, token: int) -> list[Piece]:
        try:
            raw = self._tokenizer.decode_single_token_bytes(token)
        except (KeyError, OverflowError):
            return [Repair(f"token {token} is not in the vocabulary and was left out")]
        marker = _MARKER.fullmatch(raw)
        repairs: list[Piece] = []
        if marker:
            repairs = [Repair(f"a misplaced {raw.decode()} was kept as text")]
        delta = self._decoder.decode(raw)
        if not delta:
            return repairs
        self._text.append(delta)
        return [*repairs, Text(delta)]

    def _feed_between(self, token: int) -> list[Piece]:
        """After a closed message: the next `<|start|>`, or something that should not be there."""
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
        return [Repair("text outside a message is shown as commentary"), opened, *self._feed_text(token)]

    def _begin(self, opened: Opened) -> Opened:
        self._open, self._text, self._header = opened, [], []
        self._decoder.reset()
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
        """Begin a header of the sample's own, of which the tokens `read` are there already."""
        self._header, self._preset, self._state = [*read], False, _State.HEADER

    def _move_on(self, token: int) -> None:
        """Leave a message by its end `token`; what was ended for good stays so."""
        if not self.ended:
            self._state = _State.ENDED if token in self._control.stops else _State.BETWEEN

    def _ending(self, token: int) -> Ending:
        if token == self._control.call:
            return "call"
        return "end" if token == self._control.end else "return"

    def _refuse(self, header: Header) -> list[Piece]:
        self._header, self._state = [], _State.ENDED
        return [Repair(f"the model tried to speak as {header.forged}; removed")]

    def _read_header(self) -> Header:
        control = self._control
        at = self._header.index(control.channel) if control.channel in self._header else len(self._header)
        return read_header(
            author=self._decode(self._header[:at]),
            rest=self._decode(self._header[at + 1 :]) if at < len(self._header) else None,
            preset=self._preset,
            recipients=self._recipients,
        )

    def _decode(self, ids: list[int]) -> str:
        return b"".join(self._bytes(token) for token in ids).decode("utf-8", "replace")

    def _word(self, token: int) -> str:
        return self._bytes(token).decode("utf-8", "replace").strip()

    def _bytes(self, token: int) -> bytes:
        try:
            return self._tokenizer.decode_single_token_bytes(token)
        except (KeyError, OverflowError):
            return b""


_MARKER = re.compile(rb"<\|[a-z0-9_]+\|>")
