"""Rendering in a process of its own, so that a long text never makes the screen wait.

Byte-pair encoding holds the interpreter lock, and a real checkpoint's tokenizer takes seconds to read. The
child owns the tokenizer and renders; the parent only keeps a table of the tokens' bytes, to parse with.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..harmony.message import Channel, Conversation
from ..harmony.vocabulary import ControlTokens

if TYPE_CHECKING:
    import tiktoken


@dataclass(frozen=True, slots=True)
class TokenTable:
    """Every token's bytes by id, and the ids of the control tokens by name: all that parsing needs."""

    tokens: tuple[bytes | None, ...]
    special: dict[str, int]

    @property
    def n_vocab(self) -> int:
        """One more than the highest token id."""
        return len(self.tokens)

    def encode_single_token(self, text_or_bytes: str | bytes, /) -> int:
        """The id of a control token; raises KeyError for any other text."""
        return self.special[text_or_bytes if isinstance(text_or_bytes, str) else text_or_bytes.decode()]

    def decode_single_token_bytes(self, token: int, /) -> bytes:
        """The bytes of a token; raises KeyError for an unknown id."""
        raw = self.tokens[token] if 0 <= token < len(self.tokens) else None
        if raw is None:
            raise KeyError(token)
        return raw


class Codec:
    """The tokenizer of one checkpoint, in a child process that is started again if it dies."""

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint
        self._pool: ProcessPoolExecutor | None = None
        self._table: TokenTable | None = None

    @property
    def table(self) -> TokenTable:
        """What parsing needs; known after `start`."""
        if self._table is None:
            raise RuntimeError("Codec.start() must be awaited before its table is used")
        return self._table

    @property
    def control(self) -> ControlTokens:
        """The control tokens of this vocabulary."""
        return ControlTokens.of(self.table)

    async def start(self) -> None:
        """Read the tokenizer; raises CheckpointError when the checkpoint has none that can be used."""
        if self._pool is not None:
            return
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, mp_context=context)
        opened = self._pool.submit(_open, self._checkpoint)
        try:
            self._table = await asyncio.wrap_future(opened)
        except BaseException:
            await self.close()
            raise

    async def render(self, conversation: Conversation, channel: Channel | None = None) -> list[int]:
        """The prompt for the model's next message; see `harmony.render`."""
        try:
            return await self._render(conversation, channel)
        except BrokenProcessPool:
            await self.close()
            return await self._render(conversation, channel)

    async def _render(self, conversation: Conversation, channel: Channel | None) -> list[int]:
        await self.start()
        assert self._pool is not None
        return await asyncio.wrap_future(self._pool.submit(_render, conversation, channel))

    async def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has."""
        try:
            return await self._count(texts)
        except BrokenProcessPool:
            await self.close()
            return await self._count(texts)

    async def _count(self, texts: Sequence[str]) -> list[int]:
        await self.start()
        assert self._pool is not None
        return await asyncio.wrap_future(self._pool.submit(_count, list(texts)))

    async def close(self) -> None:
        """End the child. It is waited for: a pool left behind quarrels with the interpreter's own exit."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)


# What follows runs in the child.

_tokenizer: tiktoken.Encoding | None = None


def _open(checkpoint: Path) -> TokenTable:
    from ..model.tokenizer import load_tokenizer

    global _tokenizer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _tokenizer = load_tokenizer(checkpoint)
    tokens: list[bytes | None] = []
    for token in range(_tokenizer.n_vocab):
        try:
            tokens.append(_tokenizer.decode_single_token_bytes(token))
        except KeyError:
            tokens.append(None)
    special = {name: _tokenizer.encode_single_token(name) for name in _tokenizer.special_tokens_set}
    return TokenTable(tuple(tokens), special)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)


def _render(conversation: Conversation, channel: Channel | None) -> list[int]:
    from ..harmony.render import render

    assert _tokenizer is not None
    return render(conversation, _tokenizer, channel=channel)


def _count(texts: Sequence[str]) -> list[int]:
    assert _tokenizer is not None
    return [len(tokens) for tokens in _tokenizer.encode_ordinary_batch(list(texts), num_threads=1)]
