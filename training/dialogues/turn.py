"""A synthetic turn, and the messages of its chain of thought and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gptoss_tui.harmony.message import Channel, Effort, Message, Role

from .phrasing import plain


@dataclass(frozen=True, slots=True)
class DialogueTurn:
    """A message of the person and everything after it, up to the final answer.

    `documents` are files, by name, in which a search finds the same as in this turn.
    """

    skill: str
    user: str
    messages: tuple[Message, ...]
    documents: Mapping[str, str] = field(default_factory=dict)

    def transcript(self) -> list[Message]:
        """The turn's messages from the person's on, without marks."""
        return [Message(Role.USER, self.user), *map(unmarked, self.messages)]

    @property
    def final(self) -> str:
        """The wanted answer."""
        return plain(self.messages[-1].text)


def unmarked(message: Message) -> Message:
    """The message without marks."""
    return replace(message, text=plain(message.text))


def think(text: str) -> Message:
    """One message of the chain of thought."""
    return Message(Role.ASSISTANT, text, channel=Channel.ANALYSIS)


def answer(text: str) -> Message:
    """The final answer."""
    return Message(Role.ASSISTANT, text, channel=Channel.FINAL)


def efforts(task: str, medium: str, high: str) -> dict[Effort, str]:
    """Three lengths of a thought, which names the task first: the model decides on that before the length."""
    return {Effort.LOW: task, Effort.MEDIUM: f"{task} {medium}", Effort.HIGH: f"{task} Let me think. {high}"}
