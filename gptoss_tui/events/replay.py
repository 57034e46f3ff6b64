"""A stored conversation as the events that would have shown it, so that front ends need no second way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..harmony.message import Channel, Message, Role
from . import events
from .events import Event


def replay(
    messages: Sequence[Message], reasoning: Callable[[str], list[Event]]
) -> list[tuple[str, list[Event]]]:
    """Each turn of the history: what the person said, and the events of what followed.

    `reasoning` gives the events that show a message of raw analysis.
    """
    turns: list[tuple[str, list[Event]]] = []
    call_id = ""
    for place, message in enumerate(messages):
        if message.role is Role.USER:
            turns.append((message.text, []))
            continue
        if not turns:
            continue
        shown = turns[-1][1]
        match message:
            case Message(role=Role.TOOL, text=text):
                shown.append(events.ToolOutput(call_id, text, text.startswith("[ERROR]"), 0.0))
            case Message(recipient=str(recipient), text=text):
                call_id = f"past_{place}"
                shown.append(events.ToolCall(call_id, recipient, text))
            case Message(channel=Channel.ANALYSIS, text=text):
                shown += reasoning(text)
            case Message(channel=Channel.COMMENTARY, text=text):
                shown.append(events.PreambleDelta(text))
            case Message(text=text):
                shown.append(events.OutputDelta(text))
    return turns
