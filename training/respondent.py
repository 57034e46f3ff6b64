"""A checkpoint that answers without the application: one process, no constraint, a Python for sums only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import tiktoken

from gptoss_tui.harmony import Parser, render
from gptoss_tui.harmony.message import Channel, Conversation, Message, Role
from gptoss_tui.harmony.parse import Closed
from gptoss_tui.harmony.vocabulary import ControlTokens
from gptoss_tui.model.sampling import Sampler, Sampling
from gptoss_tui.model.transformer import Transformer

from .dialogues.arithmetic import evaluate, is_expression, traceback

LIMIT = 256
"""Tokens of one sample: the longest wanted one has about 100."""

CALLS = 3
"""Calls of Python in one turn."""


@dataclass(slots=True)
class Respondent:
    """A checkpoint that takes part in conversations."""

    network: Transformer
    encoding: tiktoken.Encoding
    temperature: float = 0.0
    seed: int = 0
    generated: int = 0

    def answer(self, conversation: Conversation) -> str:
        """Add the model's turn, calls included, to the conversation; returns its final answer."""
        for _ in range(CALLS + 1):
            messages = self._sample(conversation)
            conversation.messages.extend(messages)
            last = messages[-1] if messages else None
            if last is None or last.recipient != "python":
                break
            conversation.messages.append(_python(last.text))
        return last.text if last is not None and last.channel is Channel.FINAL else ""

    def _sample(self, conversation: Conversation) -> list[Message]:
        stops = ControlTokens.of(self.encoding).stops
        parser = Parser(self.encoding, recipients=frozenset({"python"}))
        sampler = Sampler(Sampling(self.temperature, seed=self.seed + self.generated))
        cache = self.network.new_cache()
        ids = render(conversation, self.encoding)
        closed: list[Message] = []
        for place in range(LIMIT):
            stream = self.network.read(ids, cache, last_only=True)
            drawn = sampler.sample(partial(self.network.kernels.sample, stream), range(place, place + 1))
            ids = [next(drawn)[0]]
            self.generated += 1
            closed += [piece.message for piece in parser.feed(ids[0]) if isinstance(piece, Closed)]
            if ids[0] in stops or parser.ended:
                break
        closed += [piece.message for piece in parser.finish() if isinstance(piece, Closed)]
        return closed


def _python(code: str) -> Message:
    """The tool message for a call of Python."""
    result = evaluate(code) if is_expression(code) else "SyntaxError: invalid syntax"
    text = traceback(code, result, cell=1) if "Error" in result else result
    return Message(Role.TOOL, text, name="python", channel=Channel.ANALYSIS)
