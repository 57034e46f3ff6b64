"""The options of a conversation, which hold for every turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..harmony.message import ResponseFormat
from ..model.engine import Sampling

ContextPolicy = Literal["compact", "drop", "ask"]
"""What becomes of the oldest turns when a conversation fills the context."""


@dataclass(frozen=True, slots=True)
class Options:
    """The prompt, sampling and bounds of every turn.

    Every answer is JSON in the shape of `response_format`, if there is one. `constrain_headers` confines the
    model to channels and recipients that exist. `max_reasoning_tokens` bounds the reasoning of one turn, in
    tokens of its text, and after every `max_tool_calls` calls the person is asked whether the turn goes on.
    `read_ahead` has the engine read between turns what the next prompt is known to begin with.
    When the conversation fills the context, the oldest turns are summed up or left out, or the person is
    asked, as `context_full` says; `sums_up_poorly` warns of the model's summaries.
    """

    instructions: str = ""
    response_format: ResponseFormat | None = None
    sampling: Sampling = field(default_factory=Sampling)
    constrain_headers: bool = True
    max_reasoning_tokens: int | None = None
    max_tool_calls: int = 32
    read_ahead: bool = True
    context_full: ContextPolicy = "compact"
    sums_up_poorly: bool = False
