"""The process that owns the tokenizer: `python -m gptoss_tui.agent.rendering`.

It opens the tokenizer of a checkpoint, and then puts conversations and texts into tokens.
"""

from __future__ import annotations

import traceback
from array import array
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..harmony.message import (
    Channel,
    Conversation,
    DeveloperPrompt,
    Function,
    Message,
    ResponseFormat,
    SystemPrompt,
)
from ..model.errors import CheckpointError
from ..workers.wire import Wire

if TYPE_CHECKING:
    import tiktoken


@dataclass(frozen=True, slots=True)
class Open:
    """The request to read the tokenizer of the checkpoint at this path; the answer is a Table."""

    checkpoint: str


@dataclass(frozen=True, slots=True)
class Render:
    """The request for the prompt of the next message, on `channel` if that is set; a list of token ids."""

    conversation: Conversation
    channel: Channel | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """The request for the number of tokens of each text; a list of numbers."""

    texts: list[str]


@dataclass(frozen=True, slots=True)
class Measure:
    """The request for the number of tokens of each message in a prompt; a list of numbers."""

    messages: list[Message]


@dataclass(frozen=True, slots=True)
class Table:
    """A vocabulary: the bytes of all tokens, and where each begins (unsigned 64 bits), both in base64."""

    tokens: str
    starts: str
    missing: list[int]
    special: dict[str, int]


@dataclass(frozen=True, slots=True)
class Unusable:
    """The answer to a request that cannot be carried out; `message` is for a person."""

    message: str


WIRE = Wire(
    *(Open, Render, Count, Measure, Table, Unusable),
    *(Conversation, SystemPrompt, DeveloperPrompt, Function, ResponseFormat, Message),
)


class Tokenizing:
    """The tokenizer at work: it carries out one request after another."""

    def __init__(self) -> None:
        self._tokenizer: tiktoken.Encoding | None = None

    def work(self, request: Open | Render | Count | Measure) -> Table | Unusable | list[int]:
        """The answer to a request."""
        from ..harmony.render import render, render_message
        from ..model import load_tokenizer

        try:
            if isinstance(request, Open):
                self._tokenizer = load_tokenizer(request.checkpoint)
                return _table(self._tokenizer)
            assert self._tokenizer is not None
            if isinstance(request, Render):
                return render(request.conversation, self._tokenizer, channel=request.channel)
            if isinstance(request, Measure):
                return [len(render_message(message, self._tokenizer)) for message in request.messages]
            return [len(ids) for ids in self._tokenizer.encode_ordinary_batch(request.texts, num_threads=1)]
        except CheckpointError as error:
            return Unusable(str(error))
        except Exception as error:
            traceback.print_exc()
            return Unusable(f"{type(error).__name__}: {error}")


def _table(tokenizer: tiktoken.Encoding) -> Table:
    tokens, starts, missing = bytearray(), array("Q", [0]), []
    for token in range(tokenizer.n_vocab):
        try:
            tokens += tokenizer.decode_single_token_bytes(token)
        except KeyError:
            missing.append(token)
        starts.append(len(tokens))
    special = {name: tokenizer.encode_single_token(name) for name in tokenizer.special_tokens_set}
    return Table(b64encode(tokens).decode(), b64encode(starts.tobytes()).decode(), missing, special)


def main() -> None:
    """Serve requests until the application ends."""
    from ..workers.parent import serve

    serve(WIRE, Tokenizing().work)


if __name__ == "__main__":
    main()
