"""The wire format between the application and the model, and nothing else.

Rendering is exact: a conversation becomes the very tokens that gpt-oss was trained on. Parsing is tolerant:
every sequence of sampled tokens has a best reading. The format is OpenAI's harmony response format,
https://github.com/openai/harmony/blob/main/docs/format.md.
"""

from .header import Repair
from .message import (
    Channel,
    Conversation,
    DeveloperPrompt,
    Effort,
    Function,
    Message,
    ResponseFormat,
    Role,
    SystemPrompt,
)
from .parse import Closed, Opened, Parser, Text
from .render import render, render_message

__all__ = [
    "Channel",
    "Closed",
    "Conversation",
    "DeveloperPrompt",
    "Effort",
    "Function",
    "Message",
    "Opened",
    "Parser",
    "Repair",
    "ResponseFormat",
    "Role",
    "SystemPrompt",
    "Text",
    "render",
    "render_message",
]
