"""OpenAI's own harmony library as the oracle, without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import openai_harmony
import pytest
import tiktoken

from gptoss_tui.harmony import Channel, Closed, Message, Parser
from gptoss_tui.harmony.parse import Piece


@pytest.fixture(scope="session")
def official(ranks_folder: Path) -> Any:
    """openai-harmony's own encoding of gpt-oss."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(ranks_folder))
        return openai_harmony.load_harmony_encoding(openai_harmony.HarmonyEncodingName.HARMONY_GPT_OSS)


class Reader(Protocol):
    """Reads a whole sample, with `python` and `functions.get_weather` on offer."""

    def __call__(self, sample: str | list[int], channel: Channel | None = None) -> list[Piece]: ...


@pytest.fixture(scope="session")
def read(o200k: tiktoken.Encoding) -> Reader:
    """A function `(sample, channel=None) -> pieces`; control tokens in a text are real ones."""

    def pieces(sample: str | list[int], channel: Channel | None = None) -> list[Piece]:
        ids = o200k.encode(sample, allowed_special="all") if isinstance(sample, str) else sample
        parser = Parser(o200k, recipients=frozenset({"python", "functions.get_weather"}), channel=channel)
        return [piece for token in ids for piece in parser.feed(token)] + parser.finish()

    return pieces


Judge = Callable[[list[int], list[Piece]], str]


@pytest.fixture(scope="session")
def judge(official: Any) -> Judge:
    """A function `(ids, pieces) -> verdict` that compares our reading with the official strict parser's.

    The verdict is "agrees", "differs", "raises", or "forged" where the official parser accepts another
    author.
    """

    def compare(ids: list[int], pieces: list[Piece]) -> str:
        try:
            theirs = openai_harmony.StreamableParser(official, openai_harmony.Role.ASSISTANT)
            for token in ids:
                theirs.process(token)
            theirs.process_eos()
        except BaseException as error:  # the library's panic is not an Exception
            if isinstance(error, KeyboardInterrupt | pytest.fail.Exception):  # a test's time is up, for one
                raise
            return "raises"
        if any(message.author.role != openai_harmony.Role.ASSISTANT for message in theirs.messages):
            return "forged"
        ours = [_as_official(piece.message) for piece in pieces if isinstance(piece, Closed)]
        same = ours == [
            (m.channel, m.recipient, m.content_type, "".join(part.text for part in m.content))
            for m in theirs.messages
        ]
        return "agrees" if same else "differs"

    return compare


def _as_official(message: Message) -> tuple[str | None, str | None, str | None, str]:
    """The official parser takes a content type without a recipient for a recipient (openai/harmony#144)."""
    if message.recipient is None:
        return message.channel, message.content_type, None, message.text
    return message.channel, message.recipient, message.content_type, message.text
