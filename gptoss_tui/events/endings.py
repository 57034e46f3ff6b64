"""Why a turn ended: one table for the loop that decides it, for programs, and for people."""

from __future__ import annotations

from enum import StrEnum


class Ending(StrEnum):
    """The reason why a turn ended, as `--json` names it; `sentence` is the same for a person."""

    sentence: str

    def __new__(cls, name: str, sentence: str) -> Ending:
        ending = str.__new__(cls, name)
        ending._value_ = name
        ending.sentence = sentence
        return ending

    ANSWERED = "answered", "The model answered."
    INTERRUPTED = "interrupted", "Stopped."
    MAX_OUTPUT_TOKENS = "max_output_tokens", "Cut off: the answer reached the token limit (--max-tokens)."
    CONTEXT_FULL = "context_full", "Cut off: the model's context is full; your next message makes room."
    TOOL_LIMIT = "tool_limit", "Stopped: the model called tools again and again without answering."
    NO_ANSWER = "no_answer", "The model ended its turn without an answer; ask again."
    REPETITION = "repetition", "Stopped: the model was repeating itself; ask again, or in other words."
    SCHEMA_MISMATCH = "schema_mismatch", "The answer does not fit the schema."
    UNFINISHED = "unfinished", "Interrupted: this answer is not whole."


def ending_of(name: str) -> Ending | None:
    """The ending of that name; None for one that is unknown here, or that nobody need be told of."""
    return next((ending for ending in Ending if ending.value == name), None)
