"""Conversation to token ids: the exact layout that gpt-oss was trained on.

The sentences of the system message and the descriptions of the built-in tools come from the configuration
objects of the openai-harmony package. Layout: docs/format.md of openai/harmony.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from .message import Channel, Conversation, DeveloperPrompt, Message, Role, SystemPrompt
from .typescript import comment, typescript
from .vocabulary import ControlTokens, Tokenizer

if TYPE_CHECKING:
    from openai_harmony import ToolNamespaceConfig

PIECE = 16_384
"""Characters encoded at a time: a million blanks at once overflow tiktoken's stack."""

_SEPARATORS = "\x1c\x1d\x1e\x1f"
"""Characters that are blanks to Python but not to the pattern that splits words."""

_ILLEGAL_IN_NAME = re.compile(r"[^A-Za-z0-9_.:/-]")
_ROLES = frozenset(role.value for role in Role)


def render(conversation: Conversation, tokenizer: Tokenizer, *, channel: Channel | None = None) -> list[int]:
    """The prompt that asks the model for its next message, as token ids.

    The prompt ends with `<|start|>assistant`. With `channel` the header is completed up to `<|message|>`, so
    that the model must write on that channel.
    """
    control = ControlTokens.of(tokenizer)
    ids: list[int] = []
    for message in prompt_messages(conversation):
        ids += render_message(message, tokenizer)
    ids += [control.start, *tokenizer.encode_ordinary("assistant")]
    if channel is not None:
        ids += [control.channel, *tokenizer.encode_ordinary(channel.value), control.message]
    return ids


def prompt_messages(conversation: Conversation) -> Iterator[Message]:
    """The messages of the prompt, in order: system, developer, and the remembered part of the history."""
    has_functions = bool(conversation.developer.functions)
    yield Message(Role.SYSTEM, system_text(conversation.system, has_functions=has_functions))
    if conversation.developer:
        yield Message(Role.DEVELOPER, developer_text(conversation.developer))
    yield from remembered(conversation.messages)


def remembered(messages: Sequence[Message]) -> list[Message]:
    """The history without the chain of thought of finished turns.

    A message on the analysis channel (calls to built-in tools and their outputs included) is dropped once a
    final answer follows it and the person has spoken after that. The official library's own rule forgets the
    wrong messages from the second turn on; this rule agrees with the documentation, and with the library on
    all of the library's fixtures.
    """
    last_user = max((i for i, m in enumerate(messages) if m.role is Role.USER), default=-1)
    answered = max(
        (i for i, m in enumerate(messages[: max(last_user, 0)]) if _is_answer(m)),
        default=-1,
    )
    return [m for i, m in enumerate(messages) if i > answered or m.channel is not Channel.ANALYSIS]


def _is_answer(message: Message) -> bool:
    return message.role is Role.ASSISTANT and message.channel is Channel.FINAL and message.recipient is None


def render_message(message: Message, tokenizer: Tokenizer) -> list[int]:
    """One finished message as token ids, from `<|start|>` to its `<|end|>` or `<|call|>`."""
    control = ControlTokens.of(tokenizer)
    is_call = message.role is Role.ASSISTANT and message.recipient is not None
    ids = [control.start, *tokenizer.encode_ordinary(_author(message))]
    if message.channel is not None:
        ids += [control.channel, *tokenizer.encode_ordinary(message.channel.value)]
    if message.content_type:
        before, constrained, after = message.content_type.partition("<|constrain|>")
        ids += tokenizer.encode_ordinary(f" {before}")
        if constrained:
            ids += [control.constrain, *tokenizer.encode_ordinary(after)]
    ids.append(control.message)
    ids += encode_text(message.text, tokenizer)
    ids.append(control.call if is_call else control.end)
    return ids


def _author(message: Message) -> str:
    """The role part of a header: the author, and the recipient if there is one."""
    name, recipient = _legal(message.name or ""), message.recipient
    if message.role is Role.TOOL:
        # The model may have called `system` or `user:bob`, and no reply may have such an author.
        is_role = name.split(":")[0].lower() in _ROLES
        return f"{'functions.' if is_role else ''}{name or 'tool'} to=assistant"
    author = f"{message.role.value}:{name}" if name else message.role.value
    return author if recipient is None else f"{author} to={_legal(recipient)}"


