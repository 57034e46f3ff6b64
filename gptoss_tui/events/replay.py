"""The events of a stored conversation, so that front ends show it by the same code as a new one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..harmony.message import Channel, Message, Role
from . import events
from .events import Event


def replay(
    messages: Sequence[Message], reasoning: Callable[[str], list[Event]]
) -> list[tuple[str, list[Event]]]:
    """Each turn of the history: the person's message, and the events of what followed.

    `reasoning` gives the events for a message of raw analysis.
    """
    turns: list[tuple[str, list[Event]]] = []
    call_id = ""
    for place, message in enumerate(messages):
        if message.role is Role.USER:
            turns.append((message.text, []))
            continue
        if not turns:
            continue
        events_of_turn = turns[-1][1]
        match message:
            case Message(role=Role.TOOL, text=text):
                events_of_turn.append(events.ToolOutput(call_id, text, text.startswith("[ERROR]"), 0.0))
            case Message(recipient=str(recipient), text=text):
                call_id = f"past_{place}"
                events_of_turn.append(events.ToolCall(call_id, recipient, text))
            case Message(channel=Channel.ANALYSIS, text=text):
                events_of_turn += reasoning(text)
            case Message(channel=Channel.COMMENTARY, text=text):
                events_of_turn.append(events.PreambleDelta(text))
            case Message(text=text):
                events_of_turn.append(events.OutputDelta(text))
    return turns
