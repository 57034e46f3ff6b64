"""The input of the model: the messages that begin a conversation, and the tokens of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from ..calls.toolbox import Toolbox
from ..harmony.message import Channel, Conversation, DeveloperPrompt, Effort, Message, Role, SystemPrompt
from ..harmony.vocabulary import ControlTokens
from ..model.engine import EngineInfo
from .options import Options
from .renderer import Renderer


class ContextFull(Exception):
    """The prompt does not fit the context; the message says what to do."""


def prompts(
    options: Options, toolbox: Toolbox, effort: Effort, date: str | None, instructions: str = ""
) -> tuple[SystemPrompt, DeveloperPrompt]:
    """The system and the developer message of the next sample.

    `date` is the day on which the conversation began, and `instructions` hold where the options have none.
    """
    shapes = (options.response_format,) if options.response_format else ()
    return (
        SystemPrompt(effort, date, browser=toolbox.has_browser, python=toolbox.has_python),
        DeveloperPrompt(options.instructions or instructions, toolbox.functions, shapes),
    )


async def prompt_ids(
    renderer: Renderer, conversation: Conversation, channel: Channel | None, info: EngineInfo | None
) -> list[int]:
    """The tokens of the prompt for the next message, on `channel` if that is set; raises ContextFull."""
    ids = await renderer.render(conversation, channel)
    if info is not None and len(ids) >= info.context:
        raise ContextFull(
            f"This conversation has {len(ids)} tokens and the model's context holds {info.context}. "
            "Start a new chat, or give it more room with --context."
        )
    return ids


async def known_ids(renderer: Renderer, conversation: Conversation) -> list[int]:
    """The tokens with which the next prompt begins, whatever the person says next."""
    next_turn = replace(conversation, messages=[*conversation.messages, Message(Role.USER, "")])
    ids = await renderer.render(next_turn)
    return ids[: len(ids) - ids[::-1].index(renderer.control.message)]


def opening(ids: Sequence[int], conversation: Conversation, control: ControlTokens) -> int:
    """The number of tokens before the first message: other conversations begin with them, too.

    `ids` are those of a prompt, and hold no word of anybody before that place but the instructions.
    """
    starts = (place for place, token in enumerate(ids) if token == control.start)
    return next(islice(starts, 1 + bool(conversation.developer), None))