def _legal(name: str) -> str:
    """`name` as a header can carry it, so that a call names a function as the developer message does."""
    return _ILLEGAL_IN_NAME.sub("_", name)


def encode_text(text: str, tokenizer: Tokenizer) -> list[int]:
    """Token ids of a message body, as ordinary text: the spelling of a control token does not become one.

    Long texts are encoded in pieces that begin where a word begins, which changes no token; only a run of
    more than `PIECE` characters without a blank is cut inside.
    """
    ids: list[int] = []
    start = 0
    while start < len(text):
        end = _cut(text, start)
        ids += tokenizer.encode_ordinary(text[start:end])
        start = end
    return ids


def _cut(text: str, start: int) -> int:
    if len(text) - start <= PIECE:
        return len(text)
    cut = start + PIECE
    while (cut := text.rfind(" ", start + 1, cut)) > start:
        if not text[cut - 1].isspace() or text[cut - 1] in _SEPARATORS:
            return cut
    return start + PIECE


def system_text(prompt: SystemPrompt, *, has_functions: bool) -> str:
    """The body of the system message: identity, date, effort, built-in tools, channels."""
    identity, cutoff, channels = _system_sentences()
    head = [identity, f"Knowledge cutoff: {cutoff}"]
    if prompt.date:
        head.append(f"Current date: {prompt.date}")
    sections = ["\n".join(head), f"Reasoning: {prompt.effort.value}"]
    if prompt.browser or prompt.python:
        sections.append("# Tools")
    if prompt.browser:
        sections.append(_namespace("browser"))
    if prompt.python:
        sections.append(_namespace("python"))
    valid = f"# Valid channels: {', '.join(channels)}. Channel must be included for every message."
    if has_functions:
        valid += "\nCalls to these tools must go to the commentary channel: 'functions'."
    return "\n\n".join([*sections, valid])


def developer_text(prompt: DeveloperPrompt) -> str:
    """The body of the developer message: instructions, functions, response formats."""
    sections: list[str] = []
    if prompt.instructions:
        sections += ["# Instructions", prompt.instructions]
    if prompt.functions:
        sections += ["# Tools", "## functions", "namespace functions {"]
        for function in prompt.functions:
            sections.append(_function(function.name, function.description, function.parameters))
        sections.append("} // namespace functions")
    if prompt.response_formats:
        sections.append("# Response Formats")
        for shape in prompt.response_formats:
            schema = json.dumps(shape.schema, ensure_ascii=False, separators=(",", ":"))
            described = comment(shape.description) if shape.description else []
            sections += [f"## {shape.name}", "\n".join([*described, schema])]
    return "\n\n".join(sections)


def _function(name: str, description: str, parameters: object) -> str:
    described = comment(description) if description else []
    shown = f"(_: {typescript(parameters)}) => any" if isinstance(parameters, Mapping) else "() => any"
    return "\n".join([*described, f"type {_legal(name)} = {shown};"])


@lru_cache(maxsize=1)
def _system_sentences() -> tuple[str, str, tuple[str, ...]]:
    from openai_harmony import SystemContent

    content = SystemContent.new()
    if content.model_identity is None or content.channel_config is None:
        raise RuntimeError("openai-harmony changed its system message; pin openai-harmony==0.0.8")
    return (
        content.model_identity,
        content.knowledge_cutoff or "2024-06",
        tuple(content.channel_config.valid_channels),
    )


@lru_cache(maxsize=2)
def _namespace(name: str) -> str:
    from openai_harmony import ToolNamespaceConfig

    config: ToolNamespaceConfig = getattr(ToolNamespaceConfig, name)()
    description = config.description or ""
    if not config.tools:
        return f"## {name}\n\n{description}"
    described = "\n".join(comment(description))
    functions = [_function(tool.name, tool.description, tool.parameters) for tool in config.tools]
    body = "\n\n".join(functions)
    return f"## {name}\n\n{described}\nnamespace {name} {{\n\n{body}\n\n}} // namespace {name}"
