"""The part of a conversation that the model is not shown any more, which stays where it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cut:
    """What the model is shown less than the whole conversation. Places count messages from the beginning.

    The turns before `first` are left out, and `summary`, if any, stands for them. Of the turn that begins at
    `first`, what lies before `within` is left out as well, but for the person's message. Before `outputs`,
    the outputs of tools are shortened. It was decided after `at` messages, when the prompt had `before`
    tokens; it had `after` then.
    """

    first: int = 0
    within: int = 0
    outputs: int = 0
    summary: str = ""
    at: int = 0
    before: int = 0
    after: int = 0
