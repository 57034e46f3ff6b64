"""Messages and conversations: plain data, no behaviour.

The words (role, channel, recipient, content type) are those of OpenAI's harmony response format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """The author of a message; earlier members outrank later ones."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Channel(StrEnum):
    """The purpose of an assistant message: reasoning, a call or a preamble, the answer."""

    ANALYSIS = "analysis"
    COMMENTARY = "commentary"
    FINAL = "final"


class Effort(StrEnum):
    """The reasoning effort asked of the model: one line of the system message."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    def next(self) -> Effort:
        """The next effort in order; low follows high."""
        order = list(Effort)
        return order[(order.index(self) + 1) % len(order)]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation.

    `name` is the full name of the tool in a tool message ("python", "functions.get_weather"), and an optional
    author name otherwise. `recipient` is the tool that an assistant message calls; a message without a
    recipient is for the person. `content_type` is "code" or "<|constrain|>json", as written in the header.
    """

    role: Role
    text: str
    name: str | None = None
    channel: Channel | None = None
    recipient: str | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """A function that the developer message declares; `parameters` is a JSON Schema or None."""

    name: str
    description: str
    parameters: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """The variable parts of the system message; its fixed texts are openai-harmony's own.

    `date` is YYYY-MM-DD, fixed for the life of a conversation so that cached prefixes stay valid.
    """

    effort: Effort = Effort.MEDIUM
    date: str | None = None
    browser: bool = False
    python: bool = False


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """A JSON Schema for the final answer; the developer message lists it under `# Response Formats`."""

    name: str
    schema: Mapping[str, Any]
    description: str = ""


@dataclass(frozen=True, slots=True)
class DeveloperPrompt:
    """The contents of the developer message; false when every part is empty."""

    instructions: str = ""
    functions: tuple[Function, ...] = ()
    response_formats: tuple[ResponseFormat, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.instructions or self.functions or self.response_formats)


@dataclass(slots=True)
class Conversation:
    """The prompts of the system and developer messages, and the messages after these, in order."""

    system: SystemPrompt = field(default_factory=SystemPrompt)
    developer: DeveloperPrompt = field(default_factory=DeveloperPrompt)
    messages: list[Message] = field(default_factory=list)
