"""Rendering in a process of its own, so that a long text never makes the screen wait.

Byte-pair encoding holds the interpreter lock, and a real checkpoint's tokenizer takes seconds to read. The
child owns the tokenizer and renders; this process only has a table of the tokens' bytes, to parse with.
"""

from __future__ import annotations

import asyncio
from array import array
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..harmony.message import Channel, Conversation, Message
from ..harmony.vocabulary import ControlTokens
from ..model.engine import EngineError
from ..model.errors import CheckpointError
from ..workers.calls import Calls
from ..workers.child import Child, ChildError
from ..workers.log import log_path
from .rendering import WIRE, Count, Measure, Open, Render, Table, Unusable

LONGEST_LINE = 64 << 20
"""Bytes: room for the table of millions of tokens, or for a prompt that fills the largest context."""


@dataclass(frozen=True, slots=True)
class TokenTable:
    """Every token's bytes by id, and the ids of the control tokens by name: all that parsing needs.

    The bytes of token i are those of `tokens` from `starts[i]` to `starts[i + 1]`; `missing` are ids without
    a token.
    """

    tokens: bytes
    starts: array[int]
    missing: frozenset[int]
    special: dict[str, int]

    @property
    def n_vocab(self) -> int:
        """One more than the highest token id."""
        return len(self.starts) - 1

    def encode_single_token(self, text_or_bytes: str | bytes, /) -> int:
        """The id of a control token; raises KeyError for any other text."""
        return self.special[text_or_bytes if isinstance(text_or_bytes, str) else text_or_bytes.decode()]

    def decode_single_token_bytes(self, token: int, /) -> bytes:
        """The bytes of a token; raises KeyError for an unknown id."""
        starts = self.starts
        if not 0 <= token < len(starts) - 1 or token in self.missing:
            raise KeyError(token)
        return self.tokens[starts[token] : starts[token + 1]]


class Renderer:
    """The tokenizer of one checkpoint, in a child process that is started again if it dies."""

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint
        self._child: Child | None = None
        self._calls: Calls | None = None
        self._table: TokenTable | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return self._child.pid if self._child is not None else None

    @property
    def table(self) -> TokenTable:
        """The table that parsing needs; there after `start`."""
        if self._table is None:
            raise RuntimeError("Renderer.start() must be awaited before its table is used")
        return self._table

    @property
    def control(self) -> ControlTokens:
        """The control tokens of this vocabulary."""
        return ControlTokens.of(self.table)

    async def start(self) -> None:
        """Read the tokenizer; raises CheckpointError when the checkpoint has none that can be used."""
        if self._child is not None:
            return
        try:
            module = "gptoss_tui.agent.rendering"
            self._child = Child.start("the renderer", module, log=log_path("renderer"), longest=LONGEST_LINE)
            self._calls = Calls(self._child, WIRE)
            opened = await self._calls.ask(Open(str(self._checkpoint)))
        except ChildError as error:
            await self.close()
            raise CheckpointError(f"The tokenizer cannot be read: {error}.") from error
        except BaseException:
            await self.close()
            raise
        if isinstance(opened, Unusable):
            await self.close()
            raise CheckpointError(opened.message)
        self._table = await asyncio.to_thread(table_of, opened)

    async def render(self, conversation: Conversation, channel: Channel | None = None) -> list[int]:
        """The prompt for the model's next message; see `harmony.render`."""
        ids: list[int] = await self._ask(Render(conversation, channel))
        return ids

    async def count(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text."""
        counts: list[int] = await self._ask(Count(list(texts)))
        return counts

    async def measure(self, messages: Sequence[Message]) -> list[int]:
        """The number of tokens of each message in a prompt."""
        lengths: list[int] = await self._ask(Measure(list(messages)))
        return lengths

    async def _ask(self, request: Render | Count | Measure) -> Any:
        """The child's answer; a child that has ended is started again once. Raises EngineError."""
        for attempt in (1, 2):
            await self.start()
            assert self._calls is not None
            child = self._child
            try:
                answer = await self._calls.ask(request)
            except ChildError as error:
                if self._child is child:  # another call may have started the next child
                    await self.close()
                if attempt == 2:
                    raise EngineError(f"The conversation cannot be put into tokens: {error}.") from error
            else:
                if isinstance(answer, Unusable):
                    raise EngineError(f"The conversation cannot be put into tokens: {answer.message}.")
                return answer
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """End the child."""
        child, self._child, self._calls = self._child, None, None
        if child is not None:
            await child.end()


def table_of(answer: Table) -> TokenTable:
    """The table in the answer of the process that owns the tokenizer."""
    starts = array("Q")
    starts.frombytes(b64decode(answer.starts))
    return TokenTable(b64decode(answer.tokens), starts, frozenset(answer.missing), answer.special)
