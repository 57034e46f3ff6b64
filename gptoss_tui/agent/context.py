"""The input of the model: the messages that begin a conversation, and the tokens of a prompt."""

from __future__ import annotations

from ..calls.toolbox import Toolbox
from ..harmony.message import Channel, Conversation, DeveloperPrompt, Effort, SystemPrompt
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
